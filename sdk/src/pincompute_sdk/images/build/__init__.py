"""Builds images: from a Dockerfile, from a folder with image.yaml, or from a Python project on a base of Debian packages."""

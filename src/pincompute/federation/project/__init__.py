"""This package holds the controller of projects."""

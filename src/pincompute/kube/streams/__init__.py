"""Streams into pods through an API server: programs that run in a container, bytes to a port, lines of a log.

Never repeated when they break: a program may have begun, and what it said so far cannot be asked for again.
"""

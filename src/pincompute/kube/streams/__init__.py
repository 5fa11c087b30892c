"""Streams into pods through an API server: programs in a container, bytes to a port, lines of a log.

A stream that breaks is not opened again: its program may have begun, and its output cannot be requested a second time.
"""

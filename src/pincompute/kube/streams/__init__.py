"""Streams into pods through an API server: programs in containers, bytes to ports, lines of logs.

A broken stream is never repeated: the program may have started, and its former output cannot be read again.
"""

"""Client of the pincompute platform: typed, sync and async, with retry, logging and metrics always applied."""

__version__ = "0.1.0"

"""The error of the region: its message goes to the user as it is."""

from __future__ import annotations


class RegionError(RuntimeError):
    """The message names the thing, what was expected and what to do; the command line prints it and exits with 1."""

"""What a user of the region is told when something cannot be done."""

from __future__ import annotations


class RegionError(RuntimeError):
    """The message names the thing, what was expected and what to do; the command line prints it and exits with 1."""

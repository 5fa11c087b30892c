"""Bounds single values that a member reports, whose API server may be in other hands."""

from __future__ import annotations

LARGEST_COUNT = 1_000_000_000  # which the host's API server takes in every field
LONGEST_LINE = 300


def within(count: int, most: int) -> int:
    """Returns the count, or the nearest one from 0 to the most that can be true."""
    return max(0, min(count, most))


def line(text: str) -> str:
    """Returns one line of bounded length; the programs of the member write some of it."""
    return "".join(c if c.isprintable() else " " for c in text[:LONGEST_LINE])

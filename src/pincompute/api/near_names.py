"""Finds the names that a mistyped name probably means, with bounded work.

Users choose the names on both sides, and nobody else is served while they are compared. difflib alone takes a millisecond for
each pair of long, similar names.
"""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Sequence
from itertools import islice

LONGEST = 64  # characters of a name that is compared
MOST = 1000  # names that are looked at
COMPARED = 24  # of them that difflib compares
SUGGESTED = 3  # names in one answer for which a caller looks for others


def nearest(name: str, known: Iterable[str], most: int = 1, cutoff: float = 0.7) -> Sequence[str]:
    """Returns at most so many of the known names, the nearest first, whatever their case."""
    if len(name) > LONGEST:
        return ()
    wanted = name.lower()
    by_lower = {each.lower(): each for each in islice(known, MOST) if len(each) <= LONGEST}
    alike = heapq.nlargest(COMPARED, by_lower, key=lambda each: _shared(wanted, each)) if len(by_lower) > COMPARED else by_lower
    return [by_lower[each] for each in difflib.get_close_matches(wanted, alike, most, cutoff=cutoff)]


def _shared(one: str, other: str) -> int:
    """Counts what two names share, roughly: their beginning, their end, their letters."""
    return 2 * (_same(one, other) + _same(one[::-1], other[::-1])) + len(set(one) & set(other))


def _same(one: str, other: str) -> int:
    """Counts the characters with which both begin."""
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))

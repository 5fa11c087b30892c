"""Remembers what a pure function returned for an object, by the object itself, because a template has no hash.

Several indexes and controllers ask the same of one object when its event comes. Whoever gives an object to such a function
never changes it afterwards.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

SIZE = 2048  # objects, which may be large: who asks of one object does so within the events of a burst


def remembered(function: Callable[[T], R]) -> Callable[[T], R]:
    """Returns the function with a memory of the last `SIZE` objects. It keeps them, so that no other has their identity."""
    known: dict[int, tuple[T, R]] = {}

    @functools.wraps(function)
    def answer(asked: T) -> R:
        found = known.get(id(asked))
        if found is not None:
            return found[1]
        result = function(asked)
        if len(known) >= SIZE:
            del known[next(iter(known))]
        known[id(asked)] = asked, result
        return result

    return answer

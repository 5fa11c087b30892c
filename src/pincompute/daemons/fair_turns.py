"""Orders what projects want by turns, so that one with much leaves places and time to the others. It does no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


def in_turns(wanted: Mapping[str, Iterable[T]]) -> Iterator[T]:
    """Yields the first of each project, then the second of each, until all are there.

    The first places of this order are shared as evenly as the projects can use them.
    """
    waiting = deque(iter(each) for each in wanted.values())
    while waiting:
        turn = waiting.popleft()
        for one in turn:
            yield one
            waiting.append(turn)
            break

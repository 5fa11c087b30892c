"""Bounds the actions that wait for one member, so that a slow member costs the others nothing (S-014).

A member that answers in time never reaches its bound. For one that does not, a fixed number of actions waits at a time, and
all further ones fail at once, for that member alone: the engine reconciles their keys again later, and the other actions of
their stages go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from itertools import islice

OVERDUE = 0.5  # seconds after which an action is overdue
MOST_OVERDUE = 32  # overdue actions for one member with which no further one begins
AT_ONCE = 64  # requests to one cluster at the same time


class BulkheadFull(Exception):  # noqa: N818 - an answer, not an error
    """An action is not begun because too many are waiting for its member."""


class Bulkhead:
    """The bulkhead of one cluster. `slots` limit its concurrent requests. A `bounded` one refuses actions, others let them
    wait.
    """

    def __init__(self, cluster: str, *, bounded: bool, most_overdue: int = MOST_OVERDUE) -> None:
        self.slots = asyncio.Semaphore(AT_ONCE)
        self._cluster = cluster
        self._bounded = bounded
        self._most = most_overdue
        self._begun: dict[object, float] = {}  # when each action under way began, oldest first

    @contextmanager
    def passage(self) -> Generator[None]:
        """Counts an action as under way while the context is open; raises BulkheadFull when too many are overdue."""
        now, ticket = asyncio.get_running_loop().time(), object()
        if self._bounded and self._crowded(now):
            raise BulkheadFull(f"{self._cluster} answers slowly: {self._most} requests have waited for more than {OVERDUE:g} s")
        self._begun[ticket] = now
        try:
            yield
        finally:
            del self._begun[ticket]

    def _crowded(self, now: float) -> bool:
        """Returns whether the newest of the oldest `MOST_OVERDUE` actions is overdue, and with it all of them."""
        if len(self._begun) < self._most:
            return False
        return now - next(islice(self._begun.values(), self._most - 1, None)) > OVERDUE

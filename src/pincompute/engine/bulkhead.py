"""Bulkheads: what waits on one member is bounded, so that one that is slow or silent costs the others nothing (S-014).

A member that answers in time never meets its bound. Of one that does not, so many actions wait at a time, and all further ones
fail at once, for that member alone: their keys are looked at again later, and the other actions of their stages go on.
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
    """So many actions wait for the member already that another one is not begun."""


class Bulkhead:
    """One cluster. `slots` are its requests; a `bounded` one refuses actions, others let them wait for as long as it takes."""

    def __init__(self, cluster: str, *, bounded: bool, most_overdue: int = MOST_OVERDUE) -> None:
        self.slots = asyncio.Semaphore(AT_ONCE)
        self._cluster = cluster
        self._bounded = bounded
        self._most = most_overdue
        self._begun: dict[object, float] = {}  # when each action that is on its way began, oldest first

    @contextmanager
    def passage(self) -> Generator[None]:
        """An action is on its way while the context is open; raises Crowded when too many are overdue."""
        now, ticket = asyncio.get_running_loop().time(), object()
        if self._bounded and self._crowded(now):
            raise BulkheadFull(f"{self._cluster} answers slowly: {self._most} requests have waited for more than {OVERDUE:g} s")
        self._begun[ticket] = now
        try:
            yield
        finally:
            del self._begun[ticket]

    def _crowded(self, now: float) -> bool:
        """Whether the last of the oldest so many is overdue, and with it all of them."""
        if len(self._begun) < self._most:
            return False
        return now - next(islice(self._begun.values(), self._most - 1, None)) > OVERDUE

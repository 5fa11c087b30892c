"""The work queue of keys: a key is queued once, and one worker at a time handles it.

The queue holds keys and never events, so any number of changes between two reconciliations is one reconciliation. A key with
an event that arrives meanwhile is queued again. Users' events go before the flood of an initial list (S-026), and `since` is
the time of the first add, not of the pop (S-027).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FAIRNESS = 16  # one pop in so many serves background work first, so that a stream of events cannot starve it


class Priority(IntEnum):
    """The priority of a key; lower goes first."""

    EVENT = 0
    BACKGROUND = 1


@dataclass(frozen=True, slots=True)
class Item(Generic[K]):
    """A key that a worker handles. `since` is when it was first added, over all failed attempts."""

    key: K
    since: float
    attempts: int
    priority: Priority


@dataclass(frozen=True, slots=True)
class RetryDelays:
    """Exponential delays with full jitter: uniform between 0 and `base` doubled per failure, at most `cap` seconds."""

    base: float = 0.1
    cap: float = 60.0

    def delay(self, failures: int, rng: random.Random) -> float:
        return rng.uniform(0.0, min(self.cap, self.base * 2.0 ** min(failures, 30)))


@dataclass(frozen=True, slots=True)
class _Wait:
    """An add that is not due yet; `since` counts from when it was (or will be) wanted."""

    due: float
    since: float
    priority: Priority


class WorkQueue(Generic[K]):
    """The queue. It is not thread-safe: it belongs to one event loop. `clock` is monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._ready: tuple[dict[K, float], dict[K, float]] = ({}, {})  # per priority: key -> since, oldest first
        self._waiting: dict[K, _Wait] = {}
        self._timers: list[tuple[float, int, K]] = []  # heap; entries that `_waiting` no longer agrees with are skipped
        self._order = itertools.count()
        self._taken: dict[K, Item[K]] = {}
        self._dirty: dict[K, tuple[float, Priority]] = {}
        self._failures: dict[K, Counter[RetryDelays]] = {}
        self._held: dict[K, float] = {}
        self._holds: deque[tuple[float, K]] = deque()
        self._pops = 0
        self._takers: deque[asyncio.Future[None]] = deque()  # those that wait for a key; an event wakes one of them
        self._timer: asyncio.TimerHandle | None = None  # wakes one of them when the first delayed key is due
        self._timer_due = 0.0

    def __len__(self) -> int:
        """Returns how many keys could be taken now, those included whose time has come."""
        self._promote()
        return sum(map(len, self._ready))

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Returns whether no key is ready and none is being handled; delayed keys may exist."""
        return not self._taken and not len(self)

    def failing(self) -> tuple[K, ...]:
        """Returns how many keys failed at their last attempt."""
        return tuple(self._failures)

    def add(self, key: K, priority: Priority = Priority.EVENT) -> None:
        """Queues `key`. Adding a key that is queued already only raises its priority."""
        self._add(key, self._clock(), priority)

    def add_after(self, key: K, delay: float, *, since: float | None = None) -> None:
        """Queues `key` in `delay` seconds. Of several delayed adds the earliest wins, and `add` beats them all."""
        now = self._clock()
        due = now + delay
        self._wait(key, _Wait(due, due if since is None else since, Priority.BACKGROUND))

    def pop(self) -> Item[K] | None:
        """Returns the next key, to be given back with `done`; None when nothing is due."""
        self._promote()
        source = self._next_source()
        if source is None:
            return None
        ready = self._ready[source]
        key = next(iter(ready))
        item = Item(key, ready.pop(key), self._failures.get(key, Counter()).total(), source)
        self._taken[key] = item
        return item

    async def take(self) -> Item[K]:
        """Waits until a key is due."""
        while (item := self.pop()) is None:
            await self._news()
        if any(self._ready):
            self._wake()
        self._arm()
        return item

    async def _news(self) -> None:
        """Returns when there may be a key for this taker, which then wakes another one if there are more."""
        taker = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        self._arm()
        try:
            await taker
        except asyncio.CancelledError:
            if not taker.cancelled():
                self._wake()  # it was woken for a key that another one has to take
            raise

    def _wake(self) -> None:
        """Wakes one taker: to wake all of them for one key would cost more than the key."""
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return

    def _arm(self) -> None:
        """Sees to it that a taker is woken when the first delayed key is due."""
        due = self._next_due()
        if due is None or not self._takers or (self._timer is not None and self._timer_due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._takers[0].get_loop().call_later(max(0.0, due - self._clock()), self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._wake()

    def done(self, item: Item[K], *, hold: float = 0.0) -> None:
        """Gives a key back after success. Events of it wait for `hold` seconds (a controller's coalesce interval)."""
        self._failures.pop(item.key, None)
        self._give_back(item, hold)

    def retry(self, item: Item[K], backoff: RetryDelays, *, hold: float = 0.0) -> float:
        """Gives a key back after a failure, to be tried again after a growing delay, which is returned. An event of the key
        comes sooner. Failures of each kind are counted separately: one refusal after a long silence is a first refusal.
        """
        failures = self._failures.setdefault(item.key, Counter())
        delay = max(hold, backoff.delay(failures[backoff], self._rng))
        failures[backoff] += 1
        self._give_back(item, hold)
        if not self._is_ready(item.key):
            self._wait(item.key, _Wait(self._clock() + delay, item.since, item.priority))
        return delay

    def _add(self, key: K, since: float, priority: Priority) -> None:
        if key in self._taken:
            before = self._dirty.get(key, (since, priority))
            self._dirty[key] = (min(before[0], since), min(before[1], priority))
            return
        waited = self._waiting.pop(key, None)
        if waited is not None:
            since = min(since, waited.since)
        held = self._held.get(key)
        if held is not None and held > self._clock():
            self._wait(key, _Wait(held, since, priority))
            return
        self._make_ready(key, since, priority)

    def _make_ready(self, key: K, since: float, priority: Priority) -> None:
        events, background = self._ready
        if key in events or (key in background and priority is Priority.BACKGROUND):
            return
        self._ready[priority][key] = min(since, background.pop(key, since))
        self._wake()

    def _wait(self, key: K, wait: _Wait) -> None:
        if key in self._taken:
            pass  # kept beside the run: it must not be forgotten, nor start a second run
        elif self._is_ready(key):
            return
        before = self._waiting.get(key)
        if before is not None and before.due <= wait.due:
            return
        self._waiting[key] = wait
        heapq.heappush(self._timers, (wait.due, next(self._order), key))
        self._arm()

    def _give_back(self, item: Item[K], hold: float) -> None:
        del self._taken[item.key]
        if hold > 0:
            until = self._clock() + hold
            self._held[item.key] = until
            self._holds.append((until, item.key))
        dirty = self._dirty.pop(item.key, None)
        if dirty is not None:
            self._add(item.key, *dirty)

    def _promote(self) -> None:
        """Moves keys whose time has come to the ready ones, and forgets holds that are over."""
        now = self._clock()
        while self._holds and self._holds[0][0] <= now:
            until, key = self._holds.popleft()
            if self._held.get(key) == until:
                del self._held[key]
        while self._timers and self._timers[0][0] <= now:
            due, _, key = heapq.heappop(self._timers)
            wait = self._waiting.get(key)
            if wait is None or wait.due != due:
                continue
            del self._waiting[key]
            self._add(key, wait.since, wait.priority)

    def _next_source(self) -> Priority | None:
        events, background = self._ready
        if not events and not background:
            return None
        self._pops += 1
        if not events or (background and self._pops % FAIRNESS == 0):
            return Priority.BACKGROUND
        return Priority.EVENT

    def _next_due(self) -> float | None:
        while self._timers and self._is_stale(self._timers[0]):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _is_stale(self, timer: tuple[float, int, K]) -> bool:
        wait = self._waiting.get(timer[2])
        return wait is None or wait.due != timer[0]

    def _is_ready(self, key: K) -> bool:
        return any(key in ready for ready in self._ready)

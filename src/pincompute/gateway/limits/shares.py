"""How the gateway's capacity is shared out when there is not enough: whoever takes less than a fair share is served first.

Two pure parts. `Shares` is about work a second: the last part of the capacity is kept for those below their share. `Slots` is
about work at the same time: nobody holds so much that one more could not come, and who waits is served in turns.

The surprising rule: one alone may have all the work a second, but never more than half of the slots, because work that was let
in cannot be taken back when somebody else comes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pincompute.gateway.limits.bucket import Bucket

T = TypeVar("T")

WINDOW = 1.0  # seconds over which use is averaged, and after which who did nothing no longer counts
KEPT = 0.5  # of the burst, for those below their share


@dataclass(slots=True)
class _Use:
    """Work in the last window, fading."""

    work: float
    at: float

    def left(self, now: float) -> float:
        return self.work * max(0.0, 1.0 - (now - self.at) / WINDOW)


class Shares:
    """`capacity` in tokens a second for all together."""

    def __init__(self, capacity: float, now: float) -> None:
        self._capacity = capacity
        self._all = Bucket.full(capacity, capacity * WINDOW, now)
        self._flows: OrderedDict[str, _Use] = OrderedDict()  # who did something last is last

    def wait(self, flow: str, cost: float, now: float) -> float:
        """Seconds until `flow` may do this much more; 0 when now."""
        self._forget(now)
        short = self._all.wait(cost, now)
        if short:
            return short
        use = self._flows.get(flow)
        if use is None or use.left(now) + cost <= self.share(flow) * WINDOW:
            return 0.0
        return self._all.wait(cost + KEPT * self._all.burst, now)

    def take(self, flow: str, cost: float, now: float) -> None:
        self._all.take(cost, now)
        use = self._flows.setdefault(flow, _Use(0.0, now))
        use.work, use.at = use.left(now) + cost, now
        self._flows.move_to_end(flow)

    def share(self, flow: str) -> float:
        """Tokens a second that are this flow's by right, among those that did something in the last window."""
        others = len(self._flows) - (flow in self._flows)
        return self._capacity / (others + 1)

    def _forget(self, now: float) -> None:
        while self._flows:
            flow, use = next(iter(self._flows.items()))
            if now - use.at < WINDOW:
                return
            del self._flows[flow]


@dataclass(slots=True)
class _Flow(Generic[T]):
    held: int = 0
    waiting: deque[T] = field(default_factory=deque)


class Slots(Generic[T]):
    """`size` things at the same time. `T` is whatever stands for one who waits."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0
        self._flows: OrderedDict[str, _Flow[T]] = OrderedDict()  # whose turn it is next is first

    @property
    def held(self) -> int:
        return self._held

    def take(self, flow: str) -> bool:
        """A slot at once, unless all are taken, others of this flow wait, or it holds so many that a newcomer had no room."""
        mine = self._flows.get(flow)
        if self._held >= self._size or (mine is not None and (mine.waiting or mine.held >= self._most())):
            return False
        self._hold(flow)
        return True

    def waiting(self, flow: str) -> int:
        return len(self._flows[flow].waiting) if flow in self._flows else 0

    def enqueue(self, flow: str, who: T) -> None:
        self._flows.setdefault(flow, _Flow()).waiting.append(who)

    def withdraw(self, flow: str, who: T) -> bool:
        """Who waited gave up; false when a slot was given in the meantime, which must then be released."""
        state = self._flows.get(flow)
        if state is None or who not in state.waiting:
            return False
        state.waiting.remove(who)
        self._drop_if_empty(flow)
        return True

    def release(self, flow: str) -> list[T]:
        """Gives a slot back; the answer is who has one now, each counted as a holder already."""
        self._flows[flow].held -= 1
        self._held -= 1
        self._drop_if_empty(flow)
        return self._serve()

    def _serve(self) -> list[T]:
        served: list[T] = []
        while self._held < self._size:
            flow = self._next()
            if flow is None:
                break
            served.append(self._flows[flow].waiting.popleft())
            self._hold(flow)
            self._flows.move_to_end(flow)
        return served

    def _next(self) -> str | None:
        most = self._most()
        return next((name for name, flow in self._flows.items() if flow.waiting and flow.held < most), None)

    def _most(self) -> int:
        """So many that one more flow would find as much."""
        return max(1, self._size // (len(self._flows) + 1))

    def _hold(self, flow: str) -> None:
        self._flows.setdefault(flow, _Flow()).held += 1
        self._held += 1

    def _drop_if_empty(self, flow: str) -> None:
        state = self._flows[flow]
        if not state.held and not state.waiting:
            del self._flows[flow]

"""Who is next when there is not enough for all: start-time fair queueing over flows, paced by what the gateway can do.

A flow is a project, or a caller without one. A request starts at once while nobody waits, a slot is free and the capacity is
not used up; else it waits in its flow, and the flow that had least goes first. So one that sends a hundred times its share
waits for itself, and the others do not. Pure: the time is handed in, `T` is whatever stands for one who waits.

The surprising rule: one flow never holds more slots than would leave as many for one more, because work that was let in cannot
be taken back when somebody else comes.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pincompute.gateway.limits.rate_bucket import RateBucket

T = TypeVar("T")

AHEAD = 0.02  # seconds of work that may start at once: what those who come next find before them
REMEMBERED = 10_000  # flows without a request whose work ends later than that of the others


@dataclass(slots=True)
class _QueuedRequest(Generic[T]):
    who: T
    cost: float
    number: int


@dataclass(slots=True)
class _QueuedFlow(Generic[T]):
    """`tag` is where its work ends in the queue's own time, which goes on with the work of whoever is served."""

    tag: float
    held: int = 0
    waiting: deque[_QueuedRequest[T]] = field(default_factory=deque)


class FairQueue(Generic[T]):
    """`size` requests at the same time, `capacity` tokens of work a second."""

    def __init__(self, size: int, capacity: float, now: float) -> None:
        self._size = size
        self._work = RateBucket.full(capacity, max(1.0, capacity * AHEAD), now)
        self._held = self._queued = self._number = 0
        self._tag = 0.0
        self._flows: dict[str, _QueuedFlow[T]] = {}
        self._ahead: dict[str, float] = {}  # of flows without a request, the tags that are ahead of the queue's

    @property
    def queued(self) -> int:
        return self._queued

    @property
    def held(self) -> int:
        return self._held

    def take(self, flow: str, cost: float, now: float) -> bool:
        """Starts at once, or not at all."""
        if self._queued or self._held >= self._size or self._work.wait(cost, now):
            return False
        mine = self._flows.get(flow)
        if mine is not None and mine.held >= self._most():
            return False
        self._start(flow, cost)
        return True

    def waiting(self, flow: str) -> int:
        return len(self._flows[flow].waiting) if flow in self._flows else 0

    def enqueue(self, flow: str, cost: float, who: T) -> None:
        self._number += 1
        self._queued += 1
        self._of(flow).waiting.append(_QueuedRequest(who, cost, self._number))

    def withdraw(self, flow: str, who: T) -> bool:
        """Who waited gave up; false when it was started in the meantime, and must be released."""
        state = self._flows.get(flow)
        entry = next((entry for entry in state.waiting if entry.who is who), None) if state else None
        if state is None or entry is None:
            return False
        state.waiting.remove(entry)
        self._queued -= 1
        self._drop_if_empty(flow, state)
        return True

    def release(self, flow: str) -> None:
        """The request has ended."""
        state = self._flows[flow]
        state.held -= 1
        self._held -= 1
        self._drop_if_empty(flow, state)

    def serve(self, now: float) -> list[T]:
        """Starts whoever can start now."""
        served: list[T] = []
        while (flow := self._next()) is not None:
            first = self._flows[flow].waiting[0]
            if self._work.wait(first.cost, now):
                break
            self._flows[flow].waiting.popleft()
            self._queued -= 1
            self._start(flow, first.cost)
            served.append(first.who)
        return served

    def due(self, now: float) -> float:
        """Seconds until `serve` may start somebody, if nothing is released before; infinite when only that can help."""
        flow = self._next()
        return math.inf if flow is None else self._work.wait(self._flows[flow].waiting[0].cost, now)

    def _next(self) -> str | None:
        """Of those who may start, the one that had least."""
        if not self._queued or self._held >= self._size:
            return None
        most = self._most()
        able = (
            (max(state.tag, self._tag), state.waiting[0].number, name)
            for name, state in self._flows.items()
            if state.waiting and state.held < most
        )
        return min(able, default=(0.0, 0, None))[2]

    def _most(self) -> int:
        return max(1, self._size // (len(self._flows) + 1))

    def _start(self, flow: str, cost: float) -> None:
        state = self._of(flow)
        self._tag = max(self._tag, state.tag)
        state.tag = self._tag + cost
        state.held += 1
        self._held += 1
        self._work.take(cost)

    def _of(self, flow: str) -> _QueuedFlow[T]:
        """What a flow did not use is not saved up; what it had is not forgotten."""
        state = self._flows.get(flow)
        if state is None:
            state = self._flows[flow] = _QueuedFlow(self._ahead.pop(flow, self._tag))
        return state

    def _drop_if_empty(self, flow: str, state: _QueuedFlow[T]) -> None:
        if state.held or state.waiting:
            return
        del self._flows[flow]
        if state.tag > self._tag:
            if len(self._ahead) >= REMEMBERED:
                self._ahead = {name: tag for name, tag in self._ahead.items() if tag > self._tag}
            self._ahead[flow] = state.tag

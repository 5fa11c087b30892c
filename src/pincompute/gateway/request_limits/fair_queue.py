"""Decides which request starts next when there is not enough for all, by start-time fair queueing.

A flow is a project, or a caller without one. A request starts at once while nobody waits, a slot is free and the capacity is
not used up. Otherwise it waits in its flow, and the flow that had least goes first, so a flow that sends a hundred times its
share waits for itself.

One flow never holds more slots than would leave as many for one more, because work that has started cannot be taken back when
somebody else comes. One caller never holds more than `each` slots, so a caller who sends or reads slowly does not take the
slots of a project. What a caller sends beyond that waits outside the queue until one of their own requests ends.

The queue is pure: the time is handed in, and whoever uses it starts what `serve` returns.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, Literal

from pincompute.gateway.request_limits.token_bucket import TokenBucket

AHEAD = 0.02  # seconds of work that may start at once: what those who come next find before them
REMEMBERED = 10_000  # flows without a request whose work ends later than that of the others


@dataclass(eq=False, slots=True)
class QueuedRequest:
    """`cost` is in tokens of work; `turn` is whatever stands for whoever waits."""

    flow: str
    caller: str
    cost: float
    turn: Any = None
    state: Literal["blocked", "queued", "started"] = "blocked"
    number: int = 0


@dataclass(slots=True)
class _Flow:
    """`tag` is where the flow's work ends in the queue's own time, which goes on with the work of whoever is served."""

    tag: float
    held: int = 0
    waiting: deque[QueuedRequest] = field(default_factory=deque[QueuedRequest])


@dataclass(slots=True)
class _CallerShare:
    """`held` counts requests that are queued or started; `blocked` are those beyond what one caller may have there."""

    held: int = 0
    blocked: deque[QueuedRequest] = field(default_factory=deque[QueuedRequest])


class FairQueue:
    """`size` slots, `each` of them for one caller, `capacity` tokens of work a second."""

    def __init__(self, size: int, each: int, capacity: float, now: float) -> None:
        self._size = size
        self._each = each
        self._work = TokenBucket.full(capacity, max(1.0, capacity * AHEAD), now)
        self.held = self.queued = self._number = 0
        self._tag = 0.0
        self._flows: dict[str, _Flow] = {}
        self._callers = defaultdict[str, _CallerShare](_CallerShare)
        self._ahead: dict[str, float] = {}  # of flows without a request, the tags that are ahead of the queue's

    def waiting(self, flow: str) -> int:
        return len(self._flows[flow].waiting) if flow in self._flows else 0

    def start(self, request: QueuedRequest, now: float) -> bool:
        """Starts the request at once, or does nothing."""
        if self.queued or self.held >= self._size or self._work.wait(request.cost, now):
            return False
        flow, caller = self._flows.get(request.flow), self._callers.get(request.caller)
        if (flow and flow.held >= self._most()) or (caller and caller.held >= self._each):
            return False
        self._callers[request.caller].held += 1
        self._start(request)
        return True

    def enqueue(self, request: QueuedRequest) -> None:
        caller = self._callers[request.caller]
        if caller.held < self._each:
            self._line_up(request, caller)
        else:
            caller.blocked.append(request)

    def leave(self, request: QueuedRequest) -> None:
        """The request has ended, or whoever waited gave up."""
        caller = self._callers[request.caller]
        if request.state == "blocked":
            caller.blocked.remove(request)
            return
        flow = self._flows[request.flow]
        if request.state == "started":
            flow.held -= 1
            self.held -= 1
        else:
            flow.waiting.remove(request)
            self.queued -= 1
        self._drop_if_empty(request.flow, flow)
        caller.held -= 1
        if caller.blocked:
            self._line_up(caller.blocked.popleft(), caller)
        elif not caller.held:
            del self._callers[request.caller]

    def serve(self, now: float) -> list[QueuedRequest]:
        """Starts every request that can start now."""
        served: list[QueuedRequest] = []
        while (flow := self._next()) is not None and not self._work.wait(flow.waiting[0].cost, now):
            request = flow.waiting.popleft()
            self.queued -= 1
            self._start(request)
            served.append(request)
        return served

    def due(self, now: float) -> float:
        """Seconds until `serve` may start a request, if none ends before; infinite when only that can help."""
        flow = self._next()
        return math.inf if flow is None else self._work.wait(flow.waiting[0].cost, now)

    def _next(self) -> _Flow | None:
        """Returns the flow that had least, of those that may start a request."""
        if not self.queued or self.held >= self._size:
            return None
        most = self._most()
        able = (flow for flow in self._flows.values() if flow.waiting and flow.held < most)
        return min(able, key=lambda flow: (max(flow.tag, self._tag), flow.waiting[0].number), default=None)

    def _most(self) -> int:
        return max(1, self._size // (len(self._flows) + 1))

    def _line_up(self, request: QueuedRequest, caller: _CallerShare) -> None:
        caller.held += 1
        self.queued += 1
        self._number += 1
        request.number, request.state = self._number, "queued"
        self._flow(request).waiting.append(request)

    def _start(self, request: QueuedRequest) -> None:
        flow = self._flow(request)
        self._tag = max(self._tag, flow.tag)
        flow.tag = self._tag + request.cost
        flow.held += 1
        self.held += 1
        self._work.take(request.cost)
        request.state = "started"

    def _flow(self, request: QueuedRequest) -> _Flow:
        """What a flow did not use is not saved up; what it had is not forgotten."""
        flow = self._flows.get(request.flow)
        if flow is None:
            flow = self._flows[request.flow] = _Flow(self._ahead.pop(request.flow, self._tag))
        return flow

    def _drop_if_empty(self, name: str, flow: _Flow) -> None:
        if flow.held or flow.waiting:
            return
        del self._flows[name]
        if flow.tag > self._tag:
            if len(self._ahead) >= REMEMBERED:
                self._ahead = {name: tag for name, tag in self._ahead.items() if tag > self._tag}
            self._ahead[name] = flow.tag

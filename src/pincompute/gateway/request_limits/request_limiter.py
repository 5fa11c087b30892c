"""Limits how much each caller and project may ask: rates for both, fair shares of the gateway, and the number of streams.

Only members touch a project's rate. Anybody else who asks for it pays from their own, or they could use it up. A caller holds
at most a SHARE of all slots, so slow requests of one caller leave slots to the others of their project.

A caller who asks again before Retry-After has passed is answered late, so a loop that ignores it costs nobody anything. Whoever
waits is never answered late.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from pincompute.gateway import problems
from pincompute.gateway.call_context import Caller, Operation
from pincompute.gateway.gateway_settings import LimitSettings
from pincompute.gateway.request_limits.fair_queue import FairQueue, QueuedRequest
from pincompute.gateway.request_limits.token_bucket import TokenBucket
from pincompute.kube.clock import SYSTEM, Clock

LATEST = 1.0  # seconds that a refusal is held back at most
PATIENCE = 5.0  # seconds that a request waits for a slot
SHARE = 1 / 32  # of the requests at once that may be of one caller: enough to keep one processor busy
QUEUE = 256  # requests of one flow that wait for theirs
REMEMBERED = 20_000  # buckets, before those that are full are dropped
FAILED_LOGINS_RATE, FAILED_LOGINS_BURST = 10.0, 100.0  # of one address, before answers come late


@dataclass(slots=True)
class _RateAccount:
    """A bucket, and the time until which its owner shall wait."""

    bucket: TokenBucket
    retry_at: float = float("-inf")


class RequestLimiter:
    """One for all requests of a gateway."""

    def __init__(self, limits: LimitSettings, belongs: Callable[[Caller, str], bool], clock: Clock = SYSTEM) -> None:
        """`belongs`: whether a caller has any right in a project."""
        self._limits = limits
        self._belongs = belongs
        self._clock = clock
        self._accounts: dict[str, _RateAccount] = {}
        each = max(1, round(limits.concurrency * SHARE))
        self._queue = FairQueue(limits.concurrency, each, limits.capacity, clock.monotonic())
        self._timer: asyncio.TimerHandle | None = None
        self._streams: dict[str, int] = {}

    def admit(self, caller: Caller, operation: Operation, project: str) -> RequestAdmission:
        """`async with` it: the request runs inside. Entering raises Problem 429."""
        return RequestAdmission(self, caller, operation, project)

    async def failed_login(self, source: str) -> bool:
        """A login from an address failed. After too many, the answer comes late and is not recorded: then this is false."""
        account = self._account(f"address {source}", FAILED_LOGINS_RATE, FAILED_LOGINS_BURST)
        if account.bucket.wait(1.0, self._clock.monotonic()):
            await self._clock.sleep(LATEST)
            return False
        account.bucket.take(1.0)
        return True

    async def charge(self, own: str, caller: Caller, operation: Operation, project: str) -> str:
        """Pays for the request and returns its flow. Raises Problem 429, late for a caller who did not wait."""
        now, cost = self._clock.monotonic(), operation.cost
        flow = f"project {project}" if project and self._belongs(caller, project) else own
        personal = self._account(own, self._limits.caller_rate, self._limits.caller_burst)
        common = self._account(flow, self._limits.rate, self._limits.burst) if flow != own else None
        wait = personal.bucket.wait(cost, now)
        if not wait and common is not None:
            wait = common.bucket.wait(cost, now)
        if wait:
            await self._refuse(personal, operation, flow, wait)
        personal.bucket.take(cost)
        if common is not None:
            common.bucket.take(cost)
        return flow

    async def start(self, request: QueuedRequest) -> None:
        """Returns when the request may run, which must `end` then. Raises Problem 429."""
        if self._queue.start(request, self._clock.monotonic()):
            return
        if self._queue.waiting(request.flow) >= QUEUE:
            raise problems.too_many(f"{QUEUE} requests of {request.flow} wait already", 1.0)
        request.turn = asyncio.get_running_loop().create_future()
        self._queue.enqueue(request)
        self._serve()
        try:
            async with asyncio.timeout(PATIENCE):
                await request.turn
        except BaseException as error:
            self.end(request)
            if not isinstance(error, TimeoutError):
                raise
            detail = f"the gateway is busy: no slot for {request.flow} within {PATIENCE:g} s"
            raise problems.too_many(detail, 1.0) from None

    def end(self, request: QueuedRequest) -> None:
        self._queue.leave(request)
        if self._queue.queued:
            self._serve()

    def open_stream(self, caller: Caller) -> None:
        """Raises Problem 429."""
        held = self._streams.get(caller.name, 0)
        if held >= self._limits.streams:
            raise problems.too_many(f"{caller.name} has {held} streams open, which is the limit; close one", 10.0)
        self._streams[caller.name] = held + 1

    def close_stream(self, caller: Caller) -> None:
        self._streams[caller.name] -= 1
        if not self._streams[caller.name]:
            del self._streams[caller.name]

    def _serve(self) -> None:
        """Starts every request that can start, and comes back when the next one can."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.monotonic()
        for request in self._queue.serve(now):
            if not request.turn.done():
                request.turn.set_result(None)
        due = self._queue.due(now)
        if due < math.inf:
            self._timer = asyncio.get_running_loop().call_later(due, self._serve)

    async def _refuse(self, account: _RateAccount, operation: Operation, flow: str, wait: float) -> None:
        now = self._clock.monotonic()
        late = min(LATEST, account.retry_at - now)
        problem = problems.too_many(f"{flow} asks too much: {operation} costs {operation.cost}", wait)
        account.retry_at = max(account.retry_at, now + float(problem.headers["Retry-After"]))
        if late > 0:
            await self._clock.sleep(late * (1 + self._clock.random()) / 2)  # not all at once, or they come again all at once
        raise problem

    def _account(self, name: str, rate: float, burst: float) -> _RateAccount:
        found = self._accounts.get(name)
        if found is None:
            if len(self._accounts) >= REMEMBERED:
                self._sweep()
            found = self._accounts[name] = _RateAccount(TokenBucket.full(rate, burst, self._clock.monotonic()))
        return found

    def _sweep(self) -> None:
        """Drops full buckets, and the oldest if too many are left, so that not every new account causes a sweep."""
        now = self._clock.monotonic()
        kept = [(name, account) for name, account in self._accounts.items() if not account.bucket.idle(now)]
        self._accounts = dict(kept[-REMEMBERED // 2 :])


class RequestAdmission:
    """One request between its admission and its end."""

    __slots__ = ("_caller", "_limiter", "_operation", "_project", "_request")

    def __init__(self, limiter: RequestLimiter, caller: Caller, operation: Operation, project: str) -> None:
        self._limiter, self._caller, self._operation, self._project = limiter, caller, operation, project
        self._request: QueuedRequest | None = None

    async def __aenter__(self) -> None:
        caller = self._caller
        own = f"caller {caller.name} {caller.token_id}" if caller.token_id else f"caller {caller.name}"
        flow = await self._limiter.charge(own, caller, self._operation, self._project)
        if self._operation.stream:
            self._limiter.open_stream(caller)
            return
        request = QueuedRequest(flow, own, self._operation.cost)
        await self._limiter.start(request)
        self._request = request

    async def __aexit__(self, *raised: object) -> None:
        if self._request is None:
            self._limiter.close_stream(self._caller)
        else:
            self._limiter.end(self._request)

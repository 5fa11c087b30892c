"""Rates, shares and slots: arithmetic in virtual time (S-254)."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from access_fixtures import Time, user
from hypothesis import given
from hypothesis import strategies as st

from pincompute.gateway.call_context import Caller, Operation
from pincompute.gateway.gateway_settings import LimitSettings
from pincompute.gateway.problems import Problem
from pincompute.gateway.request_limits import RequestLimiter
from pincompute.gateway.request_limits.fair_queue import FairQueue, QueuedRequest
from pincompute.gateway.request_limits.token_bucket import TokenBucket

GET = Operation("apps", "get")
LIST = Operation("apps", "list", cost=5)
WATCH = Operation("apps", "watch", stream=True)


class TestBucket:
    @given(
        rate=st.floats(0.1, 1000),
        burst=st.floats(1, 1000),
        asks=st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 50)), max_size=60),
    )
    def test_never_gives_more_than_rate_and_burst(self, rate: float, burst: float, asks: list[tuple[float, float]]) -> None:
        bucket, now, given_out = TokenBucket.full(rate, burst, 0.0), 0.0, 0.0
        for pause, cost in asks:
            now += pause
            if not bucket.wait(cost, now):
                bucket.take(cost)
                given_out += cost
            assert given_out <= burst + now * rate + max(cost for _, cost in asks) + 1e-6

    @given(rate=st.floats(0.1, 1000), burst=st.floats(1, 1000), cost=st.floats(0.1, 2000))
    def test_who_waits_as_told_is_served(self, rate: float, burst: float, cost: float) -> None:
        bucket = TokenBucket.full(rate, burst, 0.0)
        bucket.take(burst)
        told = bucket.wait(cost, 0.0)
        assert told > 0
        assert bucket.wait(cost, told + 1e-6 * (1 + told)) < 1e-6

    def test_a_clock_that_goes_back_gives_nothing(self) -> None:
        bucket = TokenBucket.full(10.0, 10.0, 100.0)
        bucket.take(10.0)
        assert bucket.wait(1.0, 50.0) == pytest.approx(0.1)


class TestFairQueue:
    @given(
        size=st.integers(1, 12),
        each=st.integers(1, 4),
        steps=st.lists(
            st.tuples(st.sampled_from("abcd"), st.sampled_from(["ask", "end", "leave", "wait"]), st.floats(0.1, 9)),
            max_size=120,
        ),
    )
    def test_no_request_is_lost_or_started_twice(self, size: int, each: int, steps: list[tuple[str, str, float]]) -> None:
        """Callers a and b are of one project, c and d of another."""
        queue = FairQueue(size, each, 10.0, 0.0)
        started: list[QueuedRequest] = []
        waiting: list[QueuedRequest] = []
        now = 0.0
        for caller, step, amount in steps:
            request = QueuedRequest("first" if caller in "ab" else "second", caller, amount)
            own = [each for each in (started if step == "end" else waiting) if each.caller == caller]
            if step == "wait":
                now += amount
            elif step == "ask" and queue.start(request, now):
                started.append(request)
            elif step == "ask":
                queue.enqueue(request)
                waiting.append(request)
            elif own:
                (started if step == "end" else waiting).remove(own[0])
                queue.leave(own[0])
            for served in queue.serve(now):
                waiting.remove(served)
                started.append(served)
            assert queue.held == len(started) <= size
            assert queue.queued == len([request for request in waiting if request.state == "queued"])
            assert all([request.caller for request in started].count(caller) <= each for caller in "abcd")
            stuck = bool(waiting) and not started and queue.due(now) == math.inf
            assert not stuck, "somebody waits for another request to end, and none is under way"

    def test_one_alone_waits_for_nobody_but_the_pace(self) -> None:
        queue = FairQueue(1000, 1000, 1000.0, 0.0)
        assert sum(queue.start(_request("only"), 0.0) for _ in range(100)) == 20
        assert queue.start(_request("only"), 0.001)

    def test_one_flow_leaves_room_for_one_more(self) -> None:
        queue = FairQueue(10, 10, 1e9, 0.0)
        assert sum(queue.start(_request("greedy"), 0.0) for _ in range(20)) == 5
        assert queue.start(_request("newcomer"), 0.0)

    def test_who_comes_new_goes_before_a_long_queue_of_another(self) -> None:
        queue = FairQueue(100, 100, 10.0, 0.0)
        assert queue.start(_request("greedy"), 0.0)
        for _ in range(50):
            queue.enqueue(_request("greedy"))
        queue.enqueue(_request("newcomer"))
        assert [request.flow for request in queue.serve(0.1)] == ["newcomer"]

    def test_a_caller_beyond_their_slots_stands_in_nobodys_way(self) -> None:
        queue = FairQueue(100, 2, 1e9, 0.0)
        slow = [QueuedRequest("project", "slow", 1.0) for _ in range(4)]
        assert [queue.start(request, 0.0) for request in slow] == [True, True, False, False]
        for request in slow[2:]:
            queue.enqueue(request)
        assert queue.start(QueuedRequest("project", "another", 1.0), 0.0)
        assert queue.serve(0.0) == []
        queue.leave(slow[0])
        assert queue.serve(0.0) == [slow[2]]

    def test_the_queue_is_fair_by_work_not_by_number(self) -> None:
        queue = FairQueue(1000, 1000, 100.0, 0.0)
        for _ in range(500):
            queue.enqueue(_request("lists", 5.0))
            queue.enqueue(_request("gets"))
        started = [request.flow for step in range(1, 301) for request in queue.serve(step / 100)]
        work = {"lists": 5.0 * started.count("lists"), "gets": 1.0 * started.count("gets")}
        assert sum(work.values()) == pytest.approx(300, abs=20)
        assert work["lists"] == pytest.approx(work["gets"], abs=10)


def _request(flow: str, cost: float = 1.0) -> QueuedRequest:
    return QueuedRequest(flow, flow, cost)


@dataclass
class Throttle:
    """A limiter in virtual time; `asleep` is how long callers were held back."""

    limits: LimitSettings = field(default_factory=LimitSettings)
    time: Time = field(default_factory=Time)
    belongs: Callable[[Caller, str], bool] = lambda _caller, _project: True

    def __post_init__(self) -> None:
        self.limiter = RequestLimiter(self.limits, self.belongs, self.time.clock)

    async def ask(self, caller: Caller, operation: Operation = GET, project: str = "demo") -> str:
        try:
            async with self.limiter.admit(caller, operation, project):
                return ""
        except Problem as problem:
            return f"{problem.status} {problem.headers['Retry-After']}"


async def test_a_list_costs_more_than_a_get() -> None:
    throttle = Throttle(LimitSettings(caller_rate=1.0, caller_burst=10.0))
    assert [await throttle.ask(user("a"), LIST) for _ in range(3)] == ["", "", "429 5"]
    assert [await throttle.ask(user("b")) for _ in range(11)] == [""] * 10 + ["429 1"]


async def test_a_projects_rate_is_shared_by_its_callers() -> None:
    throttle = Throttle(LimitSettings(rate=1.0, burst=10.0))
    for number in range(10):
        assert await throttle.ask(user(f"user{number}")) == ""
    assert await throttle.ask(user("another")) == "429 1"
    assert await throttle.ask(user("another"), project="other") == ""


async def test_a_stranger_cannot_use_up_a_projects_rate() -> None:
    throttle = Throttle(
        LimitSettings(rate=1.0, burst=10.0, caller_burst=50.0), belongs=lambda caller, _project: caller.name == "member"
    )
    for _ in range(60):
        await throttle.ask(user("stranger"))
    assert [await throttle.ask(user("member")) for _ in range(10)] == [""] * 10


async def test_tokens_of_one_subject_do_not_share_a_rate() -> None:
    throttle = Throttle(LimitSettings(caller_rate=1.0, caller_burst=1.0))
    assert await throttle.ask(Caller("ci", kind="service", token_id="token-1")) == ""
    assert await throttle.ask(Caller("ci", kind="service", token_id="token-2")) == ""
    assert await throttle.ask(Caller("ci", kind="service", token_id="token-2")) == "429 1"


async def test_who_keeps_to_retry_after_is_never_held_back_and_who_does_not_is() -> None:
    throttle = Throttle(LimitSettings(caller_rate=1.0, caller_burst=1.0))
    assert await throttle.ask(user("patient")) == ""
    before = throttle.time.monotonic
    told = await throttle.ask(user("patient"))
    assert throttle.time.monotonic == before
    throttle.time.pass_by(float(told.removeprefix("429 ")))
    assert await throttle.ask(user("patient")) == ""
    assert throttle.time.monotonic == before + float(told.removeprefix("429 "))

    assert await throttle.ask(user("hasty")) == ""
    before = throttle.time.monotonic
    assert await throttle.ask(user("hasty")) != ""
    assert await throttle.ask(user("hasty")) != ""
    assert throttle.time.monotonic > before


async def test_streams_are_counted_by_caller_and_given_back() -> None:
    throttle = Throttle(LimitSettings(streams=2))
    async with throttle.limiter.admit(user("a"), WATCH, "demo"), throttle.limiter.admit(user("a"), WATCH, "demo"):
        assert await throttle.ask(user("a"), WATCH) == "429 10"
        assert await throttle.ask(user("b"), WATCH) == ""
        assert await throttle.ask(user("a")) == ""
    assert await throttle.ask(user("a"), WATCH) == ""


async def test_a_request_waits_for_its_turn_and_its_turn_survives_being_cancelled() -> None:
    limiter = RequestLimiter(LimitSettings(concurrency=2), lambda _caller, _project: True)
    first = limiter.admit(user("a"), GET, "demo")
    await first.__aenter__()
    waiting = [asyncio.create_task(_pass(limiter, number)) for number in "bcd"]
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)
    waiting[0].cancel()  # it was started in this very moment
    done, _ = await asyncio.wait(waiting, timeout=5)
    assert len(done) == 3
    assert [task.cancelled() for task in waiting] == [True, False, False]


async def _pass(limiter: RequestLimiter, caller: str) -> None:
    async with limiter.admit(user(caller), GET, "demo"):
        await asyncio.sleep(0)


async def test_a_caller_whose_requests_do_not_end_leaves_turns_to_others_of_the_project() -> None:
    limiter = RequestLimiter(LimitSettings(concurrency=128), lambda _caller, _project: True)
    slow = [limiter.admit(user("slow"), GET, "demo") for _ in range(4)]
    for each in slow:
        await each.__aenter__()
    waiting = [asyncio.create_task(_pass(limiter, "slow")) for _ in range(30)]
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await _pass(limiter, "another")
    waiting[0].cancel()
    for each in slow:
        await each.__aexit__(None, None, None)
        waiting[1].cancel()  # it was started in this very moment
    done, _ = await asyncio.wait(waiting, timeout=5)
    assert [task.cancelled() for task in waiting] == [True, True] + [False] * 28
    assert len(done) == 30


async def test_addresses_that_fail_to_log_in_too_often_are_answered_late_and_without_a_record() -> None:
    throttle = Throttle()
    told = [await throttle.limiter.failed_login("10.0.0.1") for _ in range(120)]
    assert (told[:100], told[100]) == ([True] * 100, False)
    assert throttle.time.monotonic > 1000
    assert await throttle.limiter.failed_login("10.0.0.2")


@pytest.mark.parametrize("connections", [1, 100, 250])
def test_a_greedy_project_does_not_double_the_others_p99(connections: int) -> None:
    """A server in virtual time; the greedy one asks again on each connection as soon as it is answered."""
    assert _simulate(connections) <= 2 * _simulate(0)


def _simulate(connections: int) -> float:
    """P99 of nine polite projects, in seconds, on a server that does 1000 requests a second, one after the other."""
    capacity, seconds, polite = 1000.0, 10, 9
    queue = FairQueue(256, 256, 0.8 * capacity, 0.0)
    every = 1 / (0.5 * capacity / (polite + 1))  # half of their share
    arrivals = [
        (number * every + flow * 1e-4, f"polite{flow}") for flow in range(polite) for number in range(int(seconds / every))
    ]
    arrivals += [(number * 1e-3, "greedy") for number in range(connections)]
    heapq.heapify(arrivals)
    now, free, waits, ends = 0.0, 0.0, list[float](), list[tuple[float, int, QueuedRequest]]()
    while arrivals or queue.due(now) < math.inf:
        now = min(arrivals[0][0] if arrivals else math.inf, ends[0][0] if ends else math.inf, now + queue.due(now) + 1e-6)
        while ends and ends[0][0] <= now:
            queue.leave(heapq.heappop(ends)[2])
        while arrivals and arrivals[0][0] <= now:
            asked, who = heapq.heappop(arrivals)
            queue.enqueue(QueuedRequest(who, who, 1.0, turn=asked))
        for request in queue.serve(now):
            free = max(free, now) + 1 / capacity
            heapq.heappush(ends, (free, request.number, request))
            if request.flow != "greedy":
                waits.append(free - request.turn)
            elif free < seconds:
                heapq.heappush(arrivals, (free, request.flow))
    assert len(waits) == polite * int(seconds / every)
    return sorted(waits)[int(0.99 * len(waits))]

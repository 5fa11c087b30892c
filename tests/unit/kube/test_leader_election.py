"""Never two holders, whatever the clocks say and whoever is cut off; handed over at once when given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from aiohttp import web
from fast_informer import eventually

from pincompute.api.meta import Key
from pincompute.kube.api_client import ApiClient
from pincompute.kube.clock import Clock
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.kube.leader_election import LeaderElection, identity

KEY = Key("pincompute-system", "federation")


@dataclass
class HandTime:
    """Time that moves when the test says so. `asleep` counts those who wait for it."""

    now: float = 0.0
    asleep: list[tuple[float, asyncio.Event]] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        entry = (self.now + seconds, asyncio.Event())
        self.asleep.append(entry)
        try:
            await entry[1].wait()
        finally:
            self.asleep.remove(entry)

    def clock(self, skew: timedelta = timedelta()) -> Clock:
        return Clock(lambda: self.now, self.sleep, lambda: datetime.now(UTC) + skew, lambda: 0.5)

    def move(self, seconds: float) -> None:
        self.now += seconds
        for until, event in self.asleep:
            if until <= self.now:
                event.set()


@dataclass
class Leases:
    """One Lease object with versions; refuses the users in `cut_off`."""

    lease: dict[str, Any] | None = None
    version: int = 0
    cut_off: set[str] = field(default_factory=set)
    port: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        if request.headers["User-Agent"] in self.cut_off:
            return web.Response(status=503)
        if request.method == "GET":
            return web.json_response(self.lease) if self.lease else web.json_response({"code": 404}, status=404)
        body = await request.json()
        if request.method == "POST":
            return self._store(body) if self.lease is None else web.json_response({"reason": "AlreadyExists"}, status=409)
        if self.lease is None:
            return web.json_response({"code": 404, "reason": "NotFound"}, status=404)
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            return web.json_response({"reason": "Conflict"}, status=409)
        return self._store({"metadata": self.lease["metadata"], "spec": {**self.lease["spec"], **body["spec"]}})

    def _store(self, body: dict[str, Any]) -> web.Response:
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": str(self.version)}}
        return web.json_response(self.lease)


@pytest.fixture
async def leases() -> AsyncIterator[Leases]:
    store = Leases()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", store.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    store.port = runner.addresses[0][1]
    yield store
    await runner.cleanup()


class Contest:
    """Two contenders, a and b, in hand-moved time."""

    def __init__(self, leases: Leases, skew: timedelta = timedelta(), names: tuple[str, str] = ("a", "b")) -> None:
        self.time = HandTime()
        config = ClusterConfig(server=f"http://127.0.0.1:{leases.port}")
        self.a = LeaderElection(ApiClient(config, name="host", user_agent="a", clock=self.time.clock()), KEY, names[0])
        self.b = LeaderElection(ApiClient(config, name="host", user_agent="b", clock=self.time.clock(skew)), KEY, names[1])
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.wait(self.tasks.values())
        await self.a.client.close()
        await self.b.client.close()

    async def enter(self, lease: LeaderElection) -> None:
        self.tasks[lease.identity] = asyncio.create_task(lease.run())
        await self.settled()

    async def leave(self, lease: LeaderElection) -> None:
        task = self.tasks.pop(lease.identity)
        task.cancel()
        await asyncio.wait([task])

    async def settled(self) -> None:
        await eventually(lambda: len(self.time.asleep) == len(self.tasks))

    async def pass_time(self, seconds: float) -> None:
        """In half seconds; at no moment do both hold it."""
        for _ in range(int(seconds * 2)):
            self.time.move(0.5)
            assert min(self.a.remaining(), self.b.remaining()) <= 0
            await eventually(lambda: all(until > self.time.now for until, _ in self.time.asleep))
            await self.settled()
            assert min(self.a.remaining(), self.b.remaining()) <= 0


async def test_the_first_gets_it_and_keeps_it(leases: Leases) -> None:
    async with Contest(leases) as contest:
        await contest.enter(contest.a)
        await asyncio.wait_for(contest.a.held(), 5)
        await contest.enter(contest.b)
        await contest.pass_time(60)
        assert contest.a.remaining() > 0
        assert contest.b.holder == "a"


@pytest.mark.parametrize("minutes", [-10, 0, 10])
async def test_taken_over_from_one_who_is_cut_off_whatever_the_wall_clocks_say(leases: Leases, minutes: int) -> None:
    """F8: the one who is cut off has stopped before the other starts, with clocks 10 minutes apart."""
    async with Contest(leases, timedelta(minutes=minutes)) as contest:
        await contest.enter(contest.a)
        await contest.enter(contest.b)
        await contest.pass_time(5)
        leases.cut_off.add("a")
        await contest.pass_time(11)
        assert contest.a.remaining() <= 0
        assert contest.b.remaining() <= 0  # the margin: nobody writes
        await contest.pass_time(10)
        assert contest.b.remaining() > 0
        leases.cut_off.clear()
        await contest.pass_time(20)
        assert contest.b.remaining() > 0
        assert contest.a.holder == "b"


async def test_given_back_on_exit(leases: Leases) -> None:
    async with Contest(leases) as contest:
        await contest.enter(contest.a)
        await contest.enter(contest.b)
        await contest.leave(contest.a)
        assert contest.a.remaining() <= 0
        await contest.pass_time(3)  # one retry, not the record's whole duration
        assert contest.b.remaining() > 0
        assert leases.lease is not None
        assert leases.lease["spec"]["leaseTransitions"] == 1


async def test_held_waits_again_after_a_loss(leases: Leases) -> None:
    async with Contest(leases) as contest:
        await contest.enter(contest.a)
        leases.cut_off.add("a")
        await contest.pass_time(30)
        waiting = asyncio.create_task(contest.a.held())
        await asyncio.sleep(0)
        assert not waiting.done()
        leases.cut_off.clear()
        await contest.pass_time(3)
        await asyncio.wait_for(waiting, 5)


async def test_a_lease_that_somebody_deleted_is_made_again_and_what_was_cached_is_doubted(leases: Leases) -> None:
    acquired: list[str] = []
    async with Contest(leases) as contest:
        contest.a.on_acquired = lambda: acquired.append("a")
        await contest.enter(contest.a)
        leases.lease = None
        await contest.pass_time(5)
        assert leases.lease is not None
        assert contest.a.remaining() > 0
        assert acquired == ["a", "a"]


async def test_who_sees_another_holder_writes_no_more(leases: Leases) -> None:
    async with Contest(leases) as contest:
        await contest.enter(contest.a)
        assert leases.lease is not None
        leases.lease["spec"]["holderIdentity"] = "b"
        leases.version += 1
        leases.lease["metadata"]["resourceVersion"] = str(leases.version)
        await contest.pass_time(5)
        assert contest.a.remaining() <= 0


async def test_two_processes_with_the_same_host_name_and_number_do_not_share_it(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In containers every process may be number 1, and host names are what somebody set."""
    monkeypatch.setattr("socket.gethostname", lambda: "pincompute")
    monkeypatch.setattr("os.getpid", lambda: 1)
    names = identity(), identity()
    assert all(name.startswith("pincompute-1-") for name in names)
    async with Contest(leases, names=names) as contest:
        await contest.enter(contest.a)
        await contest.enter(contest.b)
        await contest.pass_time(60)  # which checks both all the time
        assert contest.a.remaining() > 0
        assert contest.b.holder == names[0]


def test_an_identity_is_short_enough_for_a_field_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 253)
    assert len(identity()) <= 128

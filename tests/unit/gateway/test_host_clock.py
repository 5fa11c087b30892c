"""What is written down is stamped by the host's clock, which an API server tells with each of its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from pincompute.gateway.host_clock import HostClock
from pincompute.kube.api_client import ApiClient
from pincompute.kube.cache_views import Unknown
from pincompute.kube.clock import Clock
from pincompute.kube.kubeconfig import ClusterConfig

NOW = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)


class Host:
    """Stands where the clusters do; not connected until it has a time."""

    def __init__(self, time: datetime | None = None, *, connected: bool = True) -> None:
        self.time = time
        self.connected = connected

    def client(self, _cluster: str) -> Host:
        if not self.connected:
            raise Unknown("host", "is not connected")
        return self

    def now(self) -> datetime | None:
        return self.time


@pytest.mark.parametrize(
    ("host", "told"),
    [
        (Host(connected=False), NOW),
        (Host(), NOW),
        (Host(NOW + timedelta(seconds=2)), NOW),
        (Host(NOW + timedelta(minutes=10)), NOW + timedelta(minutes=10)),
        (Host(NOW - timedelta(minutes=10)), NOW - timedelta(minutes=10)),
    ],
    ids=["not connected", "no answer yet", "agrees", "ahead of us", "behind us"],
)
def test_the_hosts_clock_counts_where_ours_differs(host: Any, told: datetime) -> None:
    assert HostClock(host, Clock(wall=lambda: NOW))() == told


def test_a_difference_is_told_once_and_its_end_as_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pincompute.gateway.host_clock")
    host: Any = Host(NOW + timedelta(minutes=10))
    time = HostClock(host, Clock(wall=lambda: NOW))
    time()
    time()
    host.time = NOW
    time()
    time()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_client_knows_its_servers_time_from_its_last_answer() -> None:
    monotonic = [100.0]

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="ok", headers={"Date": "Sat, 21 Nov 2026 14:00:00 GMT"})

    app = web.Application()
    app.router.add_get("/version", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        clock = Clock(monotonic=lambda: monotonic[0])
        async with ApiClient(ClusterConfig(f"http://127.0.0.1:{runner.addresses[0][1]}"), name="host", clock=clock) as client:
            assert client.now() is None
            await client.request("GET", "/version")
            assert client.now() == NOW
            monotonic[0] += 90
            assert client.now() == NOW + timedelta(seconds=90)
    finally:
        await runner.cleanup()


def test_whole_seconds_of_the_host_change_no_order_and_a_clock_that_is_set_is_followed() -> None:
    host: Any = Host(NOW - timedelta(minutes=10))
    time = HostClock(host, Clock(wall=lambda: NOW))
    first = time()
    host.time -= timedelta(seconds=0.9)  # a newer answer, cut to its second
    second = time()
    assert first < second < first + timedelta(seconds=0.1)
    host.time -= timedelta(minutes=1)
    assert time() == host.time

"""Runs a fixed trace of readers, and counts the reads that reach the API server with and without gateway."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import suppress

import aiohttp

from benchmarks import offered_load, resource_costs
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion
from benchmarks.compared_servers import ComparedServer
from benchmarks.goals import Figure, at_least
from benchmarks.progress import Say
from pincompute.api.workloads import PINAPPS

POLLERS = 200
WATCHERS = 100
EVERY = 2.0  # seconds between two reads of one poller
SECONDS = 10.0


async def measure(
    made: BenchmarkRegion, gateway: ComparedServer, server: ComparedServer, http: aiohttp.ClientSession, say: Say
) -> list[Figure]:
    say(f"{POLLERS} polling and {WATCHERS} watching readers for {SECONDS:g} s, at the API server and at the gateway")
    direct = await _reads(made, server, PINAPPS.path(PROJECT), "?watch=1", http)
    through = await _reads(made, gateway, f"/v1/projects/{PROJECT}/apps", "/watch", http)
    fewer = 100 * (1 - through / direct)
    note = f"{direct:,} reads without the gateway, {through:,} with it: get, list and watch of apps at the API server"
    return [Figure("reads kept from the API server", round(fewer, 2), "%", at_least(99), note)]


async def _reads(made: BenchmarkRegion, side: ComparedServer, path: str, watch: str, http: aiohttp.ClientSession) -> int:
    """Requests that the API server counted while the trace ran. It counts a watch when it ends."""
    before = await resource_costs.served(made.host)
    deadline, tls = time.monotonic() + SECONDS, side.tls()
    async with asyncio.TaskGroup() as tasks:
        for name in offered_load.names("app", POLLERS):
            tasks.create_task(_poll(side, f"{path}/{name}", tls, http, deadline))
        for _ in range(WATCHERS):
            tasks.create_task(_watch(side, path + watch, tls, http, deadline))
    await asyncio.sleep(1.0)
    did = await resource_costs.served(made.host) - before
    return sum(n for (verb, kind, _, _), n in did.counts.items() if verb in ("GET", "LIST", "WATCH") and kind == "pinapps")


async def _poll(side: ComparedServer, path: str, tls: ssl.SSLContext, http: aiohttp.ClientSession, deadline: float) -> None:
    while time.monotonic() < deadline:
        async with http.get(side.url(path), headers=side.headers, ssl=tls) as answer:
            answer.raise_for_status()
            await answer.read()
        await asyncio.sleep(EVERY)


async def _watch(side: ComparedServer, path: str, tls: ssl.SSLContext, http: aiohttp.ClientSession, deadline: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(deadline - time.monotonic()):
            async with http.get(side.url(path), headers=side.headers, ssl=tls, timeout=aiohttp.ClientTimeout()) as answer:
                answer.raise_for_status()
                async for _ in answer.content.iter_any():
                    pass

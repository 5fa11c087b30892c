"""Measures how old reads are: from a write to its event at the gateway, and from an own write to its read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from benchmarks import offered_load
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion
from benchmarks.compared_servers import ComparedServer
from benchmarks.goals import Figure, at_most, latencies, percentile
from benchmarks.progress import Say
from pincompute.api.meta import Key
from pincompute.api.workloads import PINAPPS
from pincompute.kube import write_requests

WRITES = 300
OWN_WRITES = 1000
PAUSE = 0.02  # seconds between writes
WITHIN = 10.0

Saw = Callable[[int], float]


class _Item(msgspec.Struct):
    replicas: int = 0


async def measure(made: BenchmarkRegion, gateway: ComparedServer, http: aiohttp.ClientSession, say: Say) -> list[Figure]:
    say(f"{WRITES} writes at the API server, seen at the gateway; {OWN_WRITES:,} own writes, read at once")
    lags, waits = await _staleness(made, gateway, http)
    reads, wrong = await _own_writes(gateway, http)
    note = f"from the API server's answer to the write to the event at the gateway; {WRITES} writes"
    whole = "from sending the write to the API server, so the write itself is in it"
    own = f"{OWN_WRITES:,} writes through the gateway, each read at once; {wrong} reads did not show it"
    return [
        *latencies("staleness", lags, {99: at_most(50)}, note),
        *latencies("write and staleness", waits, {}, whole),
        Figure("own-write reads P99.9", round(1000 * percentile(reads, 99.9), 1), "ms", at_most(110), own),
        Figure("own-write reads that did not show the write", wrong, "", at_most(0)),
    ]


async def _staleness(
    made: BenchmarkRegion, gateway: ComparedServer, http: aiohttp.ClientSession
) -> tuple[list[float], list[float]]:
    """Seconds to the event since the API server's answer, where the event does not come first, and since the sending."""
    name, lags, waits = offered_load.names("app", 2)[1], list[float](), list[float]()
    async with _watching(gateway, http, f"/v1/projects/{PROJECT}/apps/{name}/watch") as saw:
        for number in range(10, 10 + WRITES):
            began = time.monotonic()
            await write_requests.patch(
                made.host, PINAPPS, Key(PROJECT, name), {"spec": {"replicas": number}}, offered_load.MANAGER
            )
            answered, seen = time.monotonic(), await saw(number)
            lags.append(max(0.0, seen - answered))
            waits.append(seen - began)
            await asyncio.sleep(PAUSE)
    return lags, waits


@asynccontextmanager
async def _watching(side: ComparedServer, http: aiohttp.ClientSession, path: str) -> AsyncGenerator[Callable]:
    """Gives a function that waits until the object was seen with so many replicas, and says when that was."""
    seen, arrived = dict[int, float](), asyncio.Event()

    async def follow() -> None:
        async with http.get(side.url(path), headers=side.headers, ssl=side.tls(), timeout=aiohttp.ClientTimeout()) as answer:
            async for line in answer.content:
                if line.startswith(b"data: {") and b'"replicas"' in line:
                    seen.setdefault(msgspec.json.decode(line[6:], type=_Item).replicas, time.monotonic())
                    arrived.set()

    async def saw(replicas: int) -> float:
        async with asyncio.timeout(WITHIN):
            while replicas not in seen:
                arrived.clear()
                await arrived.wait()
        return seen[replicas]

    task = asyncio.create_task(follow())
    try:
        async with asyncio.timeout(WITHIN):
            await arrived.wait()
        yield saw
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _own_writes(side: ComparedServer, http: aiohttp.ClientSession) -> tuple[list[float], int]:
    name, tls = offered_load.names("app", 3)[2], side.tls()
    url, times, wrong = side.url(f"/v1/projects/{PROJECT}/apps/{name}"), list[float](), 0
    for number in range(10, 10 + OWN_WRITES):
        async with http.patch(url, json={"replicas": number}, headers=side.headers, ssl=tls) as answer:
            answer.raise_for_status()
            version = answer.headers["Pincompute-Version"]
        began = time.monotonic()
        async with http.get(url, headers={**side.headers, "Pincompute-Min-Version": version}, ssl=tls) as answer:
            wrong += (await answer.json())["replicas"] != number
        times.append(time.monotonic() - began)
    return times, wrong

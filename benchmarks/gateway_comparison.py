"""Compares the gateway with kube-apiserver: the same requests about the same objects, in turns.

Both sides: TLS, keep-alive, JSON without compression, authorization; the API server knows its caller by client certificate,
the gateway by service token, with limits (set too high to be reached) and audit on. The load generator is a process of its
own on the same two cores and costs both sides the same per answer, so the ratios are lower bounds.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import yaml

from benchmarks import gateway_memory, offered_load, read_freshness, reader_trace
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion, control_planes, region
from benchmarks.compared_servers import ComparedServer, sides
from benchmarks.gateway_load import LoadOrders, LoadResult
from benchmarks.goals import Figure, Goal, at_least, at_most, middle
from benchmarks.progress import Say
from pincompute.api.meta import Key
from pincompute.api.workloads import PINAPPS
from pincompute.kube import write_requests
from pincompute.region import atomic_files
from pincompute.region import gateway_programs as programs

APPS = 1000
CONNECTIONS = 16
LISTERS = 4  # connections that list: enough to keep a server busy, few enough not to measure queues only
SECONDS = 3.0
STREAMS = 1000
UNREACHED = 1e7  # tokens a second: the limits' work is done, nobody is refused


async def run(options: BenchmarkOptions, say: Say) -> list[Figure]:
    async with region(say, control_planes, members=1) as made:
        await _serve(made)
        say(f"{APPS:,} apps with status")
        await _fill(made)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            ours, theirs = await sides(made, http)
            await _until_listed(ours, http)
            figures = list[Figure]()
            for wanted in COMPARISONS:
                figures += await _compare(wanted, ours, theirs, options, say)
            figures += await read_freshness.measure(made, ours, http, say)
            figures += await reader_trace.measure(made, ours, theirs, http, say)
            figures += await gateway_memory.measure(made, ours, http, say) if options.deep else []
        return figures


@dataclass(frozen=True, slots=True)
class Comparison:
    """`paths` at the gateway and at the API server; the rate shall be `times` as high, the P99 `share` of theirs."""

    name: str
    paths: tuple[str, str]
    times: float | None
    share: float | None
    connections: int


@dataclass(slots=True)
class ComparisonRounds:
    seen: list[LoadResult] = field(default_factory=list)

    def middle(self, name: str) -> float:
        return middle([getattr(seen, name) for seen in self.seen], 6)


SIMPLE = f"/v1/projects/{PROJECT}/apps"
FULL = f"/v1/resources/projects/{PROJECT}/apps"
THEIRS = PINAPPS.path(PROJECT)
NAME = offered_load.names("app", 1)[0]
THEIR_LIST = f"{THEIRS}?resourceVersion=0"  # its cheapest, from its own cache
COMPARISONS = (
    Comparison("GET of one app", (f"{SIMPLE}/{NAME}", f"{THEIRS}/{NAME}"), 3, 0.25, CONNECTIONS),
    Comparison("GET of one app in full", (f"{FULL}/{NAME}", f"{THEIRS}/{NAME}"), None, None, CONNECTIONS),
    Comparison(f"LIST of {APPS:,}", (SIMPLE, THEIR_LIST), 50, None, LISTERS),
    Comparison(f"LIST of {APPS:,} in full", (FULL, THEIR_LIST), 10, None, LISTERS),
)


async def _compare(
    wanted: Comparison, ours: ComparedServer, theirs: ComparedServer, options: BenchmarkOptions, say: Say
) -> list[Figure]:
    """In turns, so that a mood of the machine meets both."""
    say(f"{wanted.name}, {options.rounds} rounds of {SECONDS:g} s on each side")
    mine, other = ComparisonRounds(), ComparisonRounds()
    for _ in range(options.rounds):
        for side, path, rounds in ((ours, wanted.paths[0], mine), (theirs, wanted.paths[1], other)):
            orders = side.orders(path, connections=wanted.connections, seconds=SECONDS)
            rounds.seen.append(await asyncio.to_thread(_load, orders))
    rate, rate_other = mine.middle("rate"), other.middle("rate")
    tail, tail_other = 1000 * mine.middle("p99"), 1000 * other.middle("p99")
    say(f"{wanted.name}: {rate:,.0f}/s beside {rate_other:,.0f}/s, P99 {tail:.1f} ms beside {tail_other:.1f} ms")
    size = f"{mine.middle('size') / 1000:,.1f} KB beside {other.middle('size') / 1000:,.1f} KB"
    refused = sum(seen.refused for seen in (*mine.seen, *other.seen))
    busy = (
        f"the load generator itself used {mine.middle('cpu') / SECONDS:.0%} and {other.middle('cpu') / SECONDS:.0%} of a core"
    )
    return [
        Figure(f"{wanted.name}, gateway", round(rate, 1), "/s", None, f"{size}; {busy}; {refused} refused"),
        Figure(f"{wanted.name}, kube-apiserver", round(rate_other, 1), "/s", None, "medians of rounds in turns"),
        Figure(f"{wanted.name}, ratio", round(rate / rate_other, 2), "x", at_least(wanted.times) if wanted.times else None),
        Figure(f"{wanted.name}, gateway P99", round(tail, 1), "ms", None, f"P50 {1000 * mine.middle('p50'):.1f} ms"),
        Figure(
            f"{wanted.name}, kube-apiserver P99", round(tail_other, 1), "ms", None, f"P50 {1000 * other.middle('p50'):.1f} ms"
        ),
        Figure(f"{wanted.name}, P99 ratio", round(tail / tail_other, 2), "x", _share(wanted.share)),
    ]


def _share(share: float | None) -> Goal | None:
    return at_most(share) if share else None


def _load(orders: LoadOrders) -> LoadResult:
    command = (sys.executable, "-m", "benchmarks.gateway_load")
    done = subprocess.run(command, input=msgspec.json.encode(orders), stdout=subprocess.PIPE, check=True, timeout=60)
    return msgspec.json.decode(done.stdout, type=LoadResult)


async def _serve(made: BenchmarkRegion) -> None:
    """The gateway instead of the federation, which would write while reads are measured."""
    path = programs.settings(made.layout)
    settings: dict[str, Any] = yaml.safe_load(path.read_text())
    rates = dict.fromkeys(("rate", "burst", "callerRate", "callerBurst", "capacity"), UNREACHED)
    atomic_files.write(path, yaml.safe_dump({**settings, "limits": {**rates, "streams": STREAMS}}).encode())
    await made.run(p for p in made.programs() if p.name.endswith(("-etcd", "-apiserver")) or p.name == programs.GATEWAY)


async def _fill(made: BenchmarkRegion) -> None:
    names = offered_load.names("app", APPS)
    await offered_load.submit_all(made.host, (offered_load.app(name, 2) for name in names))
    left = iter(names)

    async def say_status() -> None:
        for name in left:
            seen = (await made.host.get(PINAPPS, Key(PROJECT, name))).metadata
            body = {"metadata": {"uid": seen.uid, "resourceVersion": seen.resource_version}, "status": STATUS}
            await write_requests.update(made.host, PINAPPS, Key(PROJECT, name), body, offered_load.MANAGER, "status")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(offered_load.SENDERS):
            tasks.create_task(say_status())


STATUS: dict[str, Any] = {
    "phase": "Running",
    "observedGeneration": 1,
    "replicas": 2,
    "readyReplicas": 2,
    "updatedReplicas": 2,
    "availableReplicas": 2,
    "scheduling": {"generation": 1, "revision": "r", "placement": [{"cluster": "a1", "zone": "a", "replicas": 2}]},
    "clusters": [{"cluster": "a1", "zone": "a", "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2, "known": True}],
}


async def _until_listed(side: ComparedServer, http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(60):
        while True:
            async with http.get(side.url(SIMPLE), headers=side.headers, ssl=side.tls()) as answer:
                if answer.status == 200 and len((await answer.json())["items"]) >= APPS:
                    return
            await asyncio.sleep(0.1)

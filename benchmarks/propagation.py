"""Measures from just before a PinApp's POST to its shard's ADDED event on a watch in every member.

Host and two members are control planes only (etcd, API server), the federation is the product's own process with everything
on: schemas, admission policies, scheduling, confirmation, leases. Nothing runs in the members, so no status comes back.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks import api_server_floor, offered_load, resource_costs
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion, control_planes, region
from benchmarks.goals import Figure, at_least, at_most, latencies
from benchmarks.progress import Say
from benchmarks.watch_arrivals import Arrivals, added, watching
from pincompute.api.meta import Key
from pincompute.api.shards import PINAPPSHARDS
from pincompute.api.workloads import PINAPPS
from pincompute.region import region_programs

WARM_UP = 20
SEQUENTIAL = 60
PAUSE = 0.2  # seconds between two submits
BURSTS = (200, 1000)


@dataclass(frozen=True, slots=True)
class PropagationBench:
    """A region whose members are watched for shards."""

    region: BenchmarkRegion
    arrivals: dict[str, Arrivals]

    def last(self, key: Key) -> float:
        """When the last member had the shard."""
        return max(a.at[key] for a in self.arrivals.values())

    async def have(self, keys: list[Key]) -> None:
        wanted = set(keys)
        for arrivals in self.arrivals.values():
            await arrivals.until(lambda seen=arrivals.at: wanted <= seen.keys())


async def run(_options: BenchmarkOptions, say: Say) -> list[Figure]:
    async with region(say, control_planes) as made:
        figures = await _measure(made)
        say("the API servers alone")
        programs = [p for p in made.programs() if control_planes(p)]
        await made.run(p for p in programs if p.name != region_programs.FEDERATION)
        return figures + await api_server_floor.measure(made)


async def _measure(made: BenchmarkRegion) -> list[Figure]:
    say = made.say
    async with AsyncExitStack() as stack:
        arrivals: dict[str, Arrivals] = {}
        for name in made.members:
            await offered_load.give_room(made.clients[name])
            watch = watching(made.clients[name], PINAPPSHARDS, PROJECT, added)
            arrivals[name] = await stack.enter_async_context(watch)
        bench = PropagationBench(made, arrivals)
        await _sequential(bench, "warm", WARM_UP)
        say(f"{SEQUENTIAL} apps, one per {PAUSE:g} s")
        figures = latencies(
            "one at a time",
            await _sequential(bench, "seq", SEQUENTIAL),
            {50: at_most(20), 99: at_most(40)},
            "to the last member",
        )
        for count in BURSTS:
            say(f"burst of {count:,} apps")
            figures += await _burst(bench, count)
        return figures


async def _sequential(bench: PropagationBench, prefix: str, count: int) -> list[float]:
    taken: list[float] = []
    for name in offered_load.names(prefix, count):
        key = Key(PROJECT, name)
        began = await offered_load.submit(bench.region.host, offered_load.app(name, 2))
        await bench.have([key])
        taken.append(bench.last(key) - began)
        await asyncio.sleep(max(0.0, PAUSE - (time.monotonic() - began)))
    return taken


async def _burst(bench: PropagationBench, count: int) -> list[Figure]:
    made = bench.region
    pids = made.pids()
    requests, cpu = await resource_costs.served(made.host), resource_costs.cpu(pids)
    names = offered_load.names(f"burst{count}", count)
    began = time.monotonic()
    sent = await offered_load.submit_all(made.host, (offered_load.app(n, 2) for n in names))
    submitted = time.monotonic() - began
    await bench.have(list(sent))
    seconds = time.monotonic() - began
    spent = resource_costs.spent(cpu, resource_costs.cpu(pids))
    did = await resource_costs.served(made.host) - requests
    plural, title = PINAPPS.plural, f"burst of {count:,}"
    waits = [bench.last(key) - at for key, at in sent.items()]
    big = count == BURSTS[-1]
    writes = did.writes(plural)
    return [
        Figure(
            f"{title}, on both members",
            round(count / seconds, 1),
            "apps/s",
            at_least(140) if big else None,
            f"{seconds:.1f} s; the submits alone took {submitted:.1f} s",
        ),
        *latencies(title, waits, {}, "to the last member"),
        Figure(f"{title}, host writes", round(writes / count, 2), "per app", None, did.listed(plural)),
        Figure(f"{title}, 409s", round(100 * did.conflicts(plural) / writes, 2), "%", at_most(1)),
        Figure(f"{title}, CPU of host API server", round(1000 * spent["host-apiserver"] / count, 1), "ms/app", at_most(15)),
        Figure(
            f"{title}, CPU of federation",
            round(1000 * spent[region_programs.FEDERATION] / count, 1),
            "ms/app",
            None,
            f"{resource_costs.resident(pids[region_programs.FEDERATION]) >> 20} MB resident; " + resource_costs.busiest(spent),
        ),
    ]

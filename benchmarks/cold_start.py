"""Measures a cold start: the federation starts beside 1,000 apps (5,000 with --deep) that have nothing yet.

Converged: every member has every shard. Measured from the start of the process, its imports included.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from benchmarks import offered_load, resource_costs
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion, control_planes, region
from benchmarks.goals import Figure, at_most
from benchmarks.progress import Say
from benchmarks.watch_arrivals import added, watching
from pincompute.api.shards import PINAPPSHARDS
from pincompute.api.workloads import PINAPPS
from pincompute.region import region_programs


async def run(options: BenchmarkOptions, say: Say) -> list[Figure]:
    figures: list[Figure] = []
    for count in (1000, 5000) if options.deep else (1000,):
        async with region(say, control_planes) as made:
            for name in made.members:
                await offered_load.give_room(made.clients[name])
            figures += await _start(made, count)
    return figures


async def _start(made: BenchmarkRegion, count: int) -> list[Figure]:
    programs = [p for p in made.programs() if control_planes(p)]
    await made.run(p for p in programs if p.name != region_programs.FEDERATION)
    made.say(f"submitting {count:,} apps while no federation runs")
    await offered_load.submit_all(made.host, (offered_load.app(n, 2) for n in offered_load.names("cold", count)))
    async with AsyncExitStack() as stack:
        watches = [watching(made.clients[n], PINAPPSHARDS, PROJECT, added) for n in made.members]
        arrivals = [await stack.enter_async_context(watch) for watch in watches]
        made.say("starting the federation")
        began, served = time.monotonic(), await resource_costs.served(made.host)
        await made.run(programs)
        for watch in arrivals:
            await watch.have(count)
        seconds = max(max(a.at.values()) for a in arrivals) - began
        first = min(min(a.at.values()) for a in arrivals) - began
    did = await resource_costs.served(made.host) - served
    pid = made.pids()[region_programs.FEDERATION]
    note = f"{count / seconds:.0f} apps/s; first shard after {first:.1f} s; federation: {_used(pid)}"
    goal = at_most(30) if count == 5000 else at_most(6)
    title = f"{count:,} apps present"
    return [
        Figure(f"{title}, all shards in both members", round(seconds, 1), "s", goal, note),
        Figure(f"{title}, first shard", round(first, 1), "s", at_most(2), "from the start of the process"),
        Figure(f"{title}, host writes", round(did.writes(PINAPPS.plural) / count, 2), "per app", at_most(1.1)),
    ]


def _used(pid: int) -> str:
    return f"CPU {resource_costs.cpu({'': pid})['']:.1f} s, {resource_costs.resident(pid) >> 20} MB"

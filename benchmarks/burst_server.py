"""Runs bursts of apps in a region of one checkout, as `paired_checkouts` asks for them on standard input.

It runs with the interpreter and the modules of that checkout, so it uses only what former versions of the benchmarks have. Each
line `NAME COUNT` is answered by one line of JSON: CPU milliseconds per app by program.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack

from rich.console import Console

from benchmarks import offered_load, resource_costs
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion, control_planes, region
from benchmarks.progress import Say
from benchmarks.propagation import PropagationBench
from benchmarks.watch_arrivals import Arrivals, added, watching
from pincompute.api.shards import PINAPPSHARDS

SETTLED = 1.0  # seconds after the last shard, so that a burst pays for its own echoes


async def main() -> None:
    async with region(Say(Console(stderr=True)), control_planes) as made, AsyncExitStack() as stack:
        arrivals: dict[str, Arrivals] = {}
        for name in made.members:
            await offered_load.give_room(made.clients[name])
            watch = watching(made.clients[name], PINAPPSHARDS, PROJECT, added)
            arrivals[name] = await stack.enter_async_context(watch)
        bench = PropagationBench(made, arrivals)
        await _burst(bench, "warm", 20)
        print("ready", flush=True)
        while asked := (await asyncio.to_thread(sys.stdin.readline)).split():
            print(json.dumps(await _burst(bench, asked[0], int(asked[1]))), flush=True)


async def _burst(bench: PropagationBench, name: str, count: int) -> dict[str, float]:
    made: BenchmarkRegion = bench.region
    pids = made.pids()
    before = resource_costs.cpu(pids)
    sent = await offered_load.submit_all(made.host, (offered_load.app(each, 2) for each in offered_load.names(name, count)))
    await bench.have(list(sent))
    await asyncio.sleep(SETTLED)
    spent = resource_costs.spent(before, resource_costs.cpu(pids))
    return {program: 1000 * seconds / count for program, seconds in spent.items()}


if __name__ == "__main__":
    asyncio.run(main())

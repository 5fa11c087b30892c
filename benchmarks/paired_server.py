"""Runs bursts of apps, and reads by the gateway, in a region of one checkout, as `paired_checkouts` asks on standard input.

It runs with the interpreter and the modules of that checkout, so it uses only what former versions of the benchmarks have. Each
line is answered by one line of JSON, CPU milliseconds by program: `burst NAME COUNT` per app, `read NUMBER` per answer to that
one of `gateway_comparison.COMPARISONS`, with its size. The first `read` starts the gateway and ends the federation.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import AsyncExitStack

import aiohttp
import msgspec
import yaml
from rich.console import Console

from benchmarks import offered_load, resource_costs
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion, control_planes, region
from benchmarks.compared_servers import ComparedServer, sides
from benchmarks.gateway_comparison import COMPARISONS, UNREACHED
from benchmarks.gateway_load import LoadResult
from benchmarks.progress import Say
from benchmarks.propagation import PropagationBench
from benchmarks.watch_arrivals import Arrivals, added, watching
from pincompute.api.shards import PINAPPSHARDS
from pincompute.region import atomic_files, gateway_programs

SETTLED = 1.0  # seconds after the last shard, so that a burst pays for its own echoes
READ = 3.0  # seconds of load per round

SIZE = "bytes"  # of an answer

Costs = dict[str, float]


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
        gateway: ComparedServer | None = None
        while asked := (await asyncio.to_thread(sys.stdin.readline)).split():
            match asked:
                case ["burst", name, count]:
                    costs = await _burst(bench, name, int(count))
                case ["read", number]:
                    gateway = gateway or await _serve(made)
                    costs = await _read(made, gateway, int(number))
                case _:
                    raise SystemExit(f"expected `burst NAME COUNT` or `read NUMBER`, not {asked}")
            print(json.dumps(costs), flush=True)


async def _burst(bench: PropagationBench, name: str, count: int) -> Costs:
    made: BenchmarkRegion = bench.region
    pids = made.pids()
    before = resource_costs.cpu(pids)
    sent = await offered_load.submit_all(made.host, (offered_load.app(each, 2) for each in offered_load.names(name, count)))
    await bench.have(list(sent))
    await asyncio.sleep(SETTLED)
    return _per(count, resource_costs.spent(before, resource_costs.cpu(pids)))


async def _serve(made: BenchmarkRegion) -> ComparedServer:
    """Starts the gateway, with limits that no load reaches, instead of the federation."""
    path = gateway_programs.settings(made.layout)
    limits = dict.fromkeys(("rate", "burst", "callerRate", "callerBurst", "capacity"), UNREACHED)
    settings = {**yaml.safe_load(path.read_text()), "limits": limits}
    atomic_files.write(path, yaml.safe_dump(settings).encode())
    wanted = ("-etcd", "-apiserver", gateway_programs.GATEWAY)
    await made.run(program for program in made.programs() if program.name.endswith(wanted))
    async with aiohttp.ClientSession() as http:
        return (await sides(made, http))[0]


async def _read(made: BenchmarkRegion, gateway: ComparedServer, number: int) -> Costs:
    wanted = COMPARISONS[number]
    orders = gateway.orders(wanted.paths[0].replace("app-", "warm-"), connections=wanted.connections, seconds=READ)
    pids = made.pids()
    before = resource_costs.cpu(pids)
    command = (sys.executable, "-m", "benchmarks.gateway_load")
    loading = asyncio.to_thread(subprocess.run, command, input=msgspec.json.encode(orders), capture_output=True, check=True)
    seen = msgspec.json.decode((await loading).stdout, type=LoadResult)
    if not seen.answers or seen.refused:
        raise SystemExit(f"{wanted.name}: {seen.answers} answers, {seen.refused} refused")
    answers = round(seen.answers * (READ + orders.warm_up) / seen.seconds)
    return {**_per(answers, resource_costs.spent(before, resource_costs.cpu(pids))), SIZE: seen.size}


def _per(count: int, spent: Costs) -> Costs:
    return {program: 1000 * seconds / count for program, seconds in spent.items()}


if __name__ == "__main__":
    asyncio.run(main())

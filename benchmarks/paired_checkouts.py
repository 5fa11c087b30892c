"""Compares the CPU per app of this checkout with that of another: `python -m benchmarks pair --beside FOLDER`.

Both have a region at the same time, and bursts alternate between them, so that a machine that becomes slower does so for both.
The ratio of a round needs no quiet machine; the milliseconds do.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import subprocess
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import burst_server
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.goals import Figure, at_most
from benchmarks.progress import Say

APPS = 200
WARM_UP = 1  # rounds that are not counted
HERE = Path(__file__).parent.parent
SERVER = Path(burst_server.__file__)
MOST = at_most(1.1)
"""CPU of a change beside that before it."""

Costs = dict[str, float]


async def run(options: BenchmarkOptions, say: Say) -> list[Figure]:
    if options.beside is None:
        raise SystemExit("pair: needs --beside FOLDER, another checkout of the project with its .venv")
    async with AsyncExitStack() as stack:
        before, after = [await stack.enter_async_context(_served(each)) for each in (options.beside.resolve(), HERE)]
        rounds: list[tuple[Costs, Costs]] = []
        for number in range(WARM_UP + options.rounds):
            say(f"round {number}")
            order = (before, after) if number % 2 else (after, before)
            costs = {server: await _burst(server, f"r{number}x") for server in order}
            rounds.append((costs[before], costs[after]))
        return [_figure(program, rounds[WARM_UP:]) for program in ("host-apiserver", "federation", "a1-apiserver")]


def _figure(program: str, rounds: list[tuple[Costs, Costs]]) -> Figure:
    ratio = median(after[program] / before[program] for before, after in rounds)
    medians = (median(costs[side][program] for costs in rounds) for side in (0, 1))
    note = " -> ".join(f"{each:.1f} ms" for each in medians) + f", medians of {len(rounds)} rounds of {APPS} apps"
    return Figure(f"CPU per app of {program}, after / before", round(ratio, 2), "x", MOST, note)


@asynccontextmanager
async def _served(checkout: Path) -> AsyncGenerator[subprocess.Process]:
    """A region of the checkout, run by its own interpreter."""
    paths = [checkout / "src", checkout / "sdk" / "src", checkout]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = (str(checkout / ".venv" / "bin" / "python"), "-P", str(SERVER))
    server = await asyncio.create_subprocess_exec(
        *command, cwd=checkout, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        if await _line(server) != b"ready\n":
            raise RuntimeError(f"the region of {checkout} did not start")
        yield server
    finally:
        server.stdin.close() if server.stdin is not None else None
        await server.wait()


async def _burst(server: subprocess.Process, name: str) -> Costs:
    assert server.stdin is not None
    server.stdin.write(f"{name} {APPS}\n".encode())
    await server.stdin.drain()
    return msgspec.json.decode(await _line(server), type=Costs)


async def _line(server: subprocess.Process) -> bytes:
    assert server.stdout is not None
    return await server.stdout.readline()

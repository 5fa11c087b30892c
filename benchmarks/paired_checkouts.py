"""Compares the CPU of this checkout with that of another: `python -m benchmarks pair --beside FOLDER`.

Both have a region at the same time, and bursts of apps and then reads by the gateway alternate between them, so that a machine
that becomes slower does so for both. The ratio of a round needs no quiet machine; the milliseconds do.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import subprocess
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import paired_server
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.gateway_comparison import COMPARISONS
from benchmarks.goals import Figure, at_most
from benchmarks.paired_server import SIZE, Costs
from benchmarks.progress import Say
from pincompute.region import gateway_programs

APPS = 200
WARM_UP = 1  # rounds that are not counted
HERE = Path(__file__).parent.parent
SERVER = Path(paired_server.__file__)
MOST = at_most(1.1)
"""CPU of a change beside that before it."""

PROGRAMS = {
    "the host's API server": ("host-apiserver",),
    "the federation": ("federation",),
    "the members' API servers": ("a1-apiserver", "b1-apiserver"),
}


async def run(options: BenchmarkOptions, say: Say) -> list[Figure]:
    if options.beside is None:
        raise SystemExit("pair: needs --beside FOLDER, another checkout of the project with its .venv")
    async with AsyncExitStack() as stack:
        before, after = [await stack.enter_async_context(_served(each)) for each in (options.beside.resolve(), HERE)]
        pair = _Pair(before, after, options.rounds, say)
        bursts = await pair.rounds("burst r{round}x " + str(APPS))
        figures = [_figure(f"CPU per app of {name}", programs, bursts) for name, programs in PROGRAMS.items()]
        for number, comparison in enumerate(COMPARISONS):
            reads = await pair.rounds(f"read {number}")
            figures.append(_figure(f"CPU of the gateway per {comparison.name}", (gateway_programs.GATEWAY,), reads))
        return figures


@dataclass(frozen=True, slots=True)
class _Pair:
    before: subprocess.Process
    after: subprocess.Process
    count: int
    say: Say

    async def rounds(self, wanted: str) -> list[tuple[Costs, Costs]]:
        """What both spent for the same, in turns; the first round is not counted."""
        rounds: list[tuple[Costs, Costs]] = []
        for number in range(WARM_UP + self.count):
            line = wanted.format(round=number)
            self.say(line)
            order = (self.before, self.after) if number % 2 else (self.after, self.before)
            costs = {server: await _ask(server, line) for server in order}
            rounds.append((costs[self.before], costs[self.after]))
        return rounds[WARM_UP:]


def _figure(name: str, programs: tuple[str, ...], rounds: list[tuple[Costs, Costs]]) -> Figure:
    sums = [(_sum(before, programs), _sum(after, programs)) for before, after in rounds]
    ratio = median(after / before for before, after in sums)
    note = " -> ".join(f"{median(costs[side] for costs in sums):.3g} ms" for side in (0, 1)) + f", {len(rounds)} rounds"
    sizes = [f"{costs[SIZE] / 1000:,.1f} KB" for costs in rounds[-1] if SIZE in costs]
    return Figure(f"{name}, after / before", round(ratio, 2), "x", MOST, "; ".join(filter(None, (note, " -> ".join(sizes)))))


def _sum(costs: Costs, programs: tuple[str, ...]) -> float:
    return sum(costs[program] for program in programs)


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


async def _ask(server: subprocess.Process, line: str) -> Costs:
    assert server.stdin is not None
    server.stdin.write(f"{line}\n".encode())
    await server.stdin.drain()
    return msgspec.json.decode(await _line(server), type=Costs)


async def _line(server: subprocess.Process) -> bytes:
    assert server.stdout is not None
    return await server.stdout.readline()

"""Runs benchmarks, prints a table with the goals, and keeps JSON lines: `python -m benchmarks [NAME ...]`."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from benchmarks import (
    cold_start,
    fairness,
    gateway_comparison,
    goals,
    image_change,
    informer_fill,
    machine,
    model_size,
    node_daemons,
    paired_checkouts,
    pod_launch,
    propagation,
    scheduling_cost,
    slow_member,
    stale_watch,
    submit_to_ready,
)
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.goals import Figure, Result
from benchmarks.machine import Machine
from benchmarks.progress import Say
from pincompute import installation
from pincompute.region.cluster import manifest_provider

Run = Callable[[BenchmarkOptions, Say], Awaitable[list[Figure]]]

BENCHMARKS: dict[str, Run] = {
    "propagation": propagation.run,
    "readiness": submit_to_ready.run,
    "launch": pod_launch.run,
    "image_change": image_change.run,
    "cold_start": cold_start.run,
    "watch_cache": informer_fill.run,
    "slow_member": slow_member.run,
    "scheduling": scheduling_cost.run,
    "gateway": gateway_comparison.run,
    "fairness": fairness.run,
    "model_size": model_size.run,
    "daemons": node_daemons.run,
    "stale_watch": stale_watch.run,
    "pair": paired_checkouts.run,
}
ALONE = frozenset({"pair", "stale_watch"})  # they run only where they are named

WIDTH = 160  # of the table in a log

app = App(name="benchmarks", help=__doc__, version_flags=())


@app.default
def main(
    *names: str,
    deep: Annotated[bool, Parameter(help="also what takes minutes", negative="")] = False,
    rounds: Annotated[int, Parameter(help="repetitions of what is compared side by side")] = 5,
    beside: Annotated[Path | None, Parameter(help="another checkout of the project, for `pair`")] = None,
    keep: Annotated[bool, Parameter(help="append JSON lines to benchmarks/results")] = True,
) -> None:
    """Run the named benchmarks, or all of them."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        console.print(f"no benchmark is called {', '.join(unknown)}: expected some of {', '.join(BENCHMARKS)}")
        sys.exit(2)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a region that runs is ended
    manifest_provider.provide(installation.of)
    options, say = BenchmarkOptions(deep=deep, rounds=rounds, beside=beside), Say(console)
    results = []
    for name in names or (name for name in BENCHMARKS if name not in ALONE):
        results.append(_measure(name, options, say))
        if keep:
            goals.keep(results[-1])
    for result in results:
        console.print(goals.table(result))
    console.print(_described(results[0].machine), highlight=False)


def _measure(name: str, options: BenchmarkOptions, say: Say) -> Result:
    described, began = machine.describe(), time.monotonic()
    say(f"[bold]{name}[/bold] (load average {described.load})")
    found = asyncio.run(BENCHMARKS[name](options, say))
    return Result(name, described, machine.load(), round(time.monotonic() - began, 1), found)


def _described(here: Machine) -> str:
    return (
        f"{here.cpu}, {here.cores} cores, {here.memory_mb >> 10} GiB, Linux {here.kernel}, Python {here.python}, "
        f"revision {here.revision}, {here.date}; TLS everywhere, JSON, etcd with fsync, the load generator on the same cores"
    )


if __name__ == "__main__":
    app()

"""Starts 1,000 pods by a PinApp and by a native Deployment in the same member, in turns, in one run.

The native side is kube-controller-manager with the region's un-throttled client limits; with --deep also as it is shipped (20
requests a second). "Created": ADDED of the 1,000th pod on a watch in the member. "Ready": all pods ready on KWOK nodes, whose
pods start at once. While "created" is measured, the member runs no scheduler, so that creation is measured alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion, everything, region
from benchmarks.compared_workloads import MEMBER, NATIVE, OURS, REPLICAS, SIDES, ComparedWorkload, created, gone, ready
from benchmarks.goals import Figure, Goal, at_most, middle
from benchmarks.progress import Say
from benchmarks.watch_arrivals import watching
from pincompute.api.builtin import PODS

NODES = 12
NAME = "launch"
SCHEDULER = f"{MEMBER}-scheduler"


async def run(options: BenchmarkOptions, say: Say) -> list[Figure]:
    async with region(say, everything, members=1, simulated_nodes=NODES) as made:
        programs = [program for program in made.programs() if everything(program)]
        await made.run(program for program in programs if program.name != SCHEDULER)
        figures = await _beside(made, options, "created", created, at_most(1.1))
        await made.run(programs)
        figures += await _beside(made, options, "ready", ready, None)
        if options.deep:
            figures.append(await _as_shipped(made))
        return figures


async def _beside(
    made: BenchmarkRegion,
    options: BenchmarkOptions,
    word: str,
    sees: Callable[[str, Any], bool],
    goal: Goal | None,
) -> list[Figure]:
    """In turns: ours, native, ours, native; the first pair warms up and does not count."""
    taken: dict[str, list[float]] = {side.kind: [] for side in SIDES}
    for number in range(options.rounds + 1):
        for side in SIDES:
            seconds = await _launch(made, side, sees)
            made.say(f"{side.kind}: {REPLICAS:,} pods {word} in {seconds:.2f} s{'' if number else ' (warm-up)'}")
            if number:
                taken[side.kind].append(seconds)
    ours, native = (middle(taken[side.kind]) for side in SIDES)
    ratios = [a / b for a, b in zip(taken[OURS.kind], taken[NATIVE.kind], strict=True)]
    spread = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return [
        Figure(f"PinApp, {REPLICAS:,} pods {word}", ours, "s", None, f"median of {options.rounds}; POST on the host to watch"),
        Figure(f"Deployment, {REPLICAS:,} pods {word}", native, "s", None, "kube-controller-manager un-throttled"),
        Figure(f"PinApp / Deployment, {word}", middle(ratios), "x", goal, f"medians of pairs: {spread}"),
    ]


async def _launch(made: BenchmarkRegion, side: ComparedWorkload, sees: Callable[[str, Any], bool]) -> float:
    async with watching(made.clients[MEMBER], PODS, PROJECT, sees) as arrivals:
        began = time.monotonic()
        await side.create(made, NAME, REPLICAS)
        await arrivals.have(REPLICAS)
        seconds = max(arrivals.at.values()) - began
    await side.delete(made, NAME)
    await gone(made)
    return seconds


async def _as_shipped(made: BenchmarkRegion) -> Figure:
    """The Deployment once more with kube-controller-manager's own client limits."""
    programs = [p for p in made.programs() if everything(p)]
    name = f"{MEMBER}-controller-manager"
    await made.run(_without_limits(p) if p.name == name else p for p in programs if p.name != SCHEDULER)
    seconds = await _launch(made, NATIVE, created)
    await made.run(programs)
    return Figure(
        "Deployment as shipped, 1,000 pods created", round(seconds, 2), "s", None, "QPS 20, burst 30: client throttling"
    )


def _without_limits(program: Any) -> Any:
    return msgspec.structs.replace(program, argv=tuple(a for a in program.argv if not a.startswith("--kube-api-")))

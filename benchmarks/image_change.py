"""Changes the image of one container in 1,000 replicas of PinApps and of a native Deployment, in turns, in one run.

All stand in the same member at the same time, on the same simulated nodes, whose stages have no delay, and all may have 25% of
their replicas down. A replica of an app that declares a port first leaves the endpoints and waits until what routes requests
has followed (`connectionDrainSeconds`, 3 by default); one without ports need not, and that of a Deployment never does. So there
is an app of each. Time: from the write to the last replica that is ready with the new image. CPU: from the write until 2
seconds after that, of the API servers of the host and of the member together, with what the benchmark's own watch costs them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks import resource_costs
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion, everything, region
from benchmarks.compared_workloads import MEMBER, NATIVE, OURS, REPLICAS, SILENT, ComparedWorkload, is_replica, ready
from benchmarks.goals import Figure, Goal, at_most, middle
from benchmarks.progress import Say
from benchmarks.resource_costs import ServedRequests
from benchmarks.watch_arrivals import watching
from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import HOST

NODES = 33  # for 1,000 replicas of each side, a quarter more of the Deployment, and a pod on each node that pulls the image
AFTERWARDS = 2.0  # seconds in which controllers write what they still have to
SIDES = (OURS, SILENT, NATIVE)


@dataclass(frozen=True, slots=True)
class ImageChange:
    """What one change took: seconds until the last replica, processor seconds by program, pods that came and went, and the
    requests that the member's API server served.
    """

    seconds: float
    cpu: dict[str, float]
    pods: Counter[str]
    requests: ServedRequests


@dataclass(slots=True)
class PodCount:
    """Counts replicas and other pods that come and go, and sees a replica that is ready with the image."""

    name: str
    image: str
    counts: Counter[str] = field(default_factory=Counter[str])

    def sees(self, kind: str, pod: Any) -> bool:
        if not isinstance(pod, Pod):
            return False
        replica = is_replica(self.name, pod)
        self.counts[f"{kind} {'replica' if replica else 'pull'}"] += 1
        return replica and any(c.image == self.image for c in pod.status.container_statuses) and ready(kind, pod)


async def run(options: BenchmarkOptions, say: Say) -> list[Figure]:
    async with region(say, everything, members=1, simulated_nodes=NODES) as made:
        for side in SIDES:
            async with watching(made.clients[MEMBER], PODS, PROJECT, ready) as arrivals:
                await side.create(made, _name(side), REPLICAS)
                await arrivals.have(REPLICAS)
            say(f"{side.kind}: {REPLICAS:,} replicas are ready")
        found: dict[str, list[ImageChange]] = {side.kind: [] for side in SIDES}
        for number in range(options.rounds + 1):
            for side in SIDES if number % 2 else reversed(SIDES):
                found[side.kind].append(await _change(made, side, f"registry.example/hello:r{number}"))
        return _figures({kind: changes[1:] for kind, changes in found.items()})  # the first of each warms up


def _name(side: ComparedWorkload) -> str:
    return side.kind.lower().replace(" ", "-")


async def _change(made: BenchmarkRegion, side: ComparedWorkload, image: str) -> ImageChange:
    await asyncio.sleep(AFTERWARDS)
    count = PodCount(_name(side), image)
    served = await resource_costs.served(made.clients[MEMBER])
    async with watching(made.clients[MEMBER], PODS, PROJECT, count.sees) as arrivals:
        before, began = resource_costs.cpu(made.pids()), time.monotonic()
        await side.update(made, _name(side), image)
        await arrivals.have(REPLICAS)
        seconds = max(arrivals.at.values()) - began
        await asyncio.sleep(AFTERWARDS)
        cpu = resource_costs.spent(before, resource_costs.cpu(made.pids()))
    requests = await resource_costs.served(made.clients[MEMBER]) - served
    change = ImageChange(seconds, cpu, count.counts, requests)
    made.say(
        f"{side.kind}: image of {REPLICAS:,} replicas changed in {seconds:.2f} s, "
        f"API servers {_of_servers(change):.1f} s of CPU; {resource_costs.busiest(cpu)}; {requests.listed('pods', 'events')}"
    )
    return change


def _figures(found: dict[str, list[ImageChange]]) -> list[Figure]:
    native = found[NATIVE.kind]
    figures = [*_costs(NATIVE.kind, native), *_pods(NATIVE.kind, native, None)]
    for side in (OURS, SILENT):
        ours = found[side.kind]
        figures += _costs(side.kind, ours)
        figures.append(_compared(side, "time", ours, native, _seconds, at_most(0.25)))
        figures.append(_compared(side, "CPU of API servers", ours, native, _of_servers, at_most(0.3)))
        figures.append(_compared(side, "CPU of everything", ours, native, _of_all, None))
        figures += _pods(side.kind, ours, at_most(0))
    return figures


def _seconds(change: ImageChange) -> float:
    return change.seconds


def _of_servers(change: ImageChange) -> float:
    return sum(change.cpu.get(f"{cluster}-apiserver", 0.0) for cluster in (HOST, MEMBER))


def _of_all(change: ImageChange) -> float:
    return sum(change.cpu.values())


def _costs(kind: str, changes: list[ImageChange]) -> list[Figure]:
    last = changes[-1]
    return [
        Figure(f"{kind}, time", middle([_seconds(change) for change in changes]), "s", None, f"median of {len(changes)}"),
        Figure(f"{kind}, CPU of API servers", middle([_of_servers(change) for change in changes]), "s"),
        Figure(
            f"{kind}, requests for pods",
            middle([change.requests.writes("pods") / REPLICAS for change in changes]),
            "writes per replica",
            None,
            last.requests.listed("pods", "events"),
        ),
        Figure(
            f"{kind}, CPU of everything", middle([_of_all(c) for c in changes]), "s", None, resource_costs.busiest(last.cpu)
        ),
    ]


def _compared(
    side: ComparedWorkload,
    what: str,
    ours: list[ImageChange],
    native: list[ImageChange],
    value: Callable[[ImageChange], float],
    goal: Goal | None,
) -> Figure:
    ratios = [value(a) / value(b) for a, b in zip(ours, native, strict=True)]
    spread = "rounds: " + ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return Figure(f"{side.kind} / {NATIVE.kind}, {what}", middle(ratios), "x", goal, spread)


def _pods(kind: str, changes: list[ImageChange], goal: Goal | None) -> list[Figure]:
    pulls = f"and {changes[-1].pods['ADDED pull']} that only pull the image"
    return [
        Figure(f"{kind}, replicas {word}", middle([change.pods[f"{event} replica"] for change in changes]), "pods", goal, pulls)
        for word, event in (("created", "ADDED"), ("deleted", "DELETED"))
    ]

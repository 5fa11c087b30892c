"""Counts the pods too many of a PinApp and of a Deployment while their controllers' watches on pods are silent for 10 minutes.

Both live in the same member at the same time. Its operator and kube-controller-manager reach the API server through the same
relay, which silences their watches on pods after both workloads are ready; lists and writes still pass. At once both workloads
get half as many replicas more, and each minute one more, as an autoscaler does. A watch of the benchmark's own, which nobody
silences, counts the pods that are not ending. The minutes are real: kube-controller-manager has no clock that can be set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import silenced_watches
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion, everything, region
from benchmarks.compared_workloads import MEMBER, NATIVE, OURS, SIDES, ComparedWorkload, is_replica, ready
from benchmarks.goals import Figure, at_least, at_most
from benchmarks.progress import Say
from benchmarks.silenced_watches import SilencedWatches
from benchmarks.watch_arrivals import watching
from pincompute.api.builtin import PODS, Pod
from pincompute.api.meta import Key
from pincompute.region.cluster import certificates
from pincompute.region.process.program import Program

NODES = 6
REPLICAS = 100
MORE = REPLICAS // 2
MINUTES = 10
KUBECONFIG = "--kubeconfig="
SILENCED = (f"{MEMBER}-controller-manager", f"{MEMBER}-operator")


@dataclass(slots=True)
class Excess:
    """The live pods of one workload, and by how many they have exceeded what is wanted at most."""

    name: str
    wanted: int = REPLICAS
    most: int = 0
    live: set[Key] = field(default_factory=set[Key])

    def take(self, kind: str, pod: Pod) -> None:
        if not is_replica(self.name, pod):
            return
        (self.live.discard if kind == "DELETED" or pod.deleting else self.live.add)(pod.key)
        self.most = max(self.most, len(self.live) - self.wanted)


async def run(_options: BenchmarkOptions, say: Say) -> list[Figure]:
    async with (
        region(say, everything, members=1, simulated_nodes=NODES) as made,
        silenced_watches.before(made.layout, MEMBER, 1, certificates.CONTROLLER_MANAGER) as relay,
    ):
        await made.run(_through(relay, program) for program in made.programs() if everything(program))
        found = await _excess(made, relay)
        relay.silent = False
    return [
        Figure(
            f"pods too many, {OURS.kind}",
            found[OURS.kind].most,
            "pods",
            at_most(0),
            "the operator suspects a watch that is silent for 90 s, and lists",
        ),
        Figure(
            f"pods too many, {NATIVE.kind}", found[NATIVE.kind].most, "pods", at_least(1), f"of {REPLICAS + MORE + MINUTES}"
        ),
    ]


async def _excess(made: BenchmarkRegion, relay: SilencedWatches) -> dict[str, Excess]:
    found = {side.kind: Excess(_name(side)) for side in SIDES}
    async with watching(made.clients[MEMBER], PODS, PROJECT, _counting(found)) as arrivals:
        for side in SIDES:
            await side.create(made, _name(side), REPLICAS)
        await arrivals.have(len(SIDES) * REPLICAS)
        made.say(f"{REPLICAS} replicas of each side are ready; from now on the watches on pods are silent")
        relay.silent = True
        for minute in range(MINUTES):
            for side in SIDES:
                found[side.kind].wanted = REPLICAS + MORE + minute
                await side.scale(made, _name(side), found[side.kind].wanted)
            await asyncio.sleep(60)
            told = ", ".join(f"{kind} {len(each.live)} of {each.wanted}" for kind, each in found.items())
            made.say(f"minute {minute + 1}: {told}")
    return found


def _name(side: ComparedWorkload) -> str:
    return side.kind.lower()


def _counting(found: dict[str, Excess]) -> Callable[[str, Any], bool]:
    def sees(kind: str, pod: Any) -> bool:
        for each in found.values():
            each.take(kind, pod)
        return ready(kind, pod)

    return sees


def _through(relay: SilencedWatches, program: Program) -> Program:
    """The program as it is, but for its way to the API server."""
    if program.name not in SILENCED:
        return program
    argv = (
        f"{KUBECONFIG}{silenced_watches.kubeconfig(relay, Path(word.removeprefix(KUBECONFIG)))}"
        if word.startswith(KUBECONFIG)
        else word
        for word in program.argv
    )
    return msgspec.structs.replace(program, argv=tuple(argv))

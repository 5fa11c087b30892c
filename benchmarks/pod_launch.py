"""Starts 1,000 pods by a PinApp and by a native Deployment in the same member, in turns, in one run.

The native side is kube-controller-manager with the region's un-throttled client limits; with --deep also as it is shipped (20
requests a second). "Created": ADDED of the 1,000th pod on a watch in the member. "Ready": all pods ready on KWOK nodes, whose
pods start at once. While "created" is measured, the member runs no scheduler, so that creation is measured alone.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from benchmarks import offered_load
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion, everything, region
from benchmarks.goals import Figure, Goal, at_most, middle
from benchmarks.progress import Say
from benchmarks.watch_arrivals import Arrivals, watching
from pincompute.api import conditions
from pincompute.api.builtin import PODS, Pod
from pincompute.api.meta import Key, Manifest
from pincompute.api.workloads import PINAPPS
from pincompute.domain import pod_security_defaults
from pincompute.kube import write_requests
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import NotFound

REPLICAS = 1000
NODES = 12
MEMBER = "a1"
NAME = "launch"
SCHEDULER = f"{MEMBER}-scheduler"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{PROJECT}/deployments"
IMAGE = "registry.example/hello:2"
MERGE = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class LaunchSide:
    """One way to have 1,000 pods: how to ask for them, how to change their image, how to be rid of them."""

    name: str
    create: Callable[[BenchmarkRegion, Manifest], Awaitable[None]]
    update: Callable[[BenchmarkRegion, Manifest], Awaitable[None]]
    delete: Callable[[BenchmarkRegion], Awaitable[None]]


async def run(options: BenchmarkOptions, say: Say) -> list[Figure]:
    async with region(say, everything, members=1, simulated_nodes=NODES) as made:
        programs = [program for program in made.programs() if everything(program)]
        await made.run(program for program in programs if program.name != SCHEDULER)
        figures = await _beside(made, options, "created", created, at_most(1.1))
        await made.run(programs)
        figures += await _beside(made, options, "ready", ready, None)
        figures += await _image_change(made)
        if options.deep:
            figures.append(await _as_shipped(made))
        return figures


def created(kind: str, _pod: Any) -> bool:
    return kind == "ADDED"


def ready(kind: str, pod: Any) -> bool:
    return kind != "DELETED" and isinstance(pod, Pod) and conditions.is_true(pod.status.conditions, "Ready")


async def _beside(
    made: BenchmarkRegion,
    options: BenchmarkOptions,
    word: str,
    sees: Callable[[str, Any], bool],
    goal: Goal | None,
) -> list[Figure]:
    """In turns: ours, native, ours, native; the first pair warms up and does not count."""
    taken: dict[str, list[float]] = {side.name: [] for side in SIDES}
    for number in range(options.rounds + 1):
        for side in SIDES:
            seconds = await _launch(made, side, sees)
            made.say(f"{side.name}: {REPLICAS:,} pods {word} in {seconds:.2f} s{'' if number else ' (warm-up)'}")
            if number:
                taken[side.name].append(seconds)
    ours, native = (middle(taken[side.name]) for side in SIDES)
    ratios = [a / b for a, b in zip(taken[OURS.name], taken[NATIVE.name], strict=True)]
    spread = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return [
        Figure(f"PinApp, {REPLICAS:,} pods {word}", ours, "s", None, f"median of {options.rounds}; POST on the host to watch"),
        Figure(f"Deployment, {REPLICAS:,} pods {word}", native, "s", None, "kube-controller-manager un-throttled"),
        Figure(f"PinApp / Deployment, {word}", middle(ratios), "x", goal, f"medians of pairs: {spread}"),
    ]


async def _launch(made: BenchmarkRegion, side: LaunchSide, sees: Callable[[str, Any], bool]) -> float:
    async with watching(made.clients[MEMBER], PODS, PROJECT, sees) as arrivals:
        began = time.monotonic()
        await side.create(made, offered_load.template(NAME))
        await arrivals.have(REPLICAS)
        seconds = max(arrivals.at.values()) - began
    await side.delete(made)
    await _gone(made)
    return seconds


async def _image_change(made: BenchmarkRegion) -> list[Figure]:
    """All replicas may be down at the same time, on both sides, so that no pace is kept but the machinery's."""
    taken: dict[str, float] = {}
    made_again: dict[str, int] = {}
    for side in SIDES:
        async with watching(made.clients[MEMBER], PODS, PROJECT, ready) as arrivals:
            await side.create(made, offered_load.template(NAME))
            await arrivals.have(REPLICAS)
        async with watching(made.clients[MEMBER], PODS, PROJECT, _updated) as arrivals:
            began = time.monotonic()
            await side.update(made, offered_load.template(NAME, IMAGE))
            await arrivals.have(REPLICAS)
            taken[side.name], made_again[side.name] = max(arrivals.at.values()) - began, _recreated(arrivals)
        made.say(f"{side.name}: image of {REPLICAS:,} pods changed in {taken[side.name]:.2f} s")
        await side.delete(made)
        await _gone(made)
    return [
        Figure("image change, PinApp", round(taken[OURS.name], 2), "s", None, "1,000 replicas, maxUnavailable 25%"),
        Figure(
            "image change, Deployment",
            round(taken[NATIVE.name], 2),
            "s",
            None,
            "rolling update, maxUnavailable and maxSurge 25%",
        ),
        Figure("image change, PinApp / Deployment", round(taken[OURS.name] / taken[NATIVE.name], 2), "x", at_most(0.25)),
        Figure(
            "image change, pods made again by PinApp",
            made_again[OURS.name],
            "pods",
            at_most(0),
            f"Deployment {made_again[NATIVE.name]:,}",
        ),
    ]


def _updated(kind: str, pod: Any) -> bool:
    """The new image runs, and is ready."""
    running = isinstance(pod, Pod) and any(c.image == IMAGE for c in pod.status.container_statuses)
    return running and ready(kind, pod)


def _recreated(arrivals: Arrivals) -> int:
    return arrivals.counts.get("ADDED", 0)


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


async def _create_app(made: BenchmarkRegion, template: Manifest) -> None:
    await offered_load.submit(made.host, offered_load.app(NAME, REPLICAS, template=template, placement={"clusters": [MEMBER]}))


async def _update_app(made: BenchmarkRegion, template: Manifest) -> None:
    await _merge(made.host, f"{PINAPPS.path(PROJECT)}/{NAME}", {"spec": {"template": template}})


async def _delete_app(made: BenchmarkRegion) -> None:
    found = await made.host.get(PINAPPS, Key(PROJECT, NAME))
    await write_requests.delete(made.host, PINAPPS, found.key, found.metadata.uid)
    await _until_missing(made.host, f"{PINAPPS.path(PROJECT)}/{NAME}")


async def _create_deployment(made: BenchmarkRegion, template: Manifest) -> None:
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {"app": NAME}},
            "template": pod_security_defaults.filled(template),  # as the operator fills it in: the namespace enforces it
        },
    }
    await made.clients[MEMBER].request("POST", DEPLOYMENTS, body=msgspec.json.encode(body), deadline=60.0)


async def _update_deployment(made: BenchmarkRegion, template: Manifest) -> None:
    body: Manifest = {"spec": {"template": pod_security_defaults.filled(template)}}
    await _merge(made.clients[MEMBER], f"{DEPLOYMENTS}/{NAME}", body)


async def _delete_deployment(made: BenchmarkRegion) -> None:
    await made.clients[MEMBER].request("DELETE", f"{DEPLOYMENTS}/{NAME}", query={"propagationPolicy": "Background"})


async def _merge(client: ApiClient, path: str, body: Manifest) -> None:
    await client.request("PATCH", path, body=msgspec.json.encode(body), content_type=MERGE, deadline=60.0)


async def _until_missing(client: ApiClient, path: str) -> None:
    async with asyncio.timeout(300):
        while True:
            try:
                await client.request("GET", path)
            except NotFound:
                return
            await asyncio.sleep(0.2)


async def _gone(made: BenchmarkRegion) -> None:
    """No pod is left, so that the next round begins as this one did."""
    async with asyncio.timeout(300):
        for _ in itertools.count():
            if not (await made.clients[MEMBER].list_page(PODS, PROJECT, limit=1)).items:
                break
            await asyncio.sleep(0.5)
    await asyncio.sleep(1.0)  # what controllers still write after the last pod


OURS = LaunchSide("PinApp", _create_app, _update_app, _delete_app)
NATIVE = LaunchSide("Deployment", _create_deployment, _update_deployment, _delete_deployment)
SIDES = (OURS, NATIVE)

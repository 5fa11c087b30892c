"""Measures what the API servers themselves take on this machine now, as a floor for other figures.

Calibration: plain pods, created by 32 plain clients (1,103 to 1,352 a second on the box of PERFORMANCE.md while it was quiet).
Floor: the very requests that an app costs at least (create it, write its status, apply a shard in each member), sent one
after the other for each app by plain clients that decide nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TypeVar

import msgspec

from benchmarks import offered_load, resource_costs
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion
from benchmarks.goals import Figure
from pincompute.api import labels
from pincompute.api.builtin import PODS
from pincompute.api.meta import Key, Manifest
from pincompute.api.shards import PINAPPSHARDS
from pincompute.api.workloads import PINAPPS, PinApp
from pincompute.kube import write_requests
from pincompute.kube.api_errors import AlreadyExists

T = TypeVar("T")

PODS_MADE = 500
APPS = 200
CLIENTS = 32
ACCOUNT = b'{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}'  # no controller makes it here


async def measure(made: BenchmarkRegion) -> list[Figure]:
    return [await _pods(made), await _apps(made)]


async def _pods(made: BenchmarkRegion) -> Figure:
    member = made.members[0]
    client, pid = made.clients[member], {"": made.pids()[f"{member}-apiserver"]}
    with suppress(AlreadyExists):
        await client.request("POST", "/api/v1/namespaces/default/serviceaccounts", body=ACCOUNT)
    spec, path = offered_load.template("calibration")["spec"], PODS.path("default")

    async def create(name: str) -> None:
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        await client.request("POST", path, body=msgspec.json.encode(body), deadline=60.0)

    cpu = resource_costs.cpu(pid)
    seconds = await _all(offered_load.names("calibration", PODS_MADE), create, CLIENTS)
    used = 1000 * resource_costs.spent(cpu, resource_costs.cpu(pid))[""] / PODS_MADE
    note = f"the machine's mood: {used:.1f} ms of API server CPU each; 1,103 to 1,352/s on the quiet box"
    return Figure("calibration: plain pods created", round(PODS_MADE / seconds), "pods/s", None, note)


async def _apps(made: BenchmarkRegion) -> Figure:
    """One read is added, of what was made, for which the federation has its watch."""
    pids = {n: p for n, p in made.pids().items() if n.endswith(("-apiserver", "-etcd"))}
    cpu = resource_costs.cpu(pids)

    async def carry(name: str) -> None:
        await offered_load.submit(made.host, offered_load.app(name, 2))
        app = await _placed(made, name)
        async with asyncio.TaskGroup() as tasks:
            for member in made.members:
                body, key = _shard(app, member), Key(PROJECT, name)
                tasks.create_task(write_requests.apply(made.clients[member], PINAPPSHARDS, key, body, offered_load.MANAGER))

    seconds = await _all(offered_load.names("floor", APPS), carry, offered_load.SENDERS)
    spent = resource_costs.spent(cpu, resource_costs.cpu(pids))
    note = f"the same requests from plain clients; ms of CPU an app: {resource_costs.each(spent, APPS)}"
    return Figure("floor: API servers alone", round(APPS / seconds, 1), "apps/s", None, note)


async def _placed(made: BenchmarkRegion, name: str) -> PinApp:
    app = await made.host.get(PINAPPS, Key(PROJECT, name))
    rows = [{"cluster": member, "zone": member[0], "replicas": 1} for member in made.members]
    status = {"phase": "Progressing", "scheduling": {"generation": 1, "revision": "r", "placement": rows}}
    pins = {"uid": app.metadata.uid, "resourceVersion": app.metadata.resource_version}
    return await write_requests.update(
        made.host, PINAPPS, app.key, {"metadata": pins, "status": status}, offered_load.MANAGER, "status"
    )


def _shard(app: PinApp, member: str) -> Manifest:
    name = app.metadata.name
    marks = {labels.MANAGED_BY: labels.PINCOMPUTE, labels.ORIGIN_UID: app.metadata.uid}
    return {
        "metadata": {"name": name, "namespace": PROJECT, "labels": marks},
        "spec": {
            "origin": {"uid": app.metadata.uid, "generation": 1},
            "cluster": member,
            "zone": member[0],
            "mix": [{"revision": "r", "template": offered_load.template(name), "replicas": 1}],
        },
    }


async def _all(items: Iterable[T], do: Callable[[T], Awaitable[None]], workers: int) -> float:
    """Seconds until all are done, so many at the same time."""
    left = iter(items)

    async def work() -> None:
        for item in left:
            await do(item)

    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(work())
    return time.monotonic() - began

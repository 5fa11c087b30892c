"""Measures the gateway's memory with 20,000 pods of 1,000 apps in its caches, before and after a restart.

The pods are realistic (see `informer_fill.pod`) and stand in a real member. A figure is taken only when the gateway shows
each of them as a replica of its app.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import msgspec

from benchmarks import informer_fill, offered_load, resource_costs
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion
from benchmarks.compared_servers import ComparedServer
from benchmarks.goals import Figure, at_most
from benchmarks.progress import Say
from pincompute.api import labels
from pincompute.api.builtin import PODS
from pincompute.api.meta import Manifest
from pincompute.api.workloads import PINAPPS
from pincompute.kube.api_client import ApiClient
from pincompute.region import gateway_programs as programs

PODS_CACHED = 20_000
WITHIN = 300.0  # seconds until the gateway shows all pods
REST = 5.0  # seconds in which garbage is collected and lists' bytes are let go
KIB, MB = 1 << 10, 1 << 20


async def measure(made: BenchmarkRegion, gateway: ComparedServer, http: aiohttp.ClientSession, say: Say) -> list[Figure]:
    """Leaves the pods where they are."""
    say("memory: the gateway starts anew, without pods")
    await _restart(made)
    uids = await _uids(made.host)
    await _until_shown(gateway, http, tuple(uids), 0)
    before = _resident(made)
    say(f"memory: {PODS_CACHED:,} pods are made")
    await _fill(made.clients[made.members[0]], uids)
    await _until_shown(gateway, http, tuple(uids), PODS_CACHED)
    followed = _resident(made)
    say("memory: the gateway starts anew, with pods")
    await _restart(made)
    await _until_shown(gateway, http, tuple(uids), PODS_CACHED)
    listed = _resident(made)
    return [
        Figure("memory with 1,000 apps, no pods", before // MB, "MB"),
        Figure(f"memory with {PODS_CACHED:,} pods that came one by one", followed // MB, "MB", None, _each(before, followed)),
        Figure(f"memory with {PODS_CACHED:,} pods after a restart", listed // MB, "MB", None, _each(before, listed)),
        Figure("memory of a cached pod", round((listed - before) / PODS_CACHED / KIB, 1), "KiB", at_most(5)),
    ]


def _each(before: int, after: int) -> str:
    return f"{(after - before) / PODS_CACHED / KIB:.1f} KiB a pod, each shown as a replica"


def _resident(made: BenchmarkRegion) -> int:
    return resource_costs.resident(made.pids()[programs.GATEWAY])


async def _restart(made: BenchmarkRegion) -> None:
    wanted = [p for p in made.programs() if p.name.endswith(("-etcd", "-apiserver"))]
    await made.run(wanted)
    await made.run([*wanted, *(p for p in made.programs() if p.name == programs.GATEWAY)])


async def _uids(host: ApiClient) -> dict[str, str]:
    page = await host.list_page(PINAPPS, PROJECT, limit=0)
    return {app.metadata.name: app.metadata.uid for app in page.items}


async def _fill(member: ApiClient, uids: dict[str, str]) -> None:
    account = b'{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}'
    await member.request("POST", f"/api/v1/namespaces/{PROJECT}/serviceaccounts", body=account)
    left = _pods(uids)

    async def create() -> None:
        for pod, status in left:
            await member.request("POST", PODS.path(PROJECT), body=msgspec.json.encode(pod), deadline=60.0)
            path = f"{PODS.path(PROJECT)}/{pod['metadata']['name']}/status"
            body = msgspec.json.encode({"status": status})
            await member.request("PATCH", path, body=body, content_type="application/merge-patch+json", deadline=60.0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(offered_load.SENDERS):
            tasks.create_task(create())


def _pods(uids: dict[str, str]) -> Iterator[tuple[Manifest, Manifest]]:
    """Pods as an operator makes them, and the status a kubelet gives them."""
    apps = list(uids)
    for number in range(PODS_CACHED):
        app = apps[number % len(apps)]
        pod: dict[str, Any] = informer_fill.pod(number, number)
        metadata = pod["metadata"]
        marks = metadata["labels"] | {labels.APP: app, labels.ORIGIN_UID: uids[app], labels.CLUSTER: "a1"}
        notes = metadata["annotations"] | {labels.ORDINAL: str(number // len(apps))}
        made = {"name": f"{app}-a1-{number // len(apps)}", "labels": marks, "annotations": notes}
        owners = {"ownerReferences": metadata["ownerReferences"]}
        for container in pod["spec"]["initContainers"]:
            del container["livenessProbe"], container["readinessProbe"]  # an API server takes none there
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": made | owners, "spec": pod["spec"]}, pod["status"]


async def _until_shown(gateway: ComparedServer, http: aiohttp.ClientSession, apps: tuple[str, ...], count: int) -> None:
    async with asyncio.timeout(WITHIN):
        while await _shown(gateway, http, apps) != count:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(1.0)
    await asyncio.sleep(REST)


async def _shown(gateway: ComparedServer, http: aiohttp.ClientSession, apps: tuple[str, ...]) -> int:
    """Replicas by the gateway's word; -1 while it does not know."""
    total, tls = 0, gateway.tls()
    for app in apps:
        url = gateway.url(f"/v1/projects/{PROJECT}/apps/{app}/replicas")
        try:
            async with http.get(url, headers=gateway.headers, ssl=tls) as answer:
                found = await answer.json()
        except aiohttp.ClientError:
            return -1
        if answer.status != 200 or found.get("missing"):
            return -1
        total += len(found.get("items", ()))
    return total

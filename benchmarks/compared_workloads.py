"""Describes the two workloads that are compared in one member: a PinApp, and a native Deployment of the same template."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from benchmarks import offered_load
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion
from pincompute.api import conditions
from pincompute.api.builtin import PODS, Pod
from pincompute.api.meta import Key, Manifest
from pincompute.api.workloads import PINAPPS
from pincompute.domain import pod_security_defaults
from pincompute.kube import write_requests
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import NotFound

REPLICAS = 1000
MEMBER = "a1"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{PROJECT}/deployments"
MERGE = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class ComparedWorkload:
    """One way to have many pods: how to ask for them, how to change the workload, how to be rid of it.

    `create` takes a name and a number of replicas, `update` a name and an image, `scale` a name and a number of replicas.
    """

    kind: str
    create: Callable[[BenchmarkRegion, str, int], Awaitable[None]]
    update: Callable[[BenchmarkRegion, str, str], Awaitable[None]]
    scale: Callable[[BenchmarkRegion, str, int], Awaitable[None]]
    delete: Callable[[BenchmarkRegion, str], Awaitable[None]]


def created(kind: str, _pod: Any) -> bool:
    return kind == "ADDED"


def ready(kind: str, pod: Any) -> bool:
    return kind != "DELETED" and isinstance(pod, Pod) and conditions.is_true(pod.status.conditions, "Ready")


def is_replica(name: str, pod: Pod) -> bool:
    """Whether the pod is a replica of the workload, and not one that pulls its image."""
    return pod.metadata.labels.get("app") == name


async def gone(made: BenchmarkRegion) -> None:
    """No pod is left, so that the next round begins as this one did."""
    async with asyncio.timeout(300):
        for _ in itertools.count():
            if not (await made.clients[MEMBER].list_page(PODS, PROJECT, limit=1)).items:
                break
            await asyncio.sleep(0.5)
    await asyncio.sleep(1.0)  # what controllers still write after the last pod


async def _create_app(made: BenchmarkRegion, name: str, replicas: int, *, listens: bool = True) -> None:
    template = offered_load.template(name, listens=listens)
    await offered_load.submit(made.host, offered_load.app(name, replicas, template=template, placement={"clusters": [MEMBER]}))


async def _update_app(made: BenchmarkRegion, name: str, image: str, *, listens: bool = True) -> None:
    template = offered_load.template(name, image, listens=listens)
    await _merge(made.host, f"{PINAPPS.path(PROJECT)}/{name}", {"spec": {"template": template}})


async def _scale_app(made: BenchmarkRegion, name: str, replicas: int) -> None:
    await _merge(made.host, f"{PINAPPS.path(PROJECT)}/{name}", {"spec": {"replicas": replicas}})


async def _delete_app(made: BenchmarkRegion, name: str) -> None:
    found = await made.host.get(PINAPPS, Key(PROJECT, name))
    await write_requests.delete(made.host, PINAPPS, found.key, found.metadata.uid)
    await _until_missing(made.host, f"{PINAPPS.path(PROJECT)}/{name}")


async def _create_deployment(made: BenchmarkRegion, name: str, replicas: int) -> None:
    selector = {"matchLabels": {"app": name}}
    spec = {"replicas": replicas, "selector": selector, "template": _template(name)}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    await made.clients[MEMBER].request("POST", DEPLOYMENTS, body=msgspec.json.encode(body), deadline=60.0)


async def _update_deployment(made: BenchmarkRegion, name: str, image: str) -> None:
    await _merge(made.clients[MEMBER], f"{DEPLOYMENTS}/{name}", {"spec": {"template": _template(name, image)}})


async def _scale_deployment(made: BenchmarkRegion, name: str, replicas: int) -> None:
    await _merge(made.clients[MEMBER], f"{DEPLOYMENTS}/{name}", {"spec": {"replicas": replicas}})


async def _delete_deployment(made: BenchmarkRegion, name: str) -> None:
    await made.clients[MEMBER].request("DELETE", f"{DEPLOYMENTS}/{name}", query={"propagationPolicy": "Background"})


def _template(name: str, image: str = offered_load.IMAGE) -> Manifest:
    """Filled in as the operator does it for an app: the namespace enforces Pod Security."""
    return pod_security_defaults.filled(offered_load.template(name, image))


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


OURS = ComparedWorkload("PinApp", _create_app, _update_app, _scale_app, _delete_app)
SILENT = ComparedWorkload(
    "PinApp without ports",
    partial(_create_app, listens=False),
    partial(_update_app, listens=False),
    _scale_app,
    _delete_app,
)
NATIVE = ComparedWorkload("Deployment", _create_deployment, _update_deployment, _scale_deployment, _delete_deployment)
SIDES = (OURS, NATIVE)

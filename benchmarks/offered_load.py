"""Offers the load: apps of a usual size, sent one after the other or as fast as the API server takes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from benchmarks.benchmark_region import PROJECT
from pincompute.api.labels import MANAGED_BY, PINCOMPUTE
from pincompute.api.member_clusters import CLUSTERCAPACITIES
from pincompute.api.meta import Key, Manifest
from pincompute.api.workloads import PINAPPS
from pincompute.kube import write_requests
from pincompute.kube.api_client import ApiClient

SENDERS = 16  # requests at the same time in a burst: enough to keep two cores busy
MANAGER = "benchmark"
IMAGE = "registry.example/hello:1"
PORTS = ({"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090})

ROOM: Manifest = {
    "nodes": 1000,
    "readyNodes": 1000,
    "allocatable": {"cpu": 10**8, "memory": 10**15, "pods": 10**6},
    "free": [{"resources": {"cpu": 10**5, "memory": 10**12, "pods": 1000}, "count": 1000}],
}
"""A member's room when no operator measures it: enough for everything."""


def template(name: str, image: str = IMAGE, *, listens: bool = True) -> Manifest:
    """A pod as services have them: two ports, some environment, probes, labels; or one that declares no port."""
    container: Manifest = {
        "name": "main",
        "image": image,
        **({"ports": PORTS} if listens else {}),
        "env": [{"name": f"SETTING_{n}", "value": f"value-{n}-of-{name}"} for n in range(8)],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 5},
    }
    return {"metadata": {"labels": {"app": name, "team": "benchmarks"}}, "spec": {"containers": [container]}}


def app(name: str, replicas: int, **spec: Any) -> Manifest:
    return {
        "apiVersion": PINAPPS.api_version,
        "kind": PINAPPS.kind,
        "metadata": {"name": name, "namespace": PROJECT},
        "spec": {"replicas": replicas, "template": template(name)} | spec,
    }


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{n:05}" for n in range(count)]


async def submit(host: ApiClient, body: Manifest) -> float:
    """When the request was about to leave."""
    encoded = msgspec.json.encode(body)
    began = time.monotonic()
    await host.request("POST", PINAPPS.path(PROJECT), body=encoded, deadline=60.0)
    return began


async def submit_all(host: ApiClient, bodies: Iterable[Manifest], senders: int = SENDERS) -> dict[Key, float]:
    """As fast as the API server takes them; when each was about to leave, by key."""
    left, sent = iter(bodies), dict[Key, float]()

    async def send() -> None:
        for body in left:
            sent[Key(PROJECT, body["metadata"]["name"])] = await submit(host, body)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(senders):
            tasks.create_task(send())
    return sent


async def give_room(member: ApiClient) -> None:
    """Says what an operator would: that the member has room."""
    labels = {"labels": {MANAGED_BY: PINCOMPUTE}}
    made = await write_requests.create(member, CLUSTERCAPACITIES, {"metadata": {"name": "local", **labels}}, MANAGER)
    pins = {"uid": made.metadata.uid, "resourceVersion": made.metadata.resource_version}
    body: Manifest = {"metadata": pins, "status": {"capacity": ROOM}}
    await write_requests.update(member, CLUSTERCAPACITIES, made.key, body, MANAGER, "status")

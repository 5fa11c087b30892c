"""The pool in a running engine: what fails for some workloads does not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from federation.object_builders import capacity, template

from pincompute.api import merge_patch
from pincompute.api.builtin import NAMESPACES
from pincompute.api.kinds import KINDS
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest
from pincompute.api.sidecars import PINSIDECARS
from pincompute.api.workloads import PINAPPS, PinApp
from pincompute.engine.engine import Engine
from pincompute.federation.scheduling import pool_controller, scheduling_queue
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.testing.apiserver.cluster_store import ClusterStore
from pincompute.testing.apiserver.fault_injection import InjectedRefusal
from pincompute.testing.apiserver.memory_server import MemoryServer

SHOP = "shop"


def submit(host: ClusterStore, name: str, tier: str = "OnDemand", **pod: Manifest) -> None:
    spec = {"replicas": 1, "tier": tier, "template": pod or template()}
    host.create(PINAPPS, SHOP, {"metadata": {"name": name, "namespace": SHOP}, "spec": spec})


def placed(host: ClusterStore, name: str) -> bool:
    app = msgspec.convert(host.get(PINAPPS, Key(SHOP, name)), PinApp)
    return app.status.scheduling is not None and bool(app.status.scheduling.placement)


@asynccontextmanager
async def region() -> AsyncIterator[MemoryServer]:
    """A host with one member that has room, and nothing of the federation but scheduling."""
    host = ClusterStore(resources=(*(kind.workload for kind in KINDS), MEMBERCLUSTERS, PINSIDECARS))
    member = ClusterStore(resources=(CLUSTERCAPACITIES,))
    host.create(NAMESPACES, "", {"metadata": {"name": SHOP}})
    host.create(MEMBERCLUSTERS, "", {"metadata": {"name": "a1"}, "spec": {"zone": "a", "kubeconfig": {"name": "a1"}}})
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Healthy",
        "message": "",
        "lastTransitionTime": "2030-01-01T00:00:00Z",
    }
    host.patch(
        MEMBERCLUSTERS, Key("", "a1"), {"status": {"conditions": [ready]}}, content_type="merge-patch", subresource="status"
    )
    member.create(CLUSTERCAPACITIES, "", {"metadata": {"name": "local"}})
    room = {"capacity": merge_patch.to_json(capacity(nodes=100))}
    member.patch(CLUSTERCAPACITIES, Key("", "local"), {"status": room}, content_type="merge-patch", subresource="status")
    async with MemoryServer(host) as server, MemoryServer(member) as other, Clusters(user_agent="test") as clusters:
        for resource, indexes in scheduling_queue.INDEXES.items():
            clusters.declare("host", resource, indexes)
        engine = Engine([pool_controller.CONTROLLER], clusters)
        await clusters.add(HOST, ClusterConfig(server.url))
        await clusters.add("a1", ClusterConfig(other.url))
        task = asyncio.create_task(engine.run())
        try:
            async with asyncio.timeout(20):
                yield server
        finally:
            task.cancel()
            await asyncio.wait([task])


async def eventually(host: ClusterStore, name: str) -> None:
    while not placed(host, name):  # noqa: ASYNC110 - nobody tells when it holds
        await asyncio.sleep(0.01)


async def test_writes_that_keep_failing_stop_nobody_behind_them() -> None:
    """They used to stop everything behind the first 64 of their tier."""
    async with region() as server:
        server.faults.affects = lambda verb, path: verb == "PUT" and "/bad-" in path
        server.faults.refusal = InjectedRefusal(422)
        for n in range(pool_controller.BATCH + 20):
            submit(server.store, f"bad-{n:03}", "Reserved")
        submit(server.store, "good")
        await eventually(server.store, "good")
        assert not placed(server.store, "bad-000")
        server.faults.clear()
        server.store.patch(PINAPPS, Key(SHOP, "bad-000"), {"spec": {"replicas": 2}}, content_type="merge-patch")
        await eventually(server.store, "bad-000")  # what has changed need not rest any longer


async def test_a_workload_that_cannot_be_read_stops_nobody_behind_it() -> None:
    async with region() as server:
        submit(server.store, "bad", "Reserved", spec={"containers": ["oops"]})
        submit(server.store, "good")
        await eventually(server.store, "good")
        assert not placed(server.store, "bad")

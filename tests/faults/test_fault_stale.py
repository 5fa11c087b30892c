"""A process takes over with a cache that is ten minutes old: no pod too many, nothing deleted wrongly (F5).

pytestmark = pytest.mark.alone

The whole path is real, from the watch caches to the writes, over in-memory API servers. The successor listed everything once;
since then its watches have been silent while its predecessor went on working. A pod too many, be it for a moment only, would
be noticed: the store tells of every write.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pincompute.api import labels
from pincompute.api.builtin import NAMESPACES, PODS
from pincompute.api.labels import HOST, LOCAL
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.api.projects import PROJECTS, Project
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.settings import PINCONFIGS, PINSECRETS
from pincompute.api.shards import PINAPPSHARDS, PINPODSHARDS
from pincompute.api.sidecars import PINSIDECARS, PINSIDECARSHARDS
from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.domain import project_namespace
from pincompute.engine.api_refusals import ApiRefusals
from pincompute.engine.controller import Controller
from pincompute.engine.engine import Engine
from pincompute.federation.project import namespace_objects, project_namespaces
from pincompute.federation.scheduling import scheduling_queue
from pincompute.federation.settings import setting_references
from pincompute.federation.workload import orphan_collection
from pincompute.federation.workload import workload_controller as workload
from pincompute.kube.clock import Clock
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.informer import InformerTiming
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.operator.replicas import replicas_controller as replicas
from pincompute.testing.apiserver.cluster_store import ClusterStore
from pincompute.testing.apiserver.disruption_controller import update_budgets
from pincompute.testing.apiserver.memory_server import MemoryServer
from pincompute.testing.apiserver.version_history import StoredEvent

SHOP = "shop"
WEB = Key(SHOP, "web")
DEADLINE = 20.0
TEN_MINUTES = timedelta(minutes=10)
VAIN = 3  # reconciliations after which it is clear what a process makes of its view
PATIENT = InformerTiming(inactivity=3600.0)  # a silent watch is not given up, so the cache stays as old as it is
OURS = {"labels": {labels.MANAGED_BY: labels.PINCOMPUTE}}


@dataclass
class WriteHistory:
    """What happened to one kind in one store."""

    store: ClusterStore
    resource: Resource[Any]
    most: int = 0
    deleted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store.subscribe(self._note)

    @property
    def present(self) -> dict[str, str]:
        """Uid by name."""
        return {o["metadata"]["name"]: o["metadata"]["uid"] for o in self.store.list(self.resource, SHOP).items}

    def _note(self, resource: Resource[Any], event: StoredEvent) -> None:
        if str(resource) == str(self.resource):
            self.most = max(self.most, len(self.present))
            if event.type == "DELETED":
                self.deleted.append(event.object["metadata"]["name"])


def store(*kinds: Resource[Any], project_uid: str = "shop-uid") -> ClusterStore:
    made = ClusterStore(resources=kinds)
    made.create(NAMESPACES, "", {"metadata": {"name": SHOP, "labels": project_namespace.labels_of(SHOP, project_uid)}})
    return made


def template(version: int) -> Manifest:
    return {"spec": {"containers": [{"name": "web", "image": f"hello:{version}"}]}}


@asynccontextmanager
async def process(
    controllers: tuple[Controller[Any, Any], ...],
    stores: dict[str, ClusterStore],
    *,
    stale: frozenset[str] = frozenset(),
    age: timedelta,
) -> AsyncIterator[Engine]:
    """A process that has listed everything; the clusters in `stale` tell it nothing more. Its engine does not run yet.

    It comes to the lease only when others have worked under it for `age`.
    """
    passed = 0.0
    async with AsyncExitStack() as stack:
        clock = Clock(monotonic=lambda: time.monotonic() + passed)
        clusters = Clusters(user_agent="test", timing=PATIENT, clock=clock)
        for resource, indexes in replicas.INDEXES.items():
            clusters.declare("local", resource, indexes)
        for resource, indexes in (
            *scheduling_queue.INDEXES.items(),
            *workload.INDEXES.items(),
            *project_namespaces.INDEXES.items(),
            *setting_references.ON_HOST.items(),
        ):
            clusters.declare("host", resource, indexes)
        for resource, indexes in setting_references.IN_MEMBERS.items():
            clusters.declare("members", resource, indexes)
        engine = Engine(controllers, clusters, now=lambda: datetime.now(UTC) + age)
        await stack.enter_async_context(clusters)
        for name, content in stores.items():
            server = await stack.enter_async_context(MemoryServer(content))
            server.faults.affects = lambda verb, _path: verb == "WATCH"
            server.faults.silent = name in stale
            await clusters.add(name, ClusterConfig(server.url))
        async with asyncio.timeout(DEADLINE):
            for name in stores:
                await clusters.until_synced(name)
        passed = age.total_seconds()
        if passed:
            clusters.doubt()
        yield engine


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[None]:
    task = asyncio.create_task(engine.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(holds: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            while not holds():  # noqa: ASYNC110 - nobody tells when it holds
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE:g} s: {what}") from None


def runs(engine: Engine, controller: str) -> float:
    """How often the controller reconciled a key, and whatever came of it."""
    samples = next(iter(engine.metrics.reconciliations.collect())).samples
    return sum(s.value for s in samples if s.name.endswith("_total") and s.labels["controller"].startswith(controller))


async def reconciled_in_vain(engine: Engine, controller: str) -> None:
    """It has settled with its view, or has tried again and again."""
    await until(
        lambda: runs(engine, controller) >= VAIN or (engine.idle and runs(engine, controller) >= 1),
        "it has reconciled",
    )


# -- operator -----------------------------------------------------------------------------------------------------------------


@dataclass
class StaleMember:
    """A member cluster with one shard, and kubelets that make every pod ready at once."""

    store: ClusterStore = field(default_factory=lambda: store(PINAPPSHARDS, PINPODSHARDS, PINSIDECARSHARDS, CLUSTERCAPACITIES))
    pods: WriteHistory = field(init=False)

    def __post_init__(self) -> None:
        self.pods = WriteHistory(self.store, PODS)
        metadata = {"name": "web", "finalizers": [labels.PODS_FINALIZER], **OURS}
        spec = {"origin": {"uid": "web", "generation": 1}, "cluster": "a1", "zone": "a", "mix": self._mix(6)}
        self.store.create(PINAPPSHARDS, SHOP, {"metadata": metadata, "spec": spec})

    def scale(self, replicas: int) -> None:
        self.store.patch(PINAPPSHARDS, WEB, {"spec": {"mix": self._mix(replicas)}}, content_type="merge-patch")

    def power_failure(self) -> None:
        """All pods are lost at once."""
        for name in self.pods.present:
            self.store.delete(PODS, Key(SHOP, name), grace_seconds=0)

    async def converge(self, replicas: int) -> None:
        """The predecessor works until there are so many ready pods."""
        async with process(operators(), {LOCAL: self.store}, age=timedelta()) as engine, running(engine):
            await until(lambda: self._ready() == len(self.pods.present) == replicas, f"{replicas} pods")

    def _ready(self) -> int:
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        found = self.store.list(PODS, SHOP).items
        update_budgets(self.store)
        for pod in found:
            if pod.get("status", {}).get("phase") != "Running":
                key = Key(SHOP, pod["metadata"]["name"])
                self.store.patch(PODS, key, {"status": status}, content_type="merge-patch", subresource="status")
        return len(found)

    @staticmethod
    def _mix(replicas: int) -> list[Manifest]:
        return [{"revision": "v1", "template": template(1), "replicas": replicas}]


def operators() -> tuple[Controller[Any, Any], ...]:
    return replicas.controllers(ApiRefusals())


async def before_the_first_pod(_member: StaleMember) -> int:
    """Its view: a shard of six, no pod. Meanwhile: six pods."""
    return 6


async def with_six_pods(member: StaleMember) -> int:
    """Its view: six of six. Meanwhile: two are wanted."""
    await member.converge(6)
    return 2


async def between_down_and_up(member: StaleMember) -> int:
    """Its view: two are wanted and there are six. Meanwhile: six are wanted again."""
    await member.converge(6)
    member.scale(2)
    return 6


async def after_a_loss(member: StaleMember) -> int:
    """Its view: all pods are lost. Meanwhile: others have taken their place."""
    await member.converge(6)
    member.power_failure()
    return 6


@pytest.mark.parametrize("view", [before_the_first_pod, with_six_pods, between_down_and_up, after_a_loss])
async def test_an_operator_with_an_old_cache_makes_no_pod_too_many_and_ends_none(view):
    """F5, S-010, S-345."""
    member = StaleMember()
    wanted = await view(member)
    old = process(operators(), {LOCAL: member.store}, stale=frozenset({LOCAL}), age=TEN_MINUTES)
    async with old as successor:
        member.scale(wanted)
        await member.converge(wanted)
        pods, deleted = member.pods.present, list(member.pods.deleted)
        async with running(successor):
            await reconciled_in_vain(successor, "operator.pinapp-shard")
    assert member.pods.present == pods
    assert member.pods.deleted == deleted
    assert member.pods.most == 6


# -- federation ---------------------------------------------------------------------------------------------------------------


@dataclass
class StaleRegion:
    """A host and two members, ready, with the project's namespace everywhere."""

    stores: dict[str, ClusterStore]

    @classmethod
    def empty(cls) -> StaleRegion:
        kinds = (PINAPPS, PINPODS, PINREVISIONS, MEMBERCLUSTERS, PROJECTS, PINSECRETS, PINCONFIGS, PINSIDECARS)
        region = cls({HOST: store(*kinds)})
        project = region.host.create(PROJECTS, "", {"metadata": {"name": SHOP}, "spec": {}})
        needed = namespace_objects.listed(msgspec.convert(project, Project), "a1")
        for name in ("a1", "b1"):
            held = (PINAPPSHARDS, PINPODSHARDS, PINSIDECARSHARDS, CLUSTERCAPACITIES)
            region.stores[name] = store(*held, project_uid=project["metadata"]["uid"])
            for made in needed:
                region.stores[name].create(made.resource, SHOP, dict(made.body))
            spec = {"zone": name[0], "kubeconfig": {"name": name}}
            region.host.create(MEMBERCLUSTERS, "", {"metadata": {"name": name}, "spec": spec})
            ready = {"conditions": [{"type": "Ready", "status": "True"}]}
            change = {"status": ready}
            region.host.patch(MEMBERCLUSTERS, Key("", name), change, content_type="merge-patch", subresource="status")
        return region

    @property
    def host(self) -> ClusterStore:
        return self.stores[HOST]

    def submit(self) -> None:
        metadata = {"name": "web", "finalizers": [labels.SHARDS_FINALIZER]}
        self.host.create(PINAPPS, SHOP, {"metadata": metadata, "spec": {"replicas": 3, "template": template(1)}})

    def place(self, cluster: str) -> None:
        """What scheduling writes: the decision is new, the app's generation is not."""
        row = {"cluster": cluster, "zone": cluster[0], "replicas": 3}
        status = {"scheduling": {"generation": 1, "revision": "v1", "placement": [row]}}
        self.host.patch(PINAPPS, WEB, {"status": status}, content_type="merge-patch", subresource="status")

    def shards(self) -> dict[str, int]:
        """Replicas by member."""
        found = {name: self.stores[name].list(PINAPPSHARDS, SHOP).items for name in ("a1", "b1")}
        return {name: shards[0]["spec"]["mix"][0]["replicas"] for name, shards in found.items() if shards}

    def settle(self) -> None:
        """What operators do: all replicas are ready, and a shard that is being deleted goes."""
        for name in ("a1", "b1"):
            for item in self.stores[name].list(PINAPPSHARDS, SHOP).items:
                if "deletionTimestamp" in item["metadata"]:
                    change, subresource = {"metadata": {"finalizers": None}}, ""
                else:
                    change, subresource = {"status": self._served(item)}, "status"
                self.stores[name].patch(PINAPPSHARDS, WEB, change, content_type="merge-patch", subresource=subresource)

    @staticmethod
    def _served(shard: Manifest) -> Manifest:
        replicas, generation = shard["spec"]["mix"][0]["replicas"], shard["metadata"]["generation"]
        figures = {"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas, "guaranteed": replicas}
        return {"observedGeneration": generation, "originGeneration": 1, **figures}

    async def converge(self, shards: dict[str, int]) -> None:
        """The predecessor works until the members have these shards."""

        def done() -> bool:
            self.settle()
            return self.shards() == shards

        async with process(workload.CONTROLLERS, self.stores, age=timedelta()) as engine, running(engine):
            await until(done, f"shards {shards}")


async def test_a_federation_with_an_old_view_of_the_host_does_not_bring_back_an_old_placement():
    """F5, S-048: replicas moved from a1 to b1 meanwhile; the generation is the same, the decision is not."""
    region = StaleRegion.empty()
    region.submit()
    region.place("a1")
    await region.converge({"a1": 3})
    old = process(workload.CONTROLLERS, region.stores, stale=frozenset({HOST}), age=TEN_MINUTES)
    async with old as successor:
        region.place("b1")
        await region.converge({"b1": 3})
        histories = {name: WriteHistory(region.stores[name], PINAPPSHARDS) for name in ("a1", "b1")}
        async with running(successor):
            await reconciled_in_vain(successor, "federation.workload.pinapp")
    assert region.shards() == {"b1": 3}
    assert histories["a1"].most == 0
    assert histories["b1"].deleted == []


async def test_a_federation_that_does_not_know_an_app_yet_does_not_sweep_its_shards():
    """F5, S-008, S-010: its view of the host is from before the app was submitted, its view of the members is present."""
    region = StaleRegion.empty()
    controllers = (*workload.CONTROLLERS, orphan_collection.CONTROLLER)
    async with process(controllers, region.stores, stale=frozenset({HOST}), age=TEN_MINUTES) as successor:
        region.submit()
        region.place("a1")
        await region.converge({"a1": 3})
        async with running(successor):
            await reconciled_in_vain(successor, "federation.orphan-collection")
    assert region.shards() == {"a1": 3}

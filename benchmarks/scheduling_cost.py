"""Measures the CPU of scheduling decisions for 100 members and 20,000 workloads, without API servers.

The caches are real and hold what a region's would; writes are put into them as their answers would be. So a figure has all
that happens in the federation's event loop between an event of a workload and the answer to the write of its decision, but for
the engine's own work and the transport.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.goals import Figure, at_most, middle
from benchmarks.progress import Say
from pincompute.api import merge_patch
from pincompute.api.conditions import Condition
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import (
    CLUSTERCAPACITIES,
    MEMBERCLUSTERS,
    Capacity,
    ClusterCapacity,
    ClusterCapacityStatus,
    FreeNodes,
    MemberCluster,
    MemberClusterSpec,
    MemberClusterStatus,
    SecretReference,
)
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.workloads import (
    PINAPPS,
    ClusterReplicas,
    ClusterStatus,
    PinApp,
    PinAppSpec,
    Scheduling,
    WorkloadStatus,
)
from pincompute.domain.zone_spread import Candidate, divide
from pincompute.engine.plan import Patch, Plan, Ref
from pincompute.federation.controller_keys import PoolKey
from pincompute.federation.scheduling import pool_controller, scheduling_queue
from pincompute.federation.scheduling.demand import demand
from pincompute.kube import gc_pause
from pincompute.kube.object_store import ObjectStore

MEMBERS, WORKLOADS, SUBMITS, BLOCKED, CLASSES = 100, 20_000, 5_000, 2_000, 50
NOW = datetime(2030, 1, 1, tzinfo=UTC)
GIB = 1 << 30


class SimulatedCache(ObjectStore[Any]):
    """A store that is synced."""

    synced = True

    def list(self, namespace: str = "") -> Any:
        return self.all(namespace)


@dataclass
class SimulatedRegion:
    """The caches of a federation. Implements the `Context` of `observe`."""

    stores: dict[tuple[str, Any], SimulatedCache] = field(default_factory=dict[tuple[str, Any], SimulatedCache])
    version: int = 0
    longest: float = 0.0  # CPU seconds of one decision
    collected: float = 0.0  # the same, with a full garbage collection in it

    def view(self, cluster: str, resource: Any) -> Any:
        return self.stores[cluster, resource]

    def members(self) -> tuple[str, ...]:
        return tuple(sorted(cluster for cluster, resource in self.stores if resource is CLUSTERCAPACITIES))

    def reachable(self, cluster: str) -> bool:
        return (cluster, CLUSTERCAPACITIES) in self.stores

    def resting(self, _ref: Ref, _version: str) -> bool:
        return False

    def put(self, cluster: str, resource: Any, obj: Any) -> None:
        self.version += 1
        meta = msgspec.structs.replace(obj.metadata, resource_version=str(self.version))
        self.stores[cluster, resource].put(msgspec.structs.replace(obj, metadata=meta))

    def reconcile(self) -> Plan:
        """Reconciles once, with its writes; only the decision counts."""
        began, collections = time.process_time(), gc.get_stats()[2]["collections"]
        plan = pool_controller.decide(pool_controller.observe(PoolKey(scheduling_queue.POOL), self, NOW))
        spent = time.process_time() - began
        if gc.get_stats()[2]["collections"] == collections:
            self.longest = max(self.longest, spent)
        else:
            self.collected = max(self.collected, spent)
        for action in plan.actions:
            assert isinstance(action, Patch)
            before: Any = self.stores[HOST, action.ref.resource].get(action.ref.key)
            status = merge_patch.apply(merge_patch.to_json(before.status), action.body["status"])
            written = msgspec.structs.replace(before, status=msgspec.convert(status, WorkloadStatus))
            self.put(HOST, action.ref.resource, written)
        return plan

    def settle(self) -> None:
        while self.reconcile().wake_after == 0.0:
            continue


def template(cpu: int = 250, **more: str) -> Manifest:
    asked = {"cpu": f"{cpu}m", "memory": "256Mi", **more}
    containers = [
        {"name": "web", "image": "registry/hello:7", "resources": {"requests": asked}},
        {"name": "proxy", "image": "registry/proxy:3", "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}},
    ]
    return {"metadata": {"labels": {"app": "hello"}}, "spec": {"containers": containers}}


def capacity(used: int = 0) -> Capacity:
    """50 nodes of 64 cores in 16 sizes of what is left."""
    left = [(64_000 - used - 900 * n, (256 - 3 * n) * GIB, 200 - n) for n in range(16)]
    rows = [{"cpu": cpu, "memory": memory, "pods": pods, "ephemeral-storage": 100 * GIB} for cpu, memory, pods in left]
    return Capacity(
        nodes=50,
        ready_nodes=50,
        allocatable={"cpu": 50 * 64_000, "memory": 50 * 256 * GIB, "pods": 50 * 250, "ephemeral-storage": 5_000 * GIB},
        requested={"cpu": 200_000 + used, "memory": 900 * GIB, "pods": 2_000},
        free=tuple(FreeNodes(resources=row, count=3) for row in rows),
    )


def region() -> SimulatedRegion:
    made = SimulatedRegion()
    made.stores[HOST, MEMBERCLUSTERS] = SimulatedCache({})
    for resource, indexes in scheduling_queue.INDEXES.items():
        made.stores[HOST, resource] = SimulatedCache(indexes)
    for n in range(MEMBERS):
        _join(made, f"{'abcde'[n % 5]}{n}")
    for n in range(WORKLOADS):
        made.put(HOST, PINAPPS, _running(made, f"app-{n:05}", n))
    return made


def _join(made: SimulatedRegion, name: str) -> None:
    ready = Condition(type="Ready", status="True", reason="Healthy", message="")
    cluster = MemberCluster(
        metadata=ObjectMeta(name=name, uid=name),
        spec=MemberClusterSpec(zone=name[0], kubeconfig=SecretReference(name=name)),
        status=MemberClusterStatus(conditions=(ready,)),
    )
    made.put(HOST, MEMBERCLUSTERS, cluster)
    made.stores[name, CLUSTERCAPACITIES] = SimulatedCache({})
    measure(made, name, 0)


def measure(made: SimulatedRegion, name: str, second: int) -> None:
    """The member reports its room anew."""
    status = ClusterCapacityStatus(capacity=capacity(used=second), measured_at=NOW + timedelta(seconds=second))
    made.put(name, CLUSTERCAPACITIES, ClusterCapacity(metadata=ObjectMeta(name="local", uid=name), status=status))


def new(name: str, order: int, pod: Manifest | None = None) -> PinApp:
    made = NOW + timedelta(seconds=order)
    meta = ObjectMeta(name=name, namespace=f"project-{order % 50:02}", uid=f"uid-{name}", generation=1, creation_timestamp=made)
    return PinApp(metadata=meta, spec=PinAppSpec(template=pod or template(), replicas=6))


def _running(made: SimulatedRegion, name: str, order: int) -> PinApp:
    """An app that has been running since before its clusters measured."""
    names = made.members()
    app = new(name, order - WORKLOADS)
    places = [names[(7 * order + 11 * n) % MEMBERS] for n in range(6)]
    before = NOW - timedelta(seconds=60 + order % 600)
    decision = Scheduling(
        generation=1,
        demand=demand(scheduling_queue.read(app)).hash,
        placement=tuple(ClusterReplicas(cluster=c, zone=c[0], replicas=1, added=1) for c in places),
    )
    lines = tuple(ClusterStatus(cluster=c, zone=c[0], replicas=1, ready_replicas=1, reported_at=before) for c in places)
    return msgspec.structs.replace(app, status=WorkloadStatus(phase="Running", scheduling=decision, clusters=lines))


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds."""
    began = time.process_time()
    work()
    return time.process_time() - began


async def run(_options: BenchmarkOptions, say: Say) -> list[Figure]:
    say(f"{MEMBERS} members, {WORKLOADS:,} workloads that run")
    made = region()
    made.settle()
    gc_pause.freeze()  # as the federation does when its caches have synced
    say("figures")
    return [*_submits(made), *_reports(made), *_divisions()]


def _submits(made: SimulatedRegion) -> Iterator[Figure]:
    apps = [new(f"one-{n:03}", n) for n in range(100)]

    def submit(app: PinApp) -> None:
        made.put(HOST, PINAPPS, app)
        made.reconcile()

    single = [1000 * cpu(lambda app=app: submit(app)) for app in apps]
    yield Figure("one submit", middle(single), "ms CPU", at_most(3), f"median of 100; {max(single):.1f} ms at most")
    many = [new(f"many-{n:04}", 100 + n) for n in range(SUBMITS)]
    made.longest = made.collected = 0.0

    def submit_all() -> None:
        for app in many:
            made.put(HOST, PINAPPS, app)
        made.settle()

    yield Figure(f"{SUBMITS:,} submits", round(cpu(submit_all), 2), "s CPU", at_most(5), "at once; events, decisions, answers")
    collected = f"{1000 * made.collected:.0f} ms with a full garbage collection in it"
    note = f"of those; {pool_controller.BATCH} decisions in each, {collected}"
    yield Figure("longest reconciliation", round(1000 * made.longest, 1), "ms CPU", at_most(50), note)


def _reports(made: SimulatedRegion) -> Iterator[Figure]:
    names = made.members()

    def report(n: int) -> None:
        measure(made, names[n % MEMBERS], 10_000 + n)
        made.reconcile()

    idle = [1000 * cpu(lambda n=n: report(n)) for n in range(100)]
    yield Figure("capacity report", middle(idle), "ms CPU", None, "nothing waits")
    for n in range(BLOCKED):
        pod = template(100 + n % CLASSES, **{"nvidia.com/gpu": "1"})
        made.put(HOST, PINAPPS, new(f"blocked-{n:04}", 6_000 + n, pod))
    made.settle()
    blocked = [1000 * cpu(lambda n=n: report(200 + n)) for n in range(100)]
    yield Figure(
        "capacity report, much blocked", middle(blocked), "ms CPU", None, f"{BLOCKED:,} in {CLASSES} classes wait for GPUs"
    )


def _divisions() -> Iterator[Figure]:
    candidates = [Candidate(f"c{n}", "abcde"[n % 5], 0, 5_000, 50 + n % 50) for n in range(MEMBERS)]
    times = [1000 * cpu(lambda uid=uid: divide(100_000, candidates, f"uid-{uid}")) for uid in range(20)]
    yield Figure("divide", middle(times), "ms CPU", at_most(50), f"100,000 replicas over {MEMBERS} clusters")

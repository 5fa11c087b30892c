"""Holds a region's caches without a region: what the pool observes, changed as events would change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from federation.object_builders import NOW, app, capacity, cluster

from pincompute.api.conditions import Condition
from pincompute.api.kinds import KINDS
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS, Capacity, ClusterCapacity, ClusterCapacityStatus
from pincompute.api.meta import Key, ObjectMeta
from pincompute.api.sidecars import PINSIDECARS
from pincompute.api.workloads import PINAPPS, PinApp, WorkloadStatus
from pincompute.engine.plan import Plan, Ref, Replace
from pincompute.federation.controller_keys import PoolKey
from pincompute.federation.scheduling import pool_controller, scheduling_queue
from pincompute.federation.workload import workload_model
from pincompute.kube.object_store import ObjectStore


class FakeCache(ObjectStore[Any]):
    """A store that is synced."""

    synced = True

    def list(self, namespace: str = "") -> Any:
        return self.all(namespace)


@dataclass
class CachedRegion:
    """Implements `Context`. `resting` names objects that are left alone."""

    stores: dict[tuple[str, Any], FakeCache] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    left_alone: set[str] = field(default_factory=set)
    now: datetime = NOW
    version: int = 0

    def __post_init__(self) -> None:
        self.stores[HOST, MEMBERCLUSTERS] = FakeCache({})
        self.stores[HOST, PINSIDECARS] = FakeCache({})
        for kind in KINDS:
            self.stores[HOST, kind.workload] = FakeCache(
                {**scheduling_queue.INDEXES[kind.workload], **workload_model.INDEXES[kind.workload]}
            )

    # -- Context

    def view(self, where: str, resource: Any) -> Any:
        return self.stores[where, resource]

    def members(self) -> tuple[str, ...]:
        return tuple(sorted(where for where, resource in self.stores if resource is CLUSTERCAPACITIES))

    def reachable(self, where: str) -> bool:
        return where not in self.silent

    def resting(self, ref: Ref, _version: str) -> bool:
        return ref.key.name in self.left_alone

    # -- what happens

    def join(self, name: str, room: Capacity | None = None) -> None:
        ready = {"conditions": (Condition(type="Ready", status="True", reason="Healthy", message=""),)}
        made = cluster(name)
        status = msgspec.structs.replace(made.status, **ready)
        self.put(HOST, MEMBERCLUSTERS, msgspec.structs.replace(made, status=status))
        self.stores[name, CLUSTERCAPACITIES] = FakeCache({})
        self.measure(name, room or capacity())

    def leave(self, name: str) -> None:
        made = self.stores[HOST, MEMBERCLUSTERS].get(Key("", name))
        meta = msgspec.structs.replace(made.metadata, deletion_timestamp=self.now)
        self.put(HOST, MEMBERCLUSTERS, msgspec.structs.replace(made, metadata=meta))

    def measure(self, name: str, room: Capacity) -> None:
        status = ClusterCapacityStatus(capacity=room, measured_at=self.now)
        self.put(name, CLUSTERCAPACITIES, ClusterCapacity(metadata=ObjectMeta(name="local", uid=f"c-{name}"), status=status))

    def submit(self, name: str, *, tier: str = "OnDemand", seconds: float = 0, **facts: Any) -> None:
        made = app(name, **facts).obj
        meta = msgspec.structs.replace(made.metadata, creation_timestamp=NOW + timedelta(seconds=seconds))
        spec = msgspec.structs.replace(made.spec, tier=tier)
        self.put(HOST, PINAPPS, msgspec.structs.replace(made, metadata=meta, spec=spec))

    def app(self, name: str) -> PinApp:
        found = self.stores[HOST, PINAPPS].get(Key("demo", name))
        assert found is not None
        return found

    def edit(self, name: str, **spec: Any) -> None:
        """As a user does: a new generation."""
        made = self.app(name)
        meta = msgspec.structs.replace(made.metadata, generation=made.metadata.generation + 1)
        self.put(HOST, PINAPPS, msgspec.structs.replace(made, metadata=meta, spec=msgspec.structs.replace(made.spec, **spec)))

    def report(self, name: str, **status: Any) -> None:
        made = self.app(name)
        self.put(HOST, PINAPPS, msgspec.structs.replace(made, status=msgspec.structs.replace(made.status, **status)))

    def delete(self, name: str) -> None:
        self.stores[HOST, PINAPPS].bury(Key("demo", name), f"uid-{name}")

    def put(self, where: str, resource: Any, obj: Any) -> None:
        self.version += 1
        meta = msgspec.structs.replace(obj.metadata, resource_version=str(self.version))
        self.stores[where, resource].put(msgspec.structs.replace(obj, metadata=meta))

    # -- what the pool does

    def seen(self) -> pool_controller.ObservedPool:
        return pool_controller.observe(PoolKey(scheduling_queue.POOL), self, self.now)

    def reconcile(self, *failing: str) -> Plan:
        """Reconciles once and writes; writes to the objects named fail."""
        plan = pool_controller.decide(self.seen())
        for action in plan.actions:
            if isinstance(action, Replace) and action.ref.key.name not in failing:
                self._patch(action)
        return plan

    def settle(self, *failing: str) -> Iterator[Plan]:
        """Reconciles until a plan asks for no other reconciliation at once."""
        while True:
            plan = self.reconcile(*failing)
            yield plan
            if plan.wake_after != 0.0:
                return

    def placed(self, name: str) -> int:
        made = self.app(name).status.scheduling
        return sum(row.replicas for row in made.placement) if made else 0

    def _patch(self, patch: Replace) -> None:
        made = self.stores[HOST, patch.ref.resource].get(patch.ref.key)
        status = msgspec.convert(patch.body["status"], WorkloadStatus)
        self.put(HOST, patch.ref.resource, msgspec.structs.replace(made, status=status))

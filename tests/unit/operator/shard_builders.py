"""Builds shards, pods and views as values for the tests of the operator."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from pincompute.api import template_hash
from pincompute.api.builtin import (
    NAMESPACES,
    NODES,
    PODDISRUPTIONBUDGETS,
    PODS,
    Container,
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    LabelSelector,
    Namespace,
    Node,
    Pod,
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodSpec,
    PodStatus,
    ReadinessGate,
)
from pincompute.api.conditions import Condition
from pincompute.api.labels import (
    APP,
    IMAGE_PULL_SHARD_UID,
    IN_PLACE_READY,
    MANAGED_BY,
    ORDINAL,
    PINCOMPUTE,
    POD_SECURITY,
    PODS_FINALIZER,
    REVISION,
    SHAPE,
    SHARD_UID,
    WORKLOAD,
)
from pincompute.api.meta import Key, Object, ObjectMeta, OwnerReference, Resource
from pincompute.api.shards import PINAPPSHARDS, Origin, PinAppShard, ShardBudget, ShardSpec, Share
from pincompute.api.sidecars import PINSIDECARSHARDS
from pincompute.domain import pod_security_defaults, project_namespace
from pincompute.domain.image_pull import ImagePull
from pincompute.kube.cache_views import Unknown
from pincompute.operator.replicas import pod_disruption_budget
from pincompute.operator.replicas.replicas_controller import INDEXES, ObservedShard

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
UID = "shard-1"
ONE = ShardBudget(unavailable=1, updating=1)


def share(image: str = "hello:1", replicas: int = 2, **container: Any) -> Share:
    template = template_hash.normalise({"spec": {"containers": [{"name": "web", "image": image, **container}]}})
    return Share(revision=template_hash.revision(template), template=template, replicas=replicas)


def shard(*mix: Share, generation: int = 1, created: datetime = LONG_AGO, deleting: bool = False, **spec: Any) -> PinAppShard:
    """`spec`: in_place, min_ready_seconds, budget; by default one replica may be disturbed in each way."""
    return PinAppShard(
        metadata=ObjectMeta(
            name="hello",
            namespace="demo",
            uid=UID,
            generation=generation,
            resource_version="7",
            creation_timestamp=created,
            deletion_timestamp=NOW if deleting else None,
            finalizers=(PODS_FINALIZER, "other/one"),
        ),
        spec=ShardSpec(origin=Origin(uid="o", generation=5), cluster="a1", zone="a", mix=mix, **({"budget": ONE} | spec)),
    )


def pod(
    ordinal: int, of: Share, *, up: bool = True, created: datetime = LONG_AGO, since: datetime = LONG_AGO, **more: Any
) -> Pod:
    """`more`: phase, reason, message, deleting, node, status (of the container), owner, conditions, start_time, gated."""
    image = template_hash.images(of.template)["web"]
    shape = template_hash.shape(pod_security_defaults.filled(of.template))
    name = f"hello-a1-{ordinal}"
    ready = Condition(type="Ready", status="True" if up else "False", last_transition_time=since)
    status = more.get("status") or ContainerStatus(name="web", image=image, container_id=f"id-{ordinal}", ready=up)
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace="demo",
            uid=f"uid-{ordinal}",
            resource_version=f"{100 + ordinal}",
            creation_timestamp=created,
            deletion_timestamp=NOW if more.get("deleting") else None,
            labels={MANAGED_BY: PINCOMPUTE, APP: "hello", SHARD_UID: UID, REVISION: of.revision, WORKLOAD: "PinApp"},
            annotations={ORDINAL: str(ordinal), SHAPE: shape} | more.get("annotations", {}),
            owner_references=(OwnerReference(kind="PinAppShard", name="hello", uid=more.get("owner", UID), controller=True),),
        ),
        spec=PodSpec(
            node_name=more.get("node", "n1"),
            readiness_gates=(ReadinessGate(condition_type=IN_PLACE_READY),) if more.get("gated") else (),
            containers=(Container(name="web", image=image),),
        ),
        status=PodStatus(
            phase=more.get("phase", "Running"),
            reason=more.get("reason", ""),
            message=more.get("message", ""),
            conditions=(ready, *more.get("conditions", ())),
            container_statuses=(status,),
            start_time=more.get("start_time"),
        ),
    )


def pulling(of: Share, state: ContainerState | None, *, node: str = "n1", conditions: tuple[Condition, ...] = ()) -> Pod:
    """The pod that pulls the image of a share onto a node."""
    images = template_hash.images(of.template)
    pull = ImagePull(node, of.revision, images)
    return Pod(
        metadata=ObjectMeta(
            name=f"hello-a1-pull-{pull.key}",
            namespace="demo",
            uid=f"pull-{node}",
            labels={MANAGED_BY: PINCOMPUTE, IMAGE_PULL_SHARD_UID: UID, REVISION: of.revision},
            owner_references=(OwnerReference(kind="PinAppShard", name="hello", uid=UID, controller=True),),
        ),
        spec=PodSpec(node_name="" if conditions else node, containers=(Container(name="web", image=images["web"]),)),
        status=PodStatus(
            phase="Pending",
            conditions=conditions,
            container_statuses=(ContainerStatus(name="web", image=images["web"], state=state),) if state is not None else (),
        ),
    )


PULLED = ContainerState(terminated=ContainerStateTerminated(exit_code=128, reason="StartError"))
"""What a kubelet reports of a container whose image it has pulled and whose command the image lacks."""


def disruption_budget(of: PinAppShard, resource: Resource[Any] = PINAPPSHARDS) -> PodDisruptionBudget:
    """As the operator keeps it."""
    least = max(0, sum(part.replicas for part in of.spec.mix) - of.spec.budget.unavailable)
    spec = PodDisruptionBudgetSpec(min_available=least, selector=LabelSelector(match_labels={SHARD_UID: of.metadata.uid}))
    return PodDisruptionBudget(
        metadata=ObjectMeta(name=pod_disruption_budget.key(of, resource).name, namespace="demo"), spec=spec
    )


def seen(of: PinAppShard, *pods: Pod, now: datetime = NOW, **more: Any) -> ObservedShard:
    facts = {
        "budget": disruption_budget(of),
        "resource": PINAPPSHARDS,
        "marked": frozenset(p.metadata.uid for p in pods),
        "taken": frozenset(),
        "draining": frozenset(),
    }
    return ObservedShard(shard=of, pods=pods, now=now, **(facts | more))


def with_status(of: PinAppShard, status: Any) -> PinAppShard:
    return msgspec.structs.replace(of, status=status)


class FixedTable:
    """A view over objects that are given."""

    def __init__(self, resource: Resource[Any], objects: Iterable[Object], *, synced: bool = True) -> None:
        self._objects = {obj.key: obj for obj in objects}
        self._indexes = INDEXES.get(resource, {})
        self.synced = synced

    def get(self, key: Key) -> Any:
        return self._objects.get(key)

    def list(self, namespace: str = "") -> Any:
        return [obj for key, obj in self._objects.items() if namespace in ("", key.namespace)]

    def by(self, index: str, value: str) -> Any:
        return [obj for obj in self._objects.values() if value in self._indexes[index](obj)]


class FixedTables:
    """Views of the local cluster. A kind that is not given is not connected."""

    def __init__(self, tables: dict[Resource[Any], FixedTable]) -> None:
        self._tables = tables

    def view(self, cluster: str, resource: Resource[Any]) -> Any:
        if cluster != "local" or resource not in self._tables:
            raise Unknown(f"{resource} in {cluster}")
        return self._tables[resource]

    def members(self) -> tuple[str, ...]:
        return ()

    def reachable(self, cluster: str) -> bool:
        return cluster == "local"


def namespace(level: str = "restricted") -> Namespace:
    labels = {**project_namespace.labels_of("demo", "demo-uid"), POD_SECURITY: level}
    return Namespace(metadata=ObjectMeta(name="demo", uid="n", labels=labels))


def world(
    shards: Iterable[Object] = (),
    pods: Iterable[Pod] = (),
    nodes: Iterable[Node] = (),
    unsynced: Any = None,
    namespaces: Iterable[Namespace] | None = None,
) -> FixedTables:
    given = {
        PINAPPSHARDS: shards,
        PODS: pods,
        NODES: nodes,
        PODDISRUPTIONBUDGETS: (),
        PINSIDECARSHARDS: (),
        NAMESPACES: (namespace(),) if namespaces is None else namespaces,
    }
    return FixedTables({kind: FixedTable(kind, objects, synced=kind is not unsynced) for kind, objects in given.items()})

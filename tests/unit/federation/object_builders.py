"""Builds members, apps and shards with sensible defaults, so that a test names only what matters to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pincompute.api.kinds import PINAPP
from pincompute.api.labels import SHARDS_FINALIZER
from pincompute.api.member_clusters import Capacity, FreeNodes, MemberCluster, MemberClusterSpec, SecretReference
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.shards import PINAPPSHARDS, Origin, PinAppShard, RevisionStatus, ShardBudget, ShardSpec, ShardStatus, Share
from pincompute.api.workloads import PinApp, PinAppSpec, Placement, Scheduling, WorkloadStatus
from pincompute.engine.plan import Action, Create, Replace
from pincompute.federation.member.member_state import MemberState
from pincompute.federation.workload import workload_model
from pincompute.federation.workload.workload_model import Workload

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
GIB = 2**30


def template(image: str = "registry.internal/hello:1", cpu: str = "500m", **container: Any) -> Manifest:
    requests = {"cpu": cpu, "memory": "128Mi"}
    return {"spec": {"containers": [{"name": "web", "image": image, "resources": {"requests": requests}, **container}]}}


def capacity(nodes: int = 4, cpu: int = 4000, used: int = 0, **devices: int) -> Capacity:
    """Equal nodes of which `used` milli-cores each are taken, with so many devices each."""
    free = FreeNodes(resources={"cpu": cpu - used, "memory": 16 * GIB, "pods": 100, **devices}, count=nodes)
    return Capacity(
        nodes=nodes,
        ready_nodes=nodes,
        allocatable={"cpu": nodes * cpu, "memory": nodes * 16 * GIB, "pods": nodes * 110},
        requested={"cpu": nodes * used},
        free=(free,),
    )


def member(name: str, **changes: object) -> MemberState:
    facts: dict[str, object] = {
        "name": name,
        "zone": name[0],
        "labels": {},
        "taints": (),
        "cost": 100,
        "unschedulable": False,
        "leaving": False,
        "ready": True,
        "reachable": True,
        "capacity": capacity(),
    }
    return MemberState(**{**facts, **changes})  # type: ignore[arg-type]


def app(
    name: str = "hello",
    replicas: int = 6,
    generation: int = 1,
    scheduling: Scheduling | None = None,
    placement: Placement | None = None,
    deleting: bool = False,
    status: WorkloadStatus | None = None,
    pod: Manifest | None = None,
) -> Workload:
    meta = ObjectMeta(
        name=name,
        namespace="demo",
        uid=f"uid-{name}",
        resource_version="7",
        generation=generation,
        creation_timestamp=NOW,
        deletion_timestamp=NOW if deleting else None,
        finalizers=(SHARDS_FINALIZER,),
    )
    spec = PinAppSpec(template=pod or template(), replicas=replicas, placement=placement or Placement())
    return workload_model.read(PINAPP, PinApp(metadata=meta, spec=spec, status=status or WorkloadStatus(scheduling=scheduling)))


def shard(
    of: Workload, cluster: str, replicas: int, ready: int | None = None, budget: ShardBudget | None = None, **changes: object
) -> PinAppShard:
    """A shard as dispatch would write it, observed by its operator."""
    rendered = of.rendered
    given = budget or ShardBudget()
    more = {"budget": given}
    serving = replicas if ready is None else ready
    spec = ShardSpec(
        origin=Origin(uid=of.uid, generation=of.generation),
        cluster=cluster,
        zone=cluster[0],
        mix=(Share(revision=rendered.revision, template=rendered.template, replicas=replicas),),
        in_place=of.obj.spec.update.in_place,
        **more,
    )
    status = ShardStatus(
        observed_generation=1,
        origin_generation=of.generation,
        replicas=replicas,
        ready_replicas=serving,
        available_replicas=serving,
        updated_replicas=replicas,
        guaranteed=replicas - given.unavailable - given.updating,
        revisions=(RevisionStatus(revision=rendered.revision, replicas=replicas, ready=serving, available=serving),),
    )
    meta = ObjectMeta(
        name=of.key.name, namespace=of.key.namespace, uid=f"shard-{cluster}", resource_version="3", generation=1, **changes
    )  # type: ignore[arg-type]
    return PinAppShard(metadata=meta, spec=spec, status=status)


def cluster(name: str, status: object = None, **meta: object) -> MemberCluster:
    spec = MemberClusterSpec(zone=name[0], kubeconfig=SecretReference(name=f"{name}-kubeconfig"))
    given = {"metadata": ObjectMeta(name=name, uid=f"uid-{name}", resource_version="5", generation=1, **meta), "spec": spec}  # type: ignore[arg-type]
    return MemberCluster(**given, **({"status": status} if status else {}))


def writes_shard(action: Action) -> bool:
    """Whether the action makes a shard, or changes what it asks for."""
    return isinstance(action, Create | Replace) and action.ref.resource == PINAPPSHARDS and "spec" in action.body

"""Sweep: a shard whose workload is gone is removed, by uid and never by name (S-008, S-009).

Dispatch removes the shards of a workload that is being deleted; the sweep finds what was missed: a workload whose finalizer
was taken off by hand, a member that was away. Before anything is deleted the host's API server itself is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pincompute.api import labels
from pincompute.api.kinds import KINDS, Kind
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Object
from pincompute.api.shards import Shard
from pincompute.engine.controller import Card, Controller, Reads, Writes
from pincompute.engine.plan import Confirm, Delete, Plan, Ref, plan
from pincompute.federation.workloads import WorkloadObject
from pincompute.kube.views import Views

PACE = 20  # deletions in one run; an orphan has no hurry, and a mistake would be slow


@dataclass(frozen=True, slots=True)
class Orphan:
    """A shard no workload claims. `namesake` is the uid of another workload of its name, empty when there is none."""

    kind: Kind
    shard: Shard
    namesake: str


@dataclass(frozen=True, slots=True)
class Seen:
    cluster: str
    orphans: tuple[Orphan, ...]


def decide(seen: Seen) -> Plan:
    orphans = seen.orphans[:PACE]
    proofs = tuple(Confirm(Ref(HOST, o.kind.workload, o.shard.key), o.namesake) for o in orphans)
    deletes = tuple(
        Delete(Ref(seen.cluster, o.kind.shard, o.shard.key), o.shard.metadata.uid, "its workload is gone from the host")
        for o in orphans
    )
    return plan(proofs, deletes)


def observe(key: Key, views: Views, _now: datetime) -> Seen | None:
    cluster = key.name
    if cluster not in views.members() or not views.reachable(cluster):
        return None
    return Seen(cluster, tuple(o for kind in KINDS for o in _orphans(kind, cluster, views)))


def _orphans(kind: Kind, cluster: str, views: Views) -> list[Orphan]:
    workloads = views.view(HOST, kind.workload)
    found: list[Orphan] = []
    for shard in views.view(cluster, kind.shard).list():
        if shard.deleting or shard.metadata.labels.get(labels.MANAGED_BY) != labels.PINCOMPUTE:
            continue
        claimed = workloads.get(shard.key)
        if claimed is None or claimed.metadata.uid != shard.spec.origin.uid:
            found.append(Orphan(kind, shard, claimed.metadata.uid if claimed else ""))
    return sorted(found, key=lambda o: o.shard.key)


def _of_cluster(cluster: str, _obj: Object) -> tuple[Key, ...]:
    return (Key("", cluster),)


def _of_unheld(_cluster: str, obj: WorkloadObject) -> tuple[Key, ...]:
    """The members of a workload that can vanish without dispatch having cleared them; what is missed is found at a start."""
    made = obj.status.scheduling
    if made is None or labels.SHARDS_FINALIZER in obj.metadata.finalizers:
        return ()
    return tuple(Key("", row.cluster) for row in made.placement)


CONTROLLER = Controller(
    Card(
        name="federation.sweep",
        promise="No member keeps a shard whose workload is gone.",
        key="MemberCluster",
        reads=(
            *(Reads("members", kind.shard, _of_cluster) for kind in KINDS),
            *(Reads("host", kind.workload, _of_unheld) for kind in KINDS),
        ),
        writes=tuple(Writes("members", kind.shard, ("delete",)) for kind in KINDS),
        rest=1.0,
    ),
    observe,
    decide,
)

"""Collects orphans: it removes a shard whose workload is gone, by uid and never by name (S-008, S-009).

The workload's own controller removes the shards of a workload that is being deleted. Orphan collection finds what was missed:
a finalizer that was removed by hand, a member that was away. Before it deletes anything, it asks the host's API server itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pincompute.api import labels
from pincompute.api.kinds import KINDS, WorkloadKind
from pincompute.api.labels import HOST
from pincompute.api.shards import Shard
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess
from pincompute.engine.plan import Confirm, Delete, Plan, Ref, plan
from pincompute.federation.controller_keys import ShardKey
from pincompute.federation.workload.workload_model import WorkloadObject
from pincompute.kube.cache_views import Unknown, Views

PACE = 20.0  # deletions a second; an orphan has no hurry, and a mistake would be slow

_KINDS = {kind.shard.kind: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class ObservedOrphan:
    """A shard, and the uid of the workload of its name, empty when there is none."""

    member: str
    kind: WorkloadKind
    shard: Shard
    namesake: str


def decide(observed: ObservedOrphan) -> Plan:
    shard = observed.shard
    if shard.deleting or not labels.is_ours(shard.metadata.labels) or _owns(observed.namesake, shard):
        return Plan()
    proof = Confirm(Ref(HOST, observed.kind.workload, shard.key), observed.namesake)
    delete = Delete(
        Ref(observed.member, observed.kind.shard, shard.key), shard.metadata.uid, "its workload is gone from the host"
    )
    return plan((proof,), (delete,))


def observe(key: ShardKey, views: Views, _now: datetime) -> ObservedOrphan | None:
    if not views.reachable(key.member):
        return None
    kind = _KINDS[key.kind]
    shard = views.view(key.member, kind.shard).get(key.object)
    if shard is None:
        return None
    return ObservedOrphan(key.member, kind, shard, _namesake(kind, shard, views))


def _namesake(kind: WorkloadKind, shard: Shard, views: Views) -> str:
    """Returns the uid of the workload of the shard's name, empty when there is none."""
    found = views.view(HOST, kind.workload).get(shard.key)
    return found.metadata.uid if found is not None else ""


def _owns(workload: str, shard: Shard) -> bool:
    return workload == shard.spec.origin.uid


def _without_workload(kind: WorkloadKind) -> Callable[[str, Shard, Views], Iterator[ShardKey]]:
    """Returns the shard of an event, unless its workload is there: nearly every event is of such a one."""

    def keys(cluster: str, shard: Shard, views: Views) -> Iterator[ShardKey]:
        with suppress(Unknown):
            if _owns(_namesake(kind, shard, views), shard):
                return
        yield ShardKey(cluster, kind.shard.kind, *shard.key)

    return keys


def _no_key(_cluster: str, _shard: Shard) -> tuple[ShardKey, ...]:
    return ()


def _unheld(kind: WorkloadKind) -> Callable[[str, WorkloadObject], tuple[ShardKey, ...]]:
    """Returns the shards of a workload that can vanish before its controller has removed them; a restart finds what was
    missed.
    """

    def keys(_cluster: str, obj: WorkloadObject) -> tuple[ShardKey, ...]:
        made = obj.status.scheduling
        if made is None or labels.SHARDS_FINALIZER in obj.metadata.finalizers:
            return ()
        return tuple(ShardKey(row.cluster, kind.shard.kind, *obj.key) for row in made.placement)

    return keys


CONTROLLER = Controller(
    Card(
        name="federation.orphan-collection",
        promise="No member keeps a shard whose workload is gone.",
        key="shard in a member",
        reads=(
            *(ReadAccess("members", kind.shard, _no_key, _without_workload(kind)) for kind in KINDS),
            *(ReadAccess("host", kind.workload, _unheld(kind)) for kind in KINDS),
        ),
        writes=tuple(WriteAccess("members", kind.shard, ("delete",)) for kind in KINDS),
        pace=PACE,
    ),
    observe,
    decide,
)

"""Removes a member: a MemberCluster that is being deleted goes only when its work runs elsewhere (S-007).

Scheduling moves the replicas because the member is leaving, and dispatch hands them over; this controller only decides when
that is done, and that the copies of secrets and configs there are removed. A dead member can be removed too: the
controller does not wait for what it cannot ask, but the member's replicas must be ready elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pincompute.api import conditions, labels
from pincompute.api.kinds import KINDS
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import MEMBERCLUSTERS, MemberCluster
from pincompute.api.meta import Key, Object
from pincompute.api.settings import SETTINGS, Setting
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess
from pincompute.engine.plan import ConfirmSet, Patch, Plan, Ref, plan
from pincompute.federation.controller_keys import MemberKey
from pincompute.federation.member import member_state
from pincompute.federation.settings.setting_references import BY_CLUSTER
from pincompute.federation.workload import workload_model
from pincompute.federation.workload.workload_model import WorkloadObject
from pincompute.kube.cache_views import Unknown, Views

WAIT = 5.0  # seconds until a member that still has work is judged again: a status that no longer names it wakes nobody


@dataclass(frozen=True, slots=True)
class ObservedRemoval:
    """`placed`: workloads whose placement names the member, or whose last report came from it and that are not ready
    elsewhere. `shards`: names of shards still there; None when the member cannot be asked. `copies`: secrets and
    configs of which the member may hold a copy.
    """

    cluster: MemberCluster
    placed: tuple[Key, ...]
    shards: tuple[Key, ...] | None
    copies: tuple[Key, ...] = ()


def decide(observed: ObservedRemoval) -> Plan:
    cluster = observed.cluster
    if not cluster.deleting or labels.DRAIN_FINALIZER not in cluster.metadata.finalizers:
        return Plan()
    if observed.placed or observed.shards:
        rest = ", ".join(str(key) for key in (observed.placed or observed.shards or ())[:5])
        return Plan(why=f"waits until {rest} runs elsewhere", wake_after=WAIT)
    if observed.copies and observed.shards is not None:
        rest = ", ".join(str(key) for key in observed.copies[:5])
        return Plan(why=f"waits until the copies of {rest} are removed", wake_after=WAIT)
    proofs = (
        ()
        if observed.shards is None
        else tuple(
            ConfirmSet(cluster.metadata.name, k.shard, "", labels.MANAGED_BY, labels.PINCOMPUTE, frozenset()) for k in KINDS
        )
    )
    return plan(proofs, (_release(cluster),))


def observe(key: MemberKey, views: Views, _now: datetime) -> ObservedRemoval | None:
    cluster = views.view(HOST, MEMBERCLUSTERS).get(key.object)
    if cluster is None:
        return None
    if not cluster.deleting:
        return ObservedRemoval(cluster, (), ())
    objects = [obj for kind in KINDS for obj in views.view(HOST, kind.workload).by(workload_model.BY_MEMBER, key.name)]
    placed = tuple(sorted(obj.key for obj in objects if _depends(obj, key.name)))
    copies = tuple(each.key for kind in SETTINGS for each in views.view(HOST, kind.resource).by(BY_CLUSTER, key.name))
    return ObservedRemoval(cluster, placed, _shards(cluster, views), copies)


def _depends(obj: WorkloadObject, cluster: str) -> bool:
    if obj.deleting:
        return False
    made, status = obj.status.scheduling, obj.status
    if made is None:
        return False
    if any(row.cluster == cluster for row in made.placement):
        return True
    elsewhere = sum(line.ready_replicas for line in status.clusters if line.cluster != cluster and line.known)
    reported = any(line.cluster == cluster and line.replicas for line in status.clusters)
    return reported and elsewhere < sum(row.replicas for row in made.placement) + made.unplaced


def _shards(cluster: MemberCluster, views: Views) -> tuple[Key, ...] | None:
    """Returns the member's shards. An unreachable member counts as dead when its health says so, and is unknown until then."""
    name = cluster.metadata.name
    if views.reachable(name):
        return tuple(shard.key for kind in KINDS for shard in views.view(name, kind.shard).list())
    if conditions.is_true(cluster.status.conditions, member_state.READY):
        raise Unknown(f"{name} is unreachable, but not given up yet")
    return None


def _release(cluster: MemberCluster) -> Patch:
    meta = cluster.metadata
    kept = [f for f in meta.finalizers if f != labels.DRAIN_FINALIZER]
    ref = Ref(HOST, MEMBERCLUSTERS, cluster.key)
    return Patch(ref, {"metadata": {"finalizers": kept}}, meta.uid, meta.resource_version, "nothing depends on it any more")


def _itself(_cluster: str, member: MemberCluster) -> tuple[MemberKey, ...]:
    return (MemberKey(member.metadata.name),)


def _placed_in(_cluster: str, obj: WorkloadObject) -> tuple[MemberKey, ...]:
    """Returns the members that a workload uses according to its own status."""
    return tuple({MemberKey(line.cluster) for line in obj.status.clusters})


def _copied_to(_cluster: str, setting: Setting) -> tuple[MemberKey, ...]:
    return tuple({MemberKey(copy.cluster) for copy in setting.status.copies})


def _of_cluster(cluster: str, _obj: Object) -> tuple[MemberKey, ...]:
    return (MemberKey(cluster),)


CONTROLLER = Controller(
    Card(
        name="federation.removal",
        promise="A member leaves the region only when nothing depends on it any more.",
        key="MemberCluster",
        reads=(
            ReadAccess("host", MEMBERCLUSTERS, _itself),
            *(ReadAccess("host", kind.workload, _placed_in) for kind in KINDS),
            *(ReadAccess("host", kind.resource, _copied_to) for kind in SETTINGS),
            *(ReadAccess("members", kind.shard, _of_cluster) for kind in KINDS),
        ),
        writes=(WriteAccess("host", MEMBERCLUSTERS, ("patch",)),),
        rest=0.5,
    ),
    observe,
    decide,
)

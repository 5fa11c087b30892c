"""Dispatch: each member has exactly the shards that the placement asks for, and a deleted workload leaves none.

The surprising rule: replicas move by growing first. While the clusters that take over are not ready, those that hand over
keep what serves (N7). A silent member is left alone. When it answers again it catches up with the template at once, with the
number of replicas only once a decision counts on it again: it may be going to have what it still has (S-061). A paused
workload's shards keep the revisions they have, and where it has to move it moves with them (S-258).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from pincompute.api import changes, labels
from pincompute.api.clusters import MEMBERCLUSTERS
from pincompute.api.core import NAMESPACES
from pincompute.api.kinds import KINDS, Kind
from pincompute.api.meta import Key, Manifest
from pincompute.api.shards import Origin, Shard, ShardSpec, Share
from pincompute.api.workloads import Scheduling
from pincompute.domain import handover
from pincompute.domain.handover import Holding
from pincompute.engine.controller import Card, Controller, Reads, Writes, own_key
from pincompute.engine.plan import Action, Apply, Confirm, ConfirmSet, Delete, Patch, Plan, Ref, plan
from pincompute.federation import members, workloads
from pincompute.federation.members import Member
from pincompute.federation.scheduling import demand
from pincompute.federation.workloads import Workload
from pincompute.kube.views import Unknown, Views

NAMESPACE_POLL = 0.5  # seconds between looks while a member still lacks the project's namespace


@dataclass(frozen=True, slots=True)
class Site:
    """One member as far as this workload is concerned.

    `shard`: what is there under the workload's name, or was when the member was last heard of. `known`: its shards can be
    seen right now. `prepared`: the project's namespace exists there.
    """

    member: Member
    shard: Shard | None
    known: bool
    prepared: bool


@dataclass(frozen=True, slots=True)
class Seen:
    workload: Workload
    sites: tuple[Site, ...]


def decide(seen: Seen) -> Plan:
    workload = seen.workload
    if workload.deleting:
        return _clear(workload, seen.sites)
    decision = demand.decision(workload)
    if decision is None or workload.rendered.problem:
        return Plan(why="waits for a scheduling decision on what it asks for")
    return _converge(workload, decision, seen.sites)


def observe_for(kind: Kind, key: Key, views: Views) -> Seen | None:
    obj = views.view(labels.HOST, kind.workload).get(key)
    if obj is None:
        return None
    return Seen(workloads.read(kind, obj), tuple(_site(kind, key, m, views) for m in members.observe(views)))


def _site(kind: Kind, key: Key, member: Member, views: Views) -> Site:
    try:
        shard = views.view(member.name, kind.shard).get(key)
        namespace = views.view(member.name, NAMESPACES).get(Key("", key.namespace))
    except Unknown:
        return Site(member, None, known=False, prepared=False)
    prepared = namespace is not None and not namespace.deleting
    return Site(member, shard, known=member.reachable, prepared=prepared)


def _converge(workload: Workload, decision: Scheduling, sites: tuple[Site, ...]) -> Plan:
    now = _replicas_now(workload, decision, sites)
    strangers = tuple(
        _delete(workload, s, "belongs to a deleted workload of this name") for s in sites if _stranger(workload, s)
    )
    held = _held(workload, sites)
    mixes = [(site, _mix(workload, site, now.get(site.member.name, 0), held)) for site in sites]
    applies = tuple(a for site, mix in mixes if (a := _apply(workload, site, mix)))
    deletes = tuple(
        _delete(workload, s, "its replicas run elsewhere")
        for s in sites
        if s.known and workloads.shard_of(workload, s.shard) and now.get(s.member.name, 0) == 0
    )
    unprepared = any(s.known and not s.prepared and now.get(s.member.name) for s in sites)
    guard = (_current(workload),) if strangers or applies or deletes else ()
    return plan(guard, strangers + applies, deletes, wake_after=NAMESPACE_POLL if unprepared else None)


def _current(workload: Workload) -> Confirm:
    """An old view of the host must not take the members back to what was wanted before (S-048, F5).

    Pinned to the version, because a placement changes without the generation when a member leaves or is back.
    """
    return Confirm(workload.ref, workload.uid, resource_version=workload.obj.metadata.resource_version)


def _replicas_now(workload: Workload, decision: Scheduling, sites: tuple[Site, ...]) -> dict[str, int]:
    """Members that the decision passed over keep what they have; the others hand over among themselves."""
    wanted = {row.cluster: row.replicas for row in decision.placement}
    holdings = [_holding(workload, site, wanted) for site in sites]
    kept = {h.cluster: h.held for h in holdings if h.cluster in decision.passed_over}
    return kept | handover.replicas_now(h for h in holdings if h.cluster not in kept)


def _holding(workload: Workload, site: Site, wanted: Mapping[str, int]) -> Holding:
    shard = workloads.shard_of(workload, site.shard)
    held = sum(share.replicas for share in shard.spec.mix) if shard else 0
    ready = shard.status.ready_replicas if shard and site.known else 0
    return Holding(site.member.name, wanted.get(site.member.name, 0), held, ready)


def _stranger(workload: Workload, site: Site) -> bool:
    shard = site.shard
    return site.known and shard is not None and shard.spec.origin.uid != workload.uid and not shard.deleting


def _held(workload: Workload, sites: tuple[Site, ...]) -> Share | None:
    """What runs of a paused workload, for a member that takes over from another."""
    if not workload.paused:
        return None
    shards = (workloads.shard_of(workload, site.shard) for site in sites)
    return next((share for shard in shards if shard is not None for share in shard.spec.mix), None)


def _mix(workload: Workload, site: Site, replicas: int, held: Share | None) -> tuple[Share, ...]:
    """So many replicas of the present revision; of a paused workload of those that are there."""
    if replicas == 0:
        return ()
    if held is None:
        rendered = workload.rendered
        return (Share(revision=rendered.revision, template=rendered.template, replicas=replicas),)
    own = workloads.shard_of(workload, site.shard)
    present = own.spec.mix if own is not None else ()
    if sum(share.replicas for share in present) == replicas:
        return present
    return (msgspec.structs.replace(present[0] if present else held, replicas=replicas),)


def _apply(workload: Workload, site: Site, mix: tuple[Share, ...]) -> Apply | None:
    """The shard this member should have now; None when it has it, or when it cannot be given one."""
    if not mix or not site.known or not site.prepared:
        return None
    if site.shard is not None and (site.shard.deleting or site.shard.spec.origin.uid != workload.uid):
        return None
    spec = _spec(workload, site.member, mix)
    if site.shard is not None and site.shard.spec == spec:
        return None
    uid = site.shard.metadata.uid if site.shard else ""
    count = sum(share.replicas for share in mix)
    why = f"{count} replicas of revision {mix[0].revision} belong in {site.member.name}"
    return Apply(_ref(workload, site), manifest(workload, spec), why, uid)


def _spec(workload: Workload, member: Member, mix: tuple[Share, ...]) -> ShardSpec:
    obj = workload.obj
    return ShardSpec(
        origin=Origin(uid=workload.uid, generation=workload.generation),
        cluster=member.name,
        zone=member.zone,
        mix=mix,
        tier=obj.spec.tier,
        update=obj.spec.update,
        paused=workload.paused,
    )


def manifest(workload: Workload, spec: ShardSpec) -> Manifest:
    """The fields of a shard that the federation owns."""
    resource = workload.kind.shard
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": workload.key.name,
            "namespace": workload.key.namespace,
            "labels": {labels.MANAGED_BY: labels.PINCOMPUTE, labels.ORIGIN_UID: workload.uid},
            "finalizers": [labels.PODS_FINALIZER],
        },
        "spec": changes.to_json(spec),
    }


def _clear(workload: Workload, sites: tuple[Site, ...]) -> Plan:
    """Delete every shard; release the workload when no member can hold one any more."""
    if not workload.held:
        return Plan(why="is being deleted")
    mine = [s for s in sites if workloads.shard_of(workload, s.shard)]
    deletes = tuple(_delete(workload, s, "its workload is deleted") for s in mine if s.known and not _deleting(s))
    placed = {row.cluster for row in made.placement} if (made := workload.status.scheduling) else set[str]()
    silent = [s for s in sites if not s.known and (s in mine or s.member.name in placed) and not s.member.leaving]
    if mine or silent:
        return plan(deletes, why=f"waits for {', '.join(sorted({s.member.name for s in (*mine, *silent)}))}")
    proofs = tuple(_proof(workload, s) for s in sites if s.known)
    return plan(proofs, (_release(workload),))


def _deleting(site: Site) -> bool:
    return site.shard is not None and site.shard.deleting


def _proof(workload: Workload, site: Site) -> Action:
    kind = workload.kind
    return ConfirmSet(site.member.name, kind.shard, workload.key.namespace, labels.ORIGIN_UID, workload.uid, frozenset())


def _release(workload: Workload) -> Patch:
    meta = workload.obj.metadata
    finalizers = [f for f in meta.finalizers if f != labels.SHARDS_FINALIZER]
    body: Manifest = {"metadata": {"finalizers": finalizers}}
    return Patch(workload.ref, body, meta.uid, meta.resource_version, "no member holds a shard of it")


def _delete(workload: Workload, site: Site, why: str) -> Delete:
    assert site.shard is not None  # noqa: S101 - callers chose sites that hold a shard
    return Delete(_ref(workload, site), site.shard.metadata.uid, why)


def _ref(workload: Workload, site: Site) -> Ref:
    return Ref(site.member.name, workload.kind.shard, workload.key)


def _controller(kind: Kind) -> Controller[Seen]:
    return Controller(
        Card(
            name=f"federation.dispatch.{kind.name}",
            promise=f"Each member has exactly the {kind.shard.kind}s its placements ask for.",
            key=kind.workload.kind,
            reads=(
                Reads("host", kind.workload, own_key),
                Reads("host", MEMBERCLUSTERS, lambda _cluster, _obj: ()),
                Reads("members", kind.shard, workloads.same_name),
                Reads("members", NAMESPACES, lambda _cluster, _obj: ()),
            ),
            writes=(
                Writes("members", kind.shard, ("apply", "delete")),
                Writes("host", kind.workload, ("patch",)),
            ),
        ),
        lambda key, views, _now: observe_for(kind, key, views),
        decide,
    )


CONTROLLERS = tuple(_controller(kind) for kind in KINDS)

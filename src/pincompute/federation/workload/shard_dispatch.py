"""Dispatches shards: each member gets exactly its assignment's shard, and a deleted workload leaves none.

Before dispatch gives away a part of the disruption account, it asks all members concerned whether their shards are those that
the decision was made from, because a stale view could give the same part away twice.
"""

from __future__ import annotations

import msgspec

from pincompute.api import labels, merge_patch
from pincompute.api.meta import Manifest
from pincompute.api.shards import Shard, ShardSpec
from pincompute.engine.plan import Action, Confirm, ConfirmSet, Create, Delete, Patch, Ref, Replace, Stage, update
from pincompute.federation.kinds import ShardInput
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.rollout import Assignment
from pincompute.federation.workload.workload_model import Workload


def writes(workload: Workload, assignments: tuple[Assignment, ...]) -> tuple[Action, ...]:
    """Returns what brings the members' shards up to date: shards of deleted namesakes go, new and changed ones are applied."""
    orphans = tuple(
        _delete(workload, a.site, a.site.orphan, "belongs to a deleted workload of this name")
        for a in assignments
        if a.site.known and a.site.orphan is not None and not a.site.orphan.deleting
    )
    return orphans + tuple(write for a in assignments if (write := _write(workload, a)))


def generation_of(action: Action) -> str:
    """Returns the workload's generation that a write of a shard is to bring about; empty for any other action."""
    spec: Manifest = action.body.get("spec", {}) if isinstance(action, Create | Replace) else {}
    return str(spec.get("origin", {}).get("generation", ""))


def removals(workload: Workload, assignments: tuple[Assignment, ...]) -> tuple[Delete, ...]:
    return tuple(
        _delete(workload, a.site, a.site.shard, "its replicas run elsewhere")
        for a in assignments
        if a.site.known and a.site.shard is not None and not a.mix and not a.site.deleting
    )


def guard(workload: Workload, assignments: tuple[Assignment, ...]) -> Stage:
    """Returns the proof that the views are current: of the workload always, of its shards where the account is concerned.

    It pins the workload's version, because a placement changes without the generation when a member leaves or is back
    (S-048, F5).
    """
    present = Confirm(workload.ref, workload.uid, resource_version=workload.obj.metadata.resource_version)
    if not any(_moves_floor(a) for a in assignments):
        return (present,)
    return (present, *(_proof(workload, a.site, a.site.shard) for a in assignments if a.site.known and a.site.shard))


def proof_of_end(workload: Workload, assignments: tuple[Assignment, ...]) -> Stage:
    """Returns the proof that the members hold exactly the shards that are seen, before one gets the first shard of a revision
    beside which no other may run.
    """
    if not any(a.site.shard is None and a.mix for a in assignments):
        return ()
    return tuple(
        ConfirmSet(
            a.site.name,
            workload.kind.shard,
            workload.key.namespace,
            labels.ORIGIN_UID,
            workload.uid,
            frozenset({a.site.shard.metadata.uid} if a.site.shard is not None else ()),
        )
        for a in assignments
        if a.site.known
    )


def _moves_floor(assignment: Assignment) -> bool:
    """Returns whether it changes how many replicas the member guarantees. A new shard guarantees nothing yet."""
    site = assignment.site
    if site.shard is None or not site.known or site.deleting:
        return False
    before, after = site.budget, assignment.budget
    return (site.replicas, before.unavailable, before.updating) != (assignment.replicas, after.unavailable, after.updating)


def _proof(workload: Workload, site: MemberShard, shard: Shard) -> Confirm:
    return Confirm(_ref(workload, site), shard.metadata.uid, shard.metadata.generation)


def _write(workload: Workload, assignment: Assignment) -> Create | Replace | None:
    """Returns the write of the shard that this member should have now; None when it has it, or when it cannot be given one."""
    site = assignment.site
    if not assignment.mix or not site.known or site.deleting or site.orphan is not None:
        return None
    if not site.prepared and assignment.replicas > site.replicas:
        return None  # a namespace that is not prepared takes no more replicas; what runs there still shrinks and changes
    spec = _spec(workload, assignment)
    if site.shard is not None and site.shard.spec == spec:
        return None
    if _lacks_settings(assignment):
        return None
    counts = ", ".join(f"{share.replicas} of revision {share.revision}" for share in assignment.mix)
    why, body = f"{site.name} should run {counts}", manifest(workload, spec)
    if site.shard is None:
        return Create(_ref(workload, site), body, why)
    return update(_ref(workload, site), site.shard.metadata, body, why)


def _lacks_settings(assignment: Assignment) -> bool:
    """Returns whether it asks for more replicas of a revision than the shard has, and a setting that they need is not there."""
    there = {share.revision: share.replicas for share in assignment.site.mix}
    return any(
        share.revision in assignment.site.unready and share.replicas > there.get(share.revision, 0) for share in assignment.mix
    )


def _spec(workload: Workload, assignment: Assignment) -> ShardSpec:
    member = assignment.site.member
    part = ShardInput(member.name, member.zone, mix=assignment.mix, budget=assignment.budget)
    spec = workload.behaviour.share(workload.obj, part)
    if spec.min_ready_seconds >= assignment.min_ready_seconds:
        return spec
    return msgspec.structs.replace(spec, min_ready_seconds=assignment.min_ready_seconds)


def manifest(workload: Workload, spec: ShardSpec) -> Manifest:
    """Returns the fields of a shard that the federation owns."""
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
        "spec": merge_patch.to_json(spec),
    }


def remaining(workload: Workload, sites: tuple[MemberShard, ...]) -> tuple[MemberShard, ...]:
    """Returns members that hold, or may hold, a shard of a workload that is being deleted."""
    placed = {row.cluster for row in made.placement} if (made := workload.status.scheduling) else set[str]()
    return tuple(
        site for site in sites if site.shard is not None or (not site.known and site.name in placed and not site.member.leaving)
    )


def shard_deletions(workload: Workload, sites: tuple[MemberShard, ...]) -> tuple[Delete, ...]:
    """Returns the deletion of every shard of a workload that is being deleted."""
    return tuple(
        _delete(workload, site, site.shard, "its workload is deleted")
        for site in sites
        if site.known and site.shard is not None and not site.deleting
    )


def finalizer_removal(workload: Workload, sites: tuple[MemberShard, ...]) -> tuple[Stage, Stage]:
    """Lets a deleted workload go, once the members' API servers prove that none holds a shard of it."""
    kind = workload.kind.shard
    proofs = tuple(
        ConfirmSet(site.name, kind, workload.key.namespace, labels.ORIGIN_UID, workload.uid, frozenset())
        for site in sites
        if site.known
    )
    meta = workload.obj.metadata
    finalizers = [f for f in meta.finalizers if f != labels.SHARDS_FINALIZER]
    body: Manifest = {"metadata": {"finalizers": finalizers}}
    return proofs, (Patch(workload.ref, body, meta.uid, meta.resource_version, "no member holds a shard of it"),)


def _delete(workload: Workload, site: MemberShard, shard: Shard | None, why: str) -> Delete:
    assert shard is not None  # noqa: S101 - callers chose sites that hold one
    return Delete(_ref(workload, site), shard.metadata.uid, why)


def _ref(workload: Workload, site: MemberShard) -> Ref:
    return Ref(site.name, workload.kind.shard, workload.key)

"""Runs a workload in its members and reports the result in one status.

There is one controller per kind of workload, keyed by the workload, because the workload owns the disruption account. Four
steps use the same observation, one after the other, and end in one write of the status:

    revision_history   keeps superseded templates as objects
    rollout            decides each member's revisions and how many replicas may be disrupted there
    shard_dispatch     brings the members' shards up to date
    workload_status    summarises the members' reports

The controller leaves a silent member alone and counts it as down. When the member answers again, it gets the template at once,
but a number of replicas only when a decision counts on it again, because it may keep what it still has (S-061).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pincompute.api import labels
from pincompute.api import template_hash as podtemplates
from pincompute.api.builtin import NAMESPACES
from pincompute.api.kinds import KINDS, WorkloadKind
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.meta import Key, Object, Resource
from pincompute.api.projects import PROJECTS
from pincompute.api.revisions import PINREVISIONS, PinRevision
from pincompute.engine.api_refusals import ApiRefusals
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import Plan, plan
from pincompute.federation.project import namespace_objects
from pincompute.federation.scheduling import demand
from pincompute.federation.workload import (
    member_shards,
    revision_history,
    rollout,
    shard_dispatch,
    workload_model,
    workload_status,
)
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.revision_history import NO_REVISIONS, Revisions
from pincompute.federation.workload.workload_model import Workload
from pincompute.kube.cache_views import Views

INDEXES: Mapping[Resource[Any], Mapping[str, Any]] = {
    **workload_model.INDEXES,
    PINREVISIONS: {revision_history.BY_WORKLOAD: revision_history.workloads},
}


@dataclass(frozen=True, slots=True)
class ObservedWorkload:
    """`refused` is what a member did not take last time."""

    now: datetime
    workload: Workload
    sites: tuple[MemberShard, ...]
    revisions: Revisions = NO_REVISIONS
    refused: str = ""


def decide(observed: ObservedWorkload) -> Plan:
    workload = observed.workload
    if workload.deleting:
        return _clear(observed)
    decision = demand.decision(workload)
    if decision is None or workload.rendered.problem:
        told = workload_status.decide(workload, observed.sites, None, observed.now, observed.refused)
        return plan(told.write, wake_after=told.wake_after, why=told.why or "waits for a scheduling decision")
    made = rollout.decide(
        workload, decision, observed.sites, revision_history.templates(observed.revisions.kept), workload.status.without_surge
    )
    told = workload_status.decide(workload, observed.sites, made, observed.now, observed.refused)
    stray = revision_history.stray_deletions(observed.revisions.stray)
    superseded = revision_history.decide(workload, observed.sites, observed.revisions.kept)
    writes = shard_dispatch.writes(workload, made.assignments)
    removals = shard_dispatch.removals(workload, made.assignments)
    return plan(
        shard_dispatch.guard(workload, made.assignments) if stray or superseded or writes or removals else (),
        stray,
        superseded,
        (*writes, *removals, *told.write),  # all at once, so that no member that fails holds up the others or the status
        revision_history.expired(workload, observed.sites, observed.revisions.kept),
        wake_after=told.wake_after,
        why=told.why,
    )


def observe_for(kind: WorkloadKind, key: Key, views: Views, now: datetime, refused: str = "") -> ObservedWorkload | None:
    obj = views.view(labels.HOST, kind.workload).get(key)
    if obj is None:
        return None
    workload = workload_model.read(kind, obj)
    there = member_shards.observe(workload, views)
    revisions = revision_history.observe(workload, views)
    return ObservedWorkload(now, named(workload, there, revisions.kept), there, revisions, refused)


def named(workload: Workload, there: tuple[MemberShard, ...], kept: tuple[PinRevision, ...]) -> Workload:
    """A template keeps the name it runs under, also when a later version of this program would name it otherwise (S-131)."""
    wanted = workload.rendered
    held = {share.revision: share.template for site in there for share in site.mix} | revision_history.templates(kept)
    if wanted.revision in held or wanted.problem:
        return workload
    same = next((name for name, template in sorted(held.items()) if podtemplates.same(template, wanted.template)), None)
    return workload if same is None else replace(workload, rendered=replace(wanted, revision=same))


def _clear(observed: ObservedWorkload) -> Plan:
    """Delete every shard; release the workload when no member can hold one any more."""
    workload = observed.workload
    if not workload.held:
        return Plan(why="is being deleted")
    left = shard_dispatch.remaining(workload, observed.sites)
    if not left:
        return plan(*shard_dispatch.finalizer_removal(workload, observed.sites))
    told = workload_status.decide(workload, observed.sites, None, observed.now, observed.refused)
    deletes = shard_dispatch.shard_deletions(workload, observed.sites)
    why = f"waits for {', '.join(sorted(site.name for site in left))}"
    return plan((*deletes, *told.write), wake_after=told.wake_after, why=why)


def _no_key(_cluster: str, _obj: Any) -> Iterable[Key]:
    return ()


def _controller(kind: WorkloadKind, refusals: ApiRefusals) -> Controller[Key, ObservedWorkload]:
    def observe(key: Key, views: Views, now: datetime) -> ObservedWorkload | None:
        return observe_for(kind, key, views, now, refusals.by_cluster(card.name, key))

    def placed_in(member: str, namespace: str, views: Views) -> Iterable[Key]:
        """Workloads of the namespace that lack replicas in the member: they may wait for the namespace to be prepared."""
        placed = views.view(labels.HOST, kind.workload).by(workload_model.BY_PLACE, workload_model.place(member, namespace))
        return (obj.key for obj in placed if member_shards.lacks_replicas(kind, obj, member, views))

    def namespace_changed(member: str, namespace: Object, views: Views) -> Iterable[Key]:
        return placed_in(member, namespace.metadata.name, views)

    def content_changed(member: str, obj: Object, views: Views) -> Iterable[Key]:
        return placed_in(member, obj.metadata.namespace, views)

    def project_changed(_host: str, project: Object, views: Views) -> Iterable[Key]:
        """Another spec of the Project lists other objects, which may be there already."""
        for obj in views.view(labels.HOST, kind.workload).list(project.metadata.name):
            rows = workload_model.placement(obj)
            if any(member_shards.lacks_replicas(kind, obj, row.cluster, views) for row in rows):
                yield obj.key

    card = Card(
        name=f"federation.workload.{kind.name}",
        promise=f"Each {kind.workload.kind} runs in its members as it was asked for, and its status reports its state.",
        key=kind.workload.kind,
        reads=(
            ReadAccess("host", kind.workload, own_key),
            ReadAccess("host", PINREVISIONS, lambda _cluster, revision: revision_history.workload_key(kind, revision)),
            ReadAccess("host", MEMBERCLUSTERS, _no_key),
            ReadAccess("members", kind.shard, workload_model.same_name),
            ReadAccess("host", PROJECTS, _no_key, project_changed),
            ReadAccess("members", NAMESPACES, _no_key, namespace_changed),
            *(ReadAccess("members", needed, _no_key, content_changed) for needed in namespace_objects.KINDS),
            ReadAccess("members", CLUSTERCAPACITIES, _no_key),
        ),
        writes=(
            WriteAccess("members", kind.shard, ("create", "update", "delete")),
            WriteAccess("host", kind.workload, ("patch", "status")),
            WriteAccess("host", PINREVISIONS, ("create", "patch", "delete")),
        ),
        contact=lambda member, views: (
            obj.key for obj in views.view(labels.HOST, kind.workload).by(workload_model.BY_MEMBER, member)
        ),
    )
    return Controller(card, observe, decide)


def controllers(refusals: ApiRefusals) -> tuple[Controller[Key, ObservedWorkload], ...]:
    """One for each kind of workload. The engine has to tell `refusals` about troubles."""
    return tuple(_controller(kind, refusals) for kind in KINDS)


CONTROLLERS = controllers(ApiRefusals())

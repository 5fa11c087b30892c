"""Runs a workload in its members and reports the result in one status.

There is one controller per kind of workload, keyed by the workload, because the workload owns the disruption account. Five
steps use the same observation, one after the other, and end in one write of the status:

    revision_history   keeps superseded templates as objects
    rollout_progress   decides how many replicas may have the wanted revision now, or that the rollout is undone
    rollout            decides each member's revisions and how many replicas may be disrupted there (`recreation` does while
                       all replicas have to end first)
    shard_dispatch     brings the members' shards up to date
    workload_status    summarises the members' reports

The controller leaves an unreachable member alone and counts it as down. When it answers again, it gets the template at once,
but a number of replicas only when a decision counts on it again, because it may keep what it still has (S-061).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from pincompute.api import labels
from pincompute.api import template_hash as podtemplates
from pincompute.api.builtin import NAMESPACES
from pincompute.api.kinds import KINDS, WorkloadKind
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS, ClusterCapacity
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.api.projects import PROJECTS
from pincompute.api.revisions import PINREVISIONS, PinRevision
from pincompute.api.workloads import Scheduling
from pincompute.engine.api_refusals import ApiRefusals
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import Confirm, Plan, plan
from pincompute.federation.project import namespace_objects
from pincompute.federation.scheduling import demand
from pincompute.federation.settings import setting_references
from pincompute.federation.sidecar import sidecar_references
from pincompute.federation.workload import (
    member_shards,
    metric_gate,
    recreation,
    revision_history,
    rollout,
    rollout_notification,
    rollout_progress,
    setting_readiness,
    setting_rendering,
    shard_dispatch,
    update_hooks,
    workload_model,
    workload_status,
)
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.metric_gate import Measurement
from pincompute.federation.workload.revision_history import NO_REVISIONS, Revisions
from pincompute.federation.workload.rollout import Rollout
from pincompute.federation.workload.rollout_progress import Progress
from pincompute.federation.workload.update_hooks import NO_ANSWERS, HookAnswers
from pincompute.federation.workload.workload_model import Workload
from pincompute.kube.cache_views import Views

INDEXES: Mapping[Resource[Any], Mapping[str, Any]] = {
    **workload_model.INDEXES,
    PINREVISIONS: revision_history.INDEXES,
}


@dataclass(frozen=True, slots=True)
class ObservedWorkload:
    """`refused` is what a member did not take of this generation; `measured` are the metrics of the health gate; `hooks` is
    what the hooks of the step say; `notified` is the stage of the rollout of which the notification endpoint has been told;
    `told_for` says for how many seconds its end is still told.
    """

    now: datetime
    workload: Workload
    sites: tuple[MemberShard, ...]
    revisions: Revisions = NO_REVISIONS
    refused: str = ""
    proof: tuple[Confirm, ...] = ()  # that the settings are as they were seen
    measured: tuple[Measurement, ...] = ()
    hooks: HookAnswers = NO_ANSWERS
    notified: str = ""
    told_for: float | None = None


def decide(observed: ObservedWorkload) -> Plan:
    workload = observed.workload
    if workload.deleting:
        return _clear(observed)
    decision = demand.decision(workload)
    if decision is None or workload.rendered.problem:
        told = workload_status.decide(workload, observed.sites, None, observed.now, observed.refused)
        wake_after = _soonest(told.wake_after, observed.told_for)
        return plan(told.write, wake_after=wake_after, why=told.why or "waits for a scheduling decision")
    kept = revision_history.templates(observed.revisions.kept)
    progress = rollout_progress.decide(
        workload, decision, observed.sites, kept, observed.now, observed.measured, observed.hooks
    )
    workload = progress.workload
    described = observed.workload if progress.unbegun else workload
    made = _rollout(observed.sites, progress, decision, kept)
    record = rollout_notification.marked(progress.record, observed.workload.status.rollout, observed.notified)
    told = workload_status.decide(described, observed.sites, made, observed.now, observed.refused, record)
    if progress.turned:
        return plan(told.write, wake_after=told.wake_after, why=told.why)
    stray = revision_history.stray_deletions(observed.revisions.stray)
    asked = observed.workload.rendered.revision
    superseded = revision_history.decide(workload, observed.sites, observed.revisions.kept, asked)
    writes = shard_dispatch.writes(workload, made.assignments)
    removals = shard_dispatch.removals(workload, made.assignments)
    begins = shard_dispatch.proof_of_end(workload, made.assignments) if progress.ends_first else ()
    guard = (*shard_dispatch.guard(workload, made.assignments), *begins, *observed.proof)
    return plan(
        guard if stray or superseded or writes or removals else (),
        stray,
        superseded,
        (*writes, *removals, *told.write),  # all at once, so that no member that fails holds up the others or the status
        revision_history.expired(workload, observed.sites, observed.revisions),
        wake_after=_soonest(told.wake_after, progress.wake_after, observed.told_for),
        why=told.why,
    )


def _rollout(sites: tuple[MemberShard, ...], progress: Progress, decision: Scheduling, kept: Mapping[str, Manifest]) -> Rollout:
    workload = progress.workload
    if progress.ends_first and (ending := recreation.decide(workload, decision, sites)) is not None:
        return ending
    made = rollout.decide(
        workload,
        decision,
        sites,
        kept,
        workload.status.without_surge,
        progress.limits,
        stepwise=progress.stepwise,
    )
    return recreation.proving(workload, made) if progress.ends_first else made


def _soonest(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)


def observe_for(kind: WorkloadKind, key: Key, views: Views, now: datetime) -> ObservedWorkload | None:
    obj = views.view(labels.HOST, kind.workload).get(key)
    if obj is None:
        return None
    wanted = setting_rendering.rendered(workload_model.read(kind, obj), views)
    there = member_shards.observe(wanted, views)
    revisions = revision_history.observe(wanted, views)
    workload = named(wanted, there, revisions.kept)
    judged = setting_readiness.judge(workload, there, revision_history.templates(revisions.kept), views)
    measured = metric_gate.observe(workload, views)
    return ObservedWorkload(now, workload, judged.sites, revisions, proof=judged.proof, measured=measured)


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


def _given_room(kind: WorkloadKind, member: str, measured: ClusterCapacity, views: Views) -> Iterable[Key]:
    """Returns the workloads whose update waits for room, where the member may have it now."""
    shards = views.view(member, kind.shard)
    for obj in views.view(labels.HOST, kind.workload).by(workload_model.BY_LACKING_ROOM, member):
        if rollout.may_have_room(workload_model.read(kind, obj), measured.status.capacity, shards.get(obj.key)):
            yield obj.key


def _controller(
    kind: WorkloadKind, refusals: ApiRefusals, hooks: update_hooks.HookProjects, *, notifies: bool
) -> Controller[Key, ObservedWorkload]:
    def observe(key: Key, views: Views, now: datetime) -> ObservedWorkload | None:
        seen = observe_for(kind, key, views, now)
        if seen is None:
            return None
        return replace(
            seen,
            hooks=update_hooks.observe(seen.workload, update_hooks.names_for(key.namespace, hooks), views),
            refused=refusals.by_cluster(card.name, key, (str(seen.workload.generation),)),
            notified=rollout_notification.observe(seen.workload, views, now) if notifies else "",
            told_for=rollout_notification.told_for(seen.workload, now) if notifies else None,
        )

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
            *(ReadAccess("members", needed, _no_key, content_changed) for needed in namespace_objects.IN_MEMBERS),
            ReadAccess("members", CLUSTERCAPACITIES, _no_key, partial(_given_room, kind)),
            *setting_references.reads(kind.workload),
            sidecar_references.reads(kind.workload),
        ),
        writes=(
            WriteAccess("members", kind.shard, ("create", "update", "delete")),
            WriteAccess("host", kind.workload, ("patch", "status")),
            WriteAccess("host", PINREVISIONS, ("create", "patch", "delete")),
        ),
        inputs=(metric_gate.INPUT, update_hooks.INPUT, rollout_notification.INPUT),
        contact=lambda member, views: (
            obj.key for obj in views.view(labels.HOST, kind.workload).by(workload_model.BY_MEMBER, member)
        ),
        version_of=shard_dispatch.generation_of,
    )
    return Controller(card, observe, decide)


def controllers(
    refusals: ApiRefusals, *, notifies: bool = False, hooks: update_hooks.HookProjects = update_hooks.NO_HOOKS
) -> tuple[Controller[Key, ObservedWorkload], ...]:
    """Returns one for each kind of workload. The engine has to tell `refusals` about troubles. `notifies`: an endpoint is told
    of the stages of rollouts. `hooks` are those that updates may ask, and the projects of these.
    """
    return tuple(_controller(kind, refusals, hooks, notifies=notifies) for kind in KINDS)


CONTROLLERS = controllers(ApiRefusals())

"""Each workload runs in its members as it was asked for, and one status says how it is.

One controller per kind of workload, keyed by the workload, because the workload owns the account of disturbance. Four steps
look at the same picture, one after the other, and end in one write of the status:

revisions   what is superseded is kept as an object
rollout     which revisions each member runs now, and how many replicas may be disturbed there
dispatch    the members' shards are brought up to date
report      what the members say becomes the status

The surprising rule: a silent member is left alone and counts as down. When it answers again it catches up with the template
at once, with the number of replicas only once a decision counts on it again: it may be going to have what it still has (S-061).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pincompute.api import labels
from pincompute.api import templates as podtemplates
from pincompute.api.clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.core import NAMESPACES
from pincompute.api.kinds import KINDS, Kind
from pincompute.api.meta import Key, Resource
from pincompute.api.revisions import PINREVISIONS, PinRevision
from pincompute.engine.controller import Card, Controller, Reads, Writes, own_key
from pincompute.engine.plan import Plan, plan
from pincompute.engine.refusals import Refusals
from pincompute.federation.scheduling import demand
from pincompute.federation.workload import dispatch, model, report, revisions, rollout, sites
from pincompute.federation.workload.model import Workload
from pincompute.federation.workload.sites import Site
from pincompute.kube.views import Views

INDEXES: Mapping[Resource[Any], Mapping[str, Any]] = {**model.INDEXES, PINREVISIONS: {revisions.BY_OWNER: revisions.owners}}


@dataclass(frozen=True, slots=True)
class Seen:
    """`kept` are the workload's superseded revisions, oldest first; `refused` is what a member did not take last time."""

    now: datetime
    workload: Workload
    sites: tuple[Site, ...]
    kept: tuple[PinRevision, ...]
    refused: str = ""


def decide(seen: Seen) -> Plan:
    workload = seen.workload
    if workload.deleting:
        return _clear(seen)
    decision = demand.decision(workload)
    if decision is None or workload.rendered.problem:
        told = report.decide(workload, seen.sites, None, seen.now, seen.refused)
        return plan(told.write, wake_after=told.wake_after, why=told.why or "waits for a scheduling decision")
    made = rollout.decide(workload, decision, seen.sites, revisions.templates(seen.kept), workload.status.without_surge)
    told = report.decide(workload, seen.sites, made, seen.now, seen.refused)
    superseded = revisions.decide(workload, seen.sites, seen.kept)
    writes = dispatch.writes(workload, made.assignments)
    removals = dispatch.removals(workload, made.assignments)
    return plan(
        dispatch.guard(workload, made.assignments) if superseded or writes or removals else (),
        superseded,
        (*writes, *removals, *told.write),  # all at once, so that no member that fails holds up the others or the status
        revisions.expired(workload, seen.sites, seen.kept),
        wake_after=_soonest(told.wake_after, dispatch.NAMESPACE_POLL if dispatch.lacks_namespace(made.assignments) else None),
        why=told.why,
    )


def observe_for(kind: Kind, key: Key, views: Views, now: datetime, refused: str = "") -> Seen | None:
    obj = views.view(labels.HOST, kind.workload).get(key)
    if obj is None:
        return None
    workload = model.read(kind, obj)
    there = sites.observe(workload, views)
    kept = revisions.observe(workload, views)
    return Seen(now, named(workload, there, kept), there, kept, refused)


def named(workload: Workload, there: tuple[Site, ...], kept: tuple[PinRevision, ...]) -> Workload:
    """A template keeps the name it runs under, also when a later version of this program would name it otherwise (S-131)."""
    wanted = workload.rendered
    held = {share.revision: share.template for site in there for share in site.mix} | revisions.templates(kept)
    if wanted.revision in held or wanted.problem:
        return workload
    same = next((name for name, template in sorted(held.items()) if podtemplates.same(template, wanted.template)), None)
    return workload if same is None else replace(workload, rendered=replace(wanted, revision=same))


def _clear(seen: Seen) -> Plan:
    """Delete every shard; release the workload when no member can hold one any more."""
    workload = seen.workload
    if not workload.held:
        return Plan(why="is being deleted")
    left = dispatch.remaining(workload, seen.sites)
    if not left:
        return plan(*dispatch.finalizer_removal(workload, seen.sites))
    told = report.decide(workload, seen.sites, None, seen.now, seen.refused)
    deletes = dispatch.shard_deletions(workload, seen.sites)
    why = f"waits for {', '.join(sorted(site.name for site in left))}"
    return plan((*deletes, *told.write), wake_after=told.wake_after, why=why)


def _soonest(*seconds: float | None) -> float | None:
    return min((s for s in seconds if s is not None), default=None)


def _no_key(_cluster: str, _obj: Any) -> Iterable[Key]:
    return ()


def _owner(_cluster: str, revision: PinRevision) -> Iterable[Key]:
    return [Key(revision.metadata.namespace, owner.name) for owner in revision.metadata.owner_references]


def _controller(kind: Kind, refusals: Refusals) -> Controller[Key, Seen]:
    def observe(key: Key, views: Views, now: datetime) -> Seen | None:
        return observe_for(kind, key, views, now, refusals.by_cluster(card.name, key))

    card = Card(
        name=f"federation.workload.{kind.name}",
        promise=f"Each {kind.workload.kind} runs in its members as it was asked for, and its status says how it is.",
        key=kind.workload.kind,
        reads=(
            Reads("host", kind.workload, own_key),
            Reads("host", PINREVISIONS, _owner),
            Reads("host", MEMBERCLUSTERS, _no_key),
            Reads("members", kind.shard, model.same_name),
            Reads("members", NAMESPACES, _no_key),
            Reads("members", CLUSTERCAPACITIES, _no_key),
        ),
        writes=(
            Writes("members", kind.shard, ("apply", "delete")),
            Writes("host", kind.workload, ("patch", "status")),
            Writes("host", PINREVISIONS, ("create", "patch", "delete")),
        ),
        contact=lambda member, views: (obj.key for obj in views.view(labels.HOST, kind.workload).by(model.BY_MEMBER, member)),
    )
    return Controller(card, observe, decide)


def controllers(refusals: Refusals) -> tuple[Controller[Key, Seen], ...]:
    """One for each kind of workload. The engine has to tell `refusals` about troubles."""
    return tuple(_controller(kind, refusals) for kind in KINDS)


CONTROLLERS = controllers(Refusals())

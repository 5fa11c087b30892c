"""Scheduling: every workload of a tier gets a placement, first come first served, one status write per decision.

The key is the tier's queue, not the workload: the queue owns the constraint, which is the room in the clusters. One run
decides a batch against one ledger of assumed capacity, so two submits in the same second never use the same room twice
(S-035); the writes of a batch go out together. The ledger is derived from placements and never stored: a promise ends when
the replicas are ready and the cluster's own measurement counts them. A decision names the generation it was made for;
dispatch follows no other (S-048).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from pincompute.api import conditions
from pincompute.api.clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.conditions import Condition
from pincompute.api.kinds import KINDS
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Object
from pincompute.api.requests import NOTHING, Requests, plus
from pincompute.api.workloads import ClusterReplicas, ClusterStatus, Scheduling, WorkloadStatus
from pincompute.engine.controller import Card, Controller, Reads, Writes
from pincompute.engine.plan import Patch, Plan, plan
from pincompute.federation import members, workloads
from pincompute.federation.members import Member
from pincompute.federation.scheduling.placement import place
from pincompute.federation.workload.report import before_reports
from pincompute.federation.workloads import TIERS, Workload, WorkloadObject
from pincompute.kube.views import Views

BATCH = 64  # decisions written at the same time; enough to keep an API server busy on two cores
SCHEDULED = "Scheduled"
LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Seen:
    """`waiting` need a decision, first come first served; `assumed` is promised capacity by cluster."""

    now: datetime
    waiting: tuple[Workload, ...]
    members: tuple[Member, ...]
    assumed: Mapping[str, Requests]


def decide(seen: Seen) -> Plan:
    assumed = dict(seen.assumed)
    writes: list[Patch] = []
    for workload in seen.waiting:
        if workload.rendered.problem:
            writes += workloads.with_status(workload, _refused(workload, seen.now), "its template cannot be used")
            continue
        decision = place(workload, seen.members, assumed)
        _promise(assumed, workload, decision)
        decided = before_reports(workload, _status(workload, decision, seen.now), seen.members, seen.now)
        writes += workloads.with_status(workload, decided, _why(decision))
        if len(writes) >= BATCH:
            break
    return plan(tuple(writes), wake_after=0.0 if len(writes) >= BATCH else None)


def observe(key: Key, views: Views, now: datetime) -> Seen:
    known = members.measured(views)
    staying = frozenset(m.name for m in known if not m.leaving)
    everything = [w for w in _of_tier(key.name, views) if not w.deleting]
    waiting = sorted((w for w in everything if _undecided(w, staying)), key=_submitted)
    return Seen(now, tuple(map(_read, waiting)), known, ledger(everything, known))


def _of_tier(tier: str, views: Views) -> Iterator[WorkloadObject]:
    for kind in KINDS:
        yield from views.view(HOST, kind.workload).by("tier", tier)


def _read(obj: WorkloadObject) -> Workload:
    return workloads.read(next(k for k in KINDS if isinstance(obj, k.workload.type)), obj)


def _submitted(obj: WorkloadObject) -> tuple[datetime, str]:
    return obj.metadata.creation_timestamp or LAST, obj.metadata.uid


def _undecided(obj: WorkloadObject, staying: frozenset[str]) -> bool:
    """No decision for this generation, an incomplete one, or one that names a cluster which is leaving or gone."""
    made = obj.status.scheduling
    if made is None or made.generation != obj.metadata.generation:
        return True
    return bool(made.unplaced or made.passed_over) or any(row.cluster not in staying for row in made.placement)


def ledger(objects: Iterable[WorkloadObject], known: Iterable[Member]) -> dict[str, Requests]:
    """Capacity promised by cluster: to replicas that are not ready, and to new ones that its measurement does not count yet."""
    assumed: dict[str, Requests] = {}
    by_name = {member.name: member for member in known}
    for obj in objects:
        made = obj.status.scheduling
        if made is None:
            continue
        lines = {line.cluster: line for line in obj.status.clusters}
        for row in made.placement:
            if pending := _pending(row, lines.get(row.cluster), by_name.get(row.cluster)):
                requests = workloads.render(obj).requests
                assumed[row.cluster] = plus(assumed.get(row.cluster, NOTHING), requests, pending)
    return assumed


def _pending(row: ClusterReplicas, line: ClusterStatus | None, member: Member | None) -> int:
    """Readiness is reported at once and room every few seconds: what was added is ready before it is counted."""
    if line is None:
        return row.replicas
    counted = member is not None and member.counts(line)
    return max(0, row.replicas - line.ready_replicas, 0 if counted else row.added)


def _promise(assumed: dict[str, Requests], workload: Workload, decision: Scheduling) -> None:
    """Charge what this decision adds to what the last one had promised already."""
    before = workload.status.scheduling
    had = {row.cluster: row.replicas for row in before.placement} if before else {}
    for row in decision.placement:
        if (more := row.replicas - had.get(row.cluster, 0)) > 0:
            assumed[row.cluster] = plus(assumed.get(row.cluster, NOTHING), workload.rendered.requests, more)


def _status(workload: Workload, decision: Scheduling, now: datetime) -> WorkloadStatus:
    made = workload.status.scheduling
    if made is not None and _same(made, decision):
        return workload.status
    return _with(workload, _condition(workload, decision), now, decision)


def _same(made: Scheduling, decision: Scheduling) -> bool:
    """Scores move all the time; a decision that ends in the same place for the same reasons is not written again."""
    return msgspec.structs.replace(decision, scores=made.scores, placement=_places(decision)) == msgspec.structs.replace(
        made, placement=_places(made)
    )


def _places(decision: Scheduling) -> tuple[ClusterReplicas, ...]:
    return tuple(msgspec.structs.replace(row, added=0) for row in decision.placement)


def _refused(workload: Workload, now: datetime) -> WorkloadStatus:
    condition = Condition(
        type=SCHEDULED,
        status="False",
        observed_generation=workload.generation,
        reason="InvalidTemplate",
        message=f"spec.template cannot be used: {workload.rendered.problem}",
    )
    return _with(workload, condition, now, workload.status.scheduling)


def _with(workload: Workload, condition: Condition, now: datetime, decision: Scheduling | None) -> WorkloadStatus:
    merged = conditions.merge(workload.status.conditions, (condition,), now)
    return msgspec.structs.replace(workload.status, scheduling=decision, conditions=merged)


def _condition(workload: Workload, decision: Scheduling) -> Condition:
    if not decision.unplaced:
        status, reason, message = "True", "Placed", _why(decision)
    else:
        status, reason, message = "False", _main_reason(decision), _shortage(workload, decision)
    return Condition(type=SCHEDULED, status=status, observed_generation=workload.generation, reason=reason, message=message)


def _main_reason(decision: Scheduling) -> str:
    reasons = {r.reason for r in decision.rejections}
    return "InsufficientCapacity" if "InsufficientCapacity" in reasons else "NoClusterMatches"


def _shortage(workload: Workload, decision: Scheduling) -> str:
    if not decision.rejections:
        return f"{decision.unplaced} of {workload.replicas} replicas wait: the region has no member cluster; add one"
    reasons = "; ".join(r.message for r in decision.rejections)
    return f"{decision.unplaced} of {workload.replicas} replicas wait: {reasons}"


def _why(decision: Scheduling) -> str:
    rows = ", ".join(f"{row.replicas} in {row.cluster} (zone {row.zone})" for row in decision.placement)
    return f"placed {rows}" if rows else "placed nowhere"


def _tier(_cluster: str, obj: WorkloadObject) -> tuple[Key, ...]:
    """Progress of a workload that has its place is no news: room that comes free is told by the members' capacity."""
    made = obj.status.scheduling
    stands = made is not None and made.generation == obj.metadata.generation and not (made.unplaced or made.passed_over)
    return () if stands and not obj.deleting else (Key("", obj.spec.tier),)


def _every_tier(_cluster: str, _obj: Object) -> tuple[Key, ...]:
    return tuple(Key("", tier) for tier in TIERS)


CONTROLLER = Controller(
    Card(
        name="federation.scheduling",
        promise="Every workload gets a placement, first come first served, that the clusters have room for.",
        key="tier",
        reads=(
            *(Reads("host", kind.workload, _tier) for kind in KINDS),
            Reads("host", MEMBERCLUSTERS, _every_tier),
            Reads("members", CLUSTERCAPACITIES, _every_tier),
        ),
        writes=tuple(Writes("host", kind.workload, ("status",)) for kind in KINDS),
    ),
    observe,
    decide,
)

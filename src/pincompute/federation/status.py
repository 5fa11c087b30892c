"""Status: what the members report becomes one status that answers four questions on its first screen.

Is it running (phase), where (where), which revision (revision), and if not, why not and what to do (message). The
surprising rule: `observedGeneration` equals `generation` only when every member that was given replicas has rendered this
generation and observed it (S-020); until then a script that waits for it would be told "done" before anything began. A
silent member's last figures stay, marked `known: false`: unknown is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec

from pincompute.api import conditions, labels
from pincompute.api.clusters import MEMBERCLUSTERS
from pincompute.api.conditions import Condition, ConditionStatus
from pincompute.api.kinds import KINDS, Kind
from pincompute.api.meta import Key
from pincompute.api.shards import Shard
from pincompute.api.workloads import ClusterStatus, WorkloadStatus
from pincompute.engine.controller import Card, Controller, Reads, Writes, own_key
from pincompute.engine.plan import Plan, plan
from pincompute.federation import members, workloads
from pincompute.federation.members import Member
from pincompute.federation.scheduling import demand
from pincompute.federation.workloads import Workload
from pincompute.kube.views import Unknown, Views

PACE = timedelta(seconds=2)  # between writes of mere progress: a start of many pods costs a few host writes, not one for each


@dataclass(frozen=True, slots=True)
class Report:
    """One member's shard of this workload. `known` is false when the member cannot be seen now."""

    member: Member
    shard: Shard | None
    known: bool


@dataclass(frozen=True, slots=True)
class Seen:
    now: datetime
    workload: Workload
    reports: tuple[Report, ...]


def decide(seen: Seen) -> Plan:
    workload = seen.workload
    if workload.deleting and not workload.held:
        return Plan(why="is being deleted")
    if _undecided(workload):
        return Plan(why="waits for its first decision, whose write says all there is to say")
    lines = _lines(workload, seen.reports)
    status = _status(workload, lines, _observed(workload, seen.reports), seen.now)
    if status == workload.status:
        return Plan()
    if not _urgent(workload.status, status) and (wait := _since_last(workload) + PACE - seen.now) > timedelta():
        return Plan(wake_after=wait.total_seconds(), why="mere progress; it is written at a pace")
    stamped = msgspec.structs.replace(status, last_update_time=seen.now)
    return plan(workloads.with_status(workload, stamped, f"{status.phase}: {status.message or status.where}"))


def _undecided(workload: Workload) -> bool:
    """Neither placed nor refused: scheduling has not come to it yet."""
    status = workload.status
    return not workload.deleting and status.scheduling is None and conditions.find(status.conditions, "Scheduled") is None


def before_reports(
    workload: Workload, decided: WorkloadStatus, everywhere: tuple[Member, ...], now: datetime
) -> WorkloadStatus:
    """`decided`, the first decision on a workload, completed by what can be said before any member reports.

    So a new workload costs one write of its status until it runs, not one for the decision and one for its first report.
    """
    if workload.status.scheduling is not None or workload.status.phase:
        return decided
    new = replace(workload, obj=msgspec.structs.replace(workload.obj, status=decided))
    lines = _lines(new, tuple(Report(member, None, member.reachable) for member in everywhere))
    status = _status(new, lines, decided.observed_generation, now)
    return msgspec.structs.replace(status, last_update_time=now)


def _urgent(before: WorkloadStatus, after: WorkloadStatus) -> bool:
    """People and scripts wait for a change of phase; a member that falls silent or answers again is news as well."""
    if before.phase and before.phase != after.phase:
        return True
    return after.phase == "Running" != before.phase or _silent(before) != _silent(after)


def _silent(status: WorkloadStatus) -> frozenset[str]:
    return frozenset(line.cluster for line in status.clusters if not line.known)


def _since_last(workload: Workload) -> datetime:
    return workload.status.last_update_time or workload.obj.metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC)


def observe_for(kind: Kind, key: Key, views: Views, now: datetime) -> Seen | None:
    obj = views.view(labels.HOST, kind.workload).get(key)
    if obj is None:
        return None
    workload = workloads.read(kind, obj)
    return Seen(now, workload, tuple(_report(workload, m, views) for m in members.observe(views)))


def _report(workload: Workload, member: Member, views: Views) -> Report:
    try:
        shard = views.view(member.name, workload.kind.shard).get(workload.key)
    except Unknown:
        return Report(member, None, known=False)
    return Report(member, workloads.shard_of(workload, shard), member.reachable)


def _lines(workload: Workload, reports: tuple[Report, ...]) -> tuple[ClusterStatus, ...]:
    """One line a member that should run or does run a part of it, in the order of zones."""
    made = workload.status.scheduling
    placed = {row.cluster for row in made.placement} if made else set[str]()
    before = {line.cluster: line for line in workload.status.clusters}
    lines = [
        _line(report, before.get(report.member.name))
        for report in reports
        if report.shard is not None or report.member.name in placed or (not report.known and report.member.name in before)
    ]
    return tuple(sorted(lines, key=lambda line: (line.zone, line.cluster)))


def _line(report: Report, before: ClusterStatus | None) -> ClusterStatus:
    if not report.known:
        last = before or ClusterStatus(cluster=report.member.name, zone=report.member.zone)
        message = f"{report.member.name} does not answer; these are its last figures"
        return msgspec.structs.replace(last, known=False, message=message)
    if report.shard is None:
        return ClusterStatus(cluster=report.member.name, zone=report.member.zone)
    status = report.shard.status
    line = ClusterStatus(
        cluster=report.member.name,
        zone=report.member.zone,
        replicas=status.replicas,
        ready_replicas=status.ready_replicas,
        available_replicas=status.available_replicas,
        updated_replicas=status.updated_replicas,
        observed_generation=status.origin_generation if _current(report.shard) else 0,
        message=status.message,
        reported_at=before.reported_at if before else None,
    )
    return line if line == before else msgspec.structs.replace(line, reported_at=status.reported_at)


def _current(shard: Shard) -> bool:
    """The operator has seen the shard as it is now."""
    return shard.status.observed_generation >= shard.metadata.generation


def _observed(workload: Workload, reports: tuple[Report, ...]) -> int:
    """S-020: the workload's generation once all members that were given replicas rendered and observed it."""
    decision = demand.decision(workload)
    if decision is None:
        return workload.status.observed_generation
    by_name = {r.member.name: r for r in reports}
    for row in decision.placement:
        report = by_name.get(row.cluster)
        if report is None or not report.known or report.shard is None or not _current(report.shard):
            return workload.status.observed_generation
        if report.shard.status.origin_generation < workload.generation:
            return workload.status.observed_generation
    return workload.generation


def _status(workload: Workload, lines: tuple[ClusterStatus, ...], observed: int, now: datetime) -> WorkloadStatus:
    ready = sum(line.ready_replicas for line in lines if line.known)
    updated = sum(line.updated_replicas for line in lines if line.known)
    available = sum(line.available_replicas for line in lines if line.known)
    phase = _phase(workload, lines, observed)
    message = _message(workload, lines, phase)
    return msgspec.structs.replace(
        workload.status,
        observed_generation=observed,
        phase=phase,
        replicas=sum(line.replicas for line in lines),
        ready_replicas=ready,
        available_replicas=available,
        updated_replicas=updated,
        unavailable_replicas=max(0, workload.replicas - available),
        revision=_revision(workload),
        selector=f"{labels.APP}={workload.key.name}",
        where=" ".join(f"{line.cluster}:{line.ready_replicas}/{line.replicas}" for line in lines),
        message=message,
        clusters=lines,
        conditions=conditions.merge(workload.status.conditions, _conditions(workload, phase, message, available), now),
    )


def _revision(workload: Workload) -> str:
    """Of what the shards are given; a paused workload keeps that of its last decision before."""
    decision = demand.decision(workload)
    if decision is None:
        return workload.status.revision
    return (workload.status.revision or decision.revision) if workload.paused else workload.rendered.revision


def _phase(workload: Workload, lines: tuple[ClusterStatus, ...], observed: int) -> str:
    """Running only once nothing of a former revision is left: ready replicas of it hide that an update is stuck."""
    if workload.deleting:
        return "Deleting"
    if workload.paused:
        return "Paused"
    if workload.replicas == 0:
        return "Stopped"
    known = [line for line in lines if line.known]
    ready = sum(line.ready_replicas for line in known)
    complete = (
        min(ready, sum(line.updated_replicas for line in known)) >= workload.replicas >= sum(line.replicas for line in known)
    )
    if observed == workload.generation and complete:
        return "Running"
    decision = demand.decision(workload)
    if decision is None or (not ready and decision.unplaced):
        return "Pending"
    return "Progressing" if ready >= workload.replicas or not _was_ready(workload) else "Degraded"


def _was_ready(workload: Workload) -> bool:
    """It had all its replicas for this generation before: missing ones are a loss, not a start."""
    return workload.status.observed_generation == workload.generation and workload.status.phase in ("Running", "Degraded")


def _message(workload: Workload, lines: tuple[ClusterStatus, ...], phase: str) -> str:
    if workload.deleting:
        waiting = ", ".join(line.cluster for line in lines)
        return f"waits until nothing of it is left in {waiting}" if waiting else ""
    scheduled = conditions.find(workload.status.conditions, "Scheduled")
    if scheduled is not None and scheduled.status == "False":
        return scheduled.message
    if workload.paused:
        return "no change reaches it while spec.paused is true; resume it to let changes through"
    return "" if phase in ("Running", "Stopped") else next((line.message for line in lines if line.message), "")


def _conditions(workload: Workload, phase: str, message: str, available: int) -> tuple[Condition, ...]:
    enough = available >= workload.replicas
    return (
        _condition(
            workload,
            "Available",
            "True" if enough else "False",
            "EnoughReplicas" if enough else "TooFewReplicas",
            f"{available} of {workload.replicas} replicas are available",
        ),
        _condition(workload, "Progressing", "True" if phase == "Progressing" else "False", phase, message),
    )


def _condition(workload: Workload, kind: str, status: ConditionStatus, reason: str, message: str) -> Condition:
    return Condition(type=kind, status=status, observed_generation=workload.generation, reason=reason, message=message)


def _controller(kind: Kind) -> Controller[Seen]:
    return Controller(
        Card(
            name=f"federation.status.{kind.name}",
            promise=f"The status of each {kind.workload.kind} says what its members report, and nothing newer than they know.",
            key=kind.workload.kind,
            reads=(
                Reads("host", kind.workload, own_key),
                Reads("host", MEMBERCLUSTERS, lambda _cluster, _obj: ()),
                Reads("members", kind.shard, workloads.same_name),
            ),
            writes=(Writes("host", kind.workload, ("status",)),),
        ),
        lambda key, views, now: observe_for(kind, key, views, now),
        decide,
    )


CONTROLLERS = tuple(_controller(kind) for kind in KINDS)

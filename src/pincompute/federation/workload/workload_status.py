"""Summarises the members' reports into one status that answers four questions on its first screen.

Does it run (phase), where (where), which revision (revision), and if not, why not and what to do (message).
`observedGeneration` equals `generation` only when every member that was given replicas has rendered this generation and
observed it (S-020); otherwise a script that waits for it would continue before anything began. The last figures of an
unreachable member stay, marked `known: false`, because unknown is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from pincompute.api import conditions, labels
from pincompute.api.conditions import Condition, ConditionStatus
from pincompute.api.workloads import TERMINAL_STATES, UNDOING, ClusterStatus, Ended, RevisionNote, RolloutStatus, WorkloadStatus
from pincompute.domain import disruption_account, zone_text
from pincompute.engine.plan import Replace
from pincompute.federation.kinds import MemberReport, Summary
from pincompute.federation.member.member_state import MemberState
from pincompute.federation.scheduling import demand
from pincompute.federation.workload import (
    metric_gate,
    revision_history,
    setting_readiness,
    stalled_workload,
    update_hooks,
    workload_model,
)
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.rollout import Rollout
from pincompute.federation.workload.stalled_workload import LATE, NOT_STALLED, STALLED, Stall
from pincompute.federation.workload.workload_model import Workload

TOGETHER = timedelta(seconds=5)  # from the first report of a start on, in which those of the other members are waited for
MOST_NAMED = 3  # members that a message names
PACE = timedelta(seconds=5)  # between writes of mere progress: a start of many pods costs a few host writes, not one for each


@dataclass(frozen=True, slots=True)
class _ReportedMembers:
    """What is said beside the figures. `unprepared` is which members take no more replicas yet, and why; `causes` is why
    replicas are not ready; `stall` why waiting does not help; `room` the condition of an update that waits for room; `rollout`
    how far the rollout has come.
    """

    made: Rollout | None = None
    refused: str = ""
    unprepared: str = ""
    causes: str = ""
    stall: Stall = NOT_STALLED
    room: tuple[Condition, ...] = ()
    rollout: RolloutStatus | None = None


@dataclass(frozen=True, slots=True)
class WorkloadStatusUpdate:
    """The write, if there is something to say, and when to reconcile for something that time alone changes."""

    write: tuple[Replace, ...] = ()
    wake_after: float | None = None
    why: str = ""


def decide(
    workload: Workload,
    sites: tuple[MemberShard, ...],
    made: Rollout | None,
    now: datetime,
    refused: str = "",
    record: RolloutStatus | None = None,
) -> WorkloadStatusUpdate:
    """Returns the update. `made` is the present rollout, None while there is no decision to follow; `refused` is what a
    member refuses; `record` is how far the rollout has come.
    """
    if _undecided(workload):
        return WorkloadStatusUpdate(why="waits for its first decision, whose write says all there is to say")
    lacking = (_unprepared(workload, sites), *(missing.message for missing in setting_readiness.waits(workload, sites)))
    unprepared = "; ".join(part for part in lacking if part)
    record = record if made is not None else workload.status.rollout
    stall = stalled_workload.find(workload, sites, made, refused, now, record)
    causes = stalled_workload.message(workload, sites, made)
    room = stalled_workload.room_condition(workload, sites, made)
    told = _ReportedMembers(made, refused, unprepared, causes, stall, room, record)
    status = _status(workload, _summary(workload, sites), _observed(workload, sites), told, now)
    if status == workload.status:
        return WorkloadStatusUpdate(wake_after=stall.wake_after)
    if not _urgent(workload.status, status, sites) and (wait := _patience(workload, sites, now)) > timedelta():
        return WorkloadStatusUpdate(wake_after=wait.total_seconds(), why="mere progress; it is written at a pace")
    stamped = msgspec.structs.replace(status, last_update_time=now)
    why = f"{status.phase}: {status.message or status.where}"
    return WorkloadStatusUpdate(workload_model.with_status(workload, stamped, why), stall.wake_after)


def _undecided(workload: Workload) -> bool:
    """Returns whether it is neither placed nor refused, because scheduling has not reached it yet."""
    status = workload.status
    return not workload.deleting and status.scheduling is None and conditions.find(status.conditions, "Scheduled") is None


def before_reports(
    workload: Workload, decided: WorkloadStatus, everywhere: tuple[MemberState, ...], now: datetime
) -> WorkloadStatus:
    """Returns `decided`, the first decision on a workload, completed by what can be said before any member reports. So a new
    workload costs one write of its status until it runs, not one for the decision and one for its first report.
    """
    if workload.status.scheduling is not None or workload.status.phase:
        return decided
    new = replace(workload, obj=msgspec.structs.replace(cast("Any", workload.obj), status=decided))
    summary = _summary(new, tuple(MemberShard(member, None, known=member.reachable) for member in everywhere))
    status = _status(new, summary, decided.observed_generation, _ReportedMembers(), now)
    return msgspec.structs.replace(status, last_update_time=now)


def _urgent(before: WorkloadStatus, after: WorkloadStatus, sites: tuple[MemberShard, ...]) -> bool:
    """Returns whether to write at once: people and scripts wait for a change of phase and for members that are in trouble,
    become unreachable or answer again.
    """
    if before.phase and before.phase != after.phase:
        return True
    if before.message != after.message and any(site.in_trouble for site in sites):
        return True
    if conditions.is_true(before.conditions, STALLED) != conditions.is_true(after.conditions, STALLED):
        return True
    if _stage(before.rollout) != _stage(after.rollout):
        return True
    return after.phase == "Running" != before.phase or _unreachable(before) != _unreachable(after)


def _stage(record: RolloutStatus | None) -> tuple[object, ...]:
    """Returns what the next decision on the rollout depends on. That one has begun is written with the first report of it."""
    if record is None or (record.state == "Progressing" and not record.step and record.healthy_since is None):
        return ("", 0, None, record.failure if record is not None else "", _asked(record))
    return (record.state, record.step, record.healthy_since, record.failure, _asked(record))


def _asked(record: RolloutStatus | None) -> tuple[tuple[str, str, str], ...]:
    """Returns the hooks of the step with their states: one is asked, and followed, only when the status has it."""
    return tuple((row.name, row.when, row.state) for row in record.hooks) if record is not None else ()


def _patience(workload: Workload, sites: tuple[MemberShard, ...], now: datetime) -> timedelta:
    """How long mere progress waits. Members that start together report together: the first report waits for the others'."""
    wait = min(_since_last(workload) + PACE - now, PACE)  # the clock that wrote last may have been ahead
    if workload.status.ready_replicas:
        return wait
    reported = (site.shard.status.reported_at for site in sites if site.shard is not None)
    ages = (now - at for at in reported if at is not None)
    return max(wait, *(TOGETHER - age for age in ages if timedelta() <= age < TOGETHER), timedelta())


def _unreachable(status: WorkloadStatus) -> frozenset[str]:
    return frozenset(line.cluster for line in status.clusters if not line.known)


def _since_last(workload: Workload) -> datetime:
    return workload.status.last_update_time or workload.obj.metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC)


def _summary(workload: Workload, sites: tuple[MemberShard, ...]) -> Summary:
    """Returns a line for each member that should run or does run a part of it."""
    made = workload.status.scheduling
    placed = {row.cluster for row in made.placement} if made else set[str]()
    before = {line.cluster for line in workload.status.clusters}
    reports = [
        MemberReport(site.name, site.member.zone, site.shard, site.known)
        for site in sites
        if site.shard is not None or site.name in placed or (not site.known and site.name in before)
    ]
    return workload.behaviour.summarise(workload.obj, _revision(workload), reports)


def _revision(workload: Workload) -> str:
    """Returns the wanted revision; a paused workload keeps the one it had."""
    return (workload.paused and workload.status.revision) or workload.rendered.revision


def _observed(workload: Workload, sites: tuple[MemberShard, ...]) -> int:
    """Returns the workload's generation once all members that were given replicas have rendered and observed it (S-020)."""
    decision = demand.decision(workload)
    if decision is None:
        return workload.status.observed_generation
    by_name = {site.name: site for site in sites}
    for row in decision.placement:
        site = by_name.get(row.cluster)
        if site is None or not site.known or site.shard is None or not site.settled:
            return workload.status.observed_generation
        if site.shard.status.origin_generation < workload.generation:
            return workload.status.observed_generation
    return workload.generation


def _status(workload: Workload, summary: Summary, observed: int, told: _ReportedMembers, now: datetime) -> WorkloadStatus:
    lines, ended = summary.clusters, _ended(workload, summary)
    ready = sum(line.ready_replicas for line in lines if line.known)
    updated = sum(line.updated_replicas for line in lines if line.known)
    available = sum(line.available_replicas for line in lines if line.known)
    peak = min(workload.replicas, max(workload.status.peak_ready_replicas, ready)) if ended is None else 0
    loss = _loss(workload, peak, ready, told)
    phase = ended.phase if ended is not None else _phase(workload, lines, observed, told, loss)
    message = ended.message if ended is not None else _message(workload, lines, phase, told, loss)
    return msgspec.structs.replace(
        workload.status,
        observed_generation=observed,
        phase=phase,
        replicas=sum(line.replicas for line in lines),
        ready_replicas=ready,
        available_replicas=available,
        updated_replicas=updated,
        unavailable_replicas=max(0, workload.replicas - available),
        peak_ready_replicas=peak,
        revision=_revision(workload) if demand.decision(workload) else workload.status.revision,
        rollout=told.rollout,
        note=_note(workload, told.rollout),
        without_surge=told.made.without_surge if told.made is not None else workload.status.without_surge,
        selector=f"{labels.APP}={workload.key.name}",
        where=" ".join(f"{line.cluster}:{line.ready_replicas}/{line.replicas}" for line in lines),
        ended=ended,
        message=message,
        clusters=lines,
        conditions=conditions.merge(
            workload.status.conditions,
            (*_conditions(workload, phase, message, available), *stalled_workload.condition(workload, told.stall), *told.room),
            now,
        ),
    )


def _note(workload: Workload, record: RolloutStatus | None) -> RevisionNote | None:
    """Returns what is noted about the revision of the spec, which is not the one that is brought about after a rollback."""
    asked = record.revision if record is not None and record.state in UNDOING else workload.rendered.revision
    return revision_history.note(workload.obj, asked)


def _ended(workload: Workload, summary: Summary) -> Ended | None:
    """Returns the end, which stays when the member that saw it has gone; what is stopped or changed runs again."""
    if workload.deleting or not workload.replicas:
        return None
    before = workload.status.ended
    kept = before if before is not None and before.revision == _revision(workload) else None
    return summary.ended or kept


def _loss(workload: Workload, peak: int, ready: int, told: _ReportedMembers) -> str:
    """Returns how many replicas are lost, in a sentence; empty when none is. `peak` were ready at once. While an update is in
    progress, the disruption account lets some be missing.
    """
    updating = told.rollout is not None and told.rollout.state not in TERMINAL_STATES
    account = told.made.account if told.made is not None else workload.account(workload.replicas)
    kept = min(peak, account.promised) if updating else peak
    if ready >= kept:
        return ""
    return told.causes or f"{ready} of {workload.replicas} replicas {'is' if ready == 1 else 'are'} ready, {peak} were before"


def _phase(workload: Workload, lines: tuple[ClusterStatus, ...], observed: int, told: _ReportedMembers, loss: str) -> str:
    """Returns the gravest of what is true: a loss, then a stall, then a wait for a place, then progress. It is Running only
    when no replica has a former revision, because its ready replicas could hide a stuck update.
    """
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
        state = told.rollout.state if told.rollout is not None else "Complete"
        return {"RolledBack": "RolledBack", "RollingBack": "Progressing"}.get(state, "Running")
    if loss:
        return "Degraded"
    if told.stall.reason and not _is_undone(told.rollout):
        return STALLED
    decision = demand.decision(workload)
    return "Pending" if decision is None or (not ready and decision.unplaced) else "Progressing"


def _is_undone(record: RolloutStatus | None) -> bool:
    return record is not None and record.state == "RolledBack"


def _message(workload: Workload, lines: tuple[ClusterStatus, ...], phase: str, told: _ReportedMembers, loss: str) -> str:
    """Returns what hinders it, and beside that what is lost: neither hides the other."""
    if workload.deleting:
        waiting = {line.zone for line in lines}
        return f"waits until nothing of it is left in {zone_text.zones(waiting)}" if waiting else ""
    unreachable = next((line.message for line in lines if not line.known), "")
    if obstacle := _obstacle(workload, phase, told):
        return "; ".join(part for part in (obstacle, loss, unreachable if loss else "") if part)
    if phase == "Stopped":
        return ""
    late = told.stall.message if told.stall.reason == LATE else ""
    hooks = update_hooks.waits(told.rollout.hooks) if told.rollout is not None and not late else ""
    metrics = "" if unreachable or late else _waits_for_metrics(workload, told.rollout)
    if phase == "Running":
        return hooks or metrics
    reported = told.causes or next((line.message for line in lines if line.known and line.message), "")
    available = sum(line.available_replicas for line in lines if line.known)
    said = (reported or loss, unreachable, told.unprepared, hooks or _waits(told.made, available) or metrics, late)
    return "; ".join(part for part in said if part)


def _obstacle(workload: Workload, phase: str, told: _ReportedMembers) -> str:
    """Returns what no member reports: it has no place, is paused, is refused, or its update is undone."""
    scheduled = conditions.find(workload.status.conditions, "Scheduled")
    if scheduled is not None and scheduled.status == "False":
        return scheduled.message
    if workload.paused:
        typed = workload.kind.typed(workload.key.name)
        return f"it is paused, and no change reaches it until somebody resumes it: `pin resume {typed}`"
    if told.refused:
        return f"{told.refused}; correct the field that it names, or what the field refers to"
    undone = phase not in ("Running", "Stopped") and told.rollout is not None and told.rollout.state in UNDOING
    return stalled_workload.undone(told.rollout) if undone and told.rollout is not None else ""


def _unprepared(workload: Workload, sites: tuple[MemberShard, ...]) -> str:
    """Returns where replicas wait because the project's namespace is not prepared, and what is missing there."""
    placed = {row.cluster: row.replicas for row in workload_model.placement(workload.obj)}
    waiting = [site for site in sites if site.known and site.lacks and placed.get(site.name, 0) > site.replicas]
    if not waiting:
        return ""
    count = sum(placed[site.name] - site.replicas for site in waiting)
    replicas = "1 replica waits" if count == 1 else f"{count} replicas wait"
    where = ", ".join(f"zone {site.member.zone}: {site.lacks}" for site in waiting[:MOST_NAMED])
    more = f" and {len(waiting) - MOST_NAMED} more" if len(waiting) > MOST_NAMED else ""
    return f"{replicas} for the project's namespace ({where}{more}); the Ready condition of the Project says what to do"


def _waits_for_metrics(workload: Workload, record: RolloutStatus | None) -> str:
    return metric_gate.waits(record, workload.obj.spec.update) if record is not None else ""


def _waits(made: Rollout | None, available: int) -> str:
    """Returns why a change waits although nothing is broken."""
    if made is None or not made.waiting:
        return made.blocked if made is not None else ""
    return disruption_account.waiting_sentence(made.account, made.waiting, available)


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

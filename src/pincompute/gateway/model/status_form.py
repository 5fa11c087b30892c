"""Defines the status of a workload in the simple form: whether it runs, where, in which revision, and if not, why.

It shows zones and not clusters, because users know zones only. Of an unreachable cluster the last figures are shown, marked.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pincompute.api import conditions
from pincompute.api.meta import Struct, doc
from pincompute.api.workloads import ClusterStatus, HookStatus, MetricStatus, RolloutStatus, Scheduling, WorkloadStatus

PENDING = "Pending"  # before the platform has decided about it


class ZoneStatus(Struct):
    zone: Annotated[str, doc("Zone.")]
    wanted: Annotated[int, doc("Replicas that should run there.")] = 0
    replicas: Annotated[int, doc("Replicas that exist there.")] = 0
    ready: Annotated[int, doc("Replicas there that are ready.")] = 0
    updated: Annotated[int, doc("Replicas there of the present revision.")] = 0
    unreachable: Annotated[bool, doc("The zone does not answer in part; the figures are its last.")] = False
    message: Annotated[str, doc("What is wrong there, if anything.")] = ""


class RolloutProgress(Struct):
    """How far the last change has come."""

    revision: Annotated[str, doc("Revision that is rolled out.")]
    stable: Annotated[str, doc("Revision that served before. Empty when none did.")] = ""
    state: Annotated[str, doc("Progressing, AwaitingApproval, Complete, RollingBack or RolledBack.")] = "Progressing"
    step: Annotated[int, doc("Steps that are complete.")] = 0
    steps: Annotated[int, doc("Steps in all.")] = 1
    replicas: Annotated[int, doc("How many replicas may have the revision in the present step.")] = 0
    zones: Annotated[tuple[str, ...], doc("The zones in the order of their turns.")] = ()
    since: Annotated[datetime | None, doc("When the present step or state began.")] = None
    healthy_since: Annotated[datetime | None, doc("Since when all replicas of the step have been available.")] = None
    failure: Annotated[str, doc("Why it failed, in a sentence.")] = ""
    metrics: Annotated[tuple[MetricStatus, ...], doc("The figures of the health gate.")] = ()
    hooks: Annotated[tuple[HookStatus, ...], doc("The hooks that have been asked about the present step.")] = ()


class Status(Struct):
    """What runs now."""

    state: Annotated[
        str,
        doc(
            "Is it running, in one word: Pending, Progressing, Stalled (waiting does not help), Running, Degraded (replicas "
            "are lost), Paused, Stopped, RolledBack, Succeeded, Failed or Deleting."
        ),
    ]
    ready: Annotated[int, doc("Replicas that are ready.")] = 0
    replicas: Annotated[int, doc("Replicas that exist.")] = 0
    updated: Annotated[int, doc("Replicas of the present revision.")] = 0
    available: Annotated[int, doc("Replicas that have been ready for minReadySeconds.")] = 0
    unplaced: Annotated[int, doc("Replicas that no zone has room for.")] = 0
    revision: Annotated[str, doc("Name of the present revision.")] = ""
    settled: Annotated[bool, doc("Every zone acts on what is asked for now; false while a change is on its way.")] = False
    zones: Annotated[tuple[ZoneStatus, ...], doc("Where it runs.")] = ()
    message: Annotated[str, doc("If it is not running as wanted: why, and what to do.")] = ""
    stalled: Annotated[
        str,
        doc(
            "Why it cannot become what it should be before somebody changes it or what it needs: one CamelCase word. Empty "
            "while waiting may help. `message` says it in a sentence."
        ),
    ] = ""
    changed: Annotated[datetime | None, doc("When this last changed.")] = None
    rollout: Annotated[RolloutProgress | None, doc("The last change of what runs; none before the first.")] = None


def status(seen: WorkloadStatus, generation: int) -> Status:
    decided = seen.scheduling
    return Status(
        state=seen.phase or PENDING,
        ready=seen.ready_replicas,
        replicas=seen.replicas,
        updated=seen.updated_replicas,
        available=seen.available_replicas,
        unplaced=decided.unplaced if decided else 0,
        revision=seen.revision,
        settled=seen.observed_generation >= generation,
        zones=zones(decided, seen.clusters),
        message=seen.message,
        stalled=stalled(seen, generation),
        changed=seen.last_update_time,
        rollout=_rollout(seen.rollout) if seen.rollout is not None else None,
    )


def _rollout(record: RolloutStatus) -> RolloutProgress:
    return RolloutProgress(
        revision=record.revision,
        stable=record.stable,
        state=record.state,
        step=record.step,
        steps=record.steps,
        replicas=record.replicas,
        zones=record.zones,
        since=record.since,
        healthy_since=record.healthy_since,
        failure=record.failure,
        metrics=record.metrics,
        hooks=record.hooks,
    )


def stalled(seen: WorkloadStatus, generation: int) -> str:
    """Returns the reason of the condition, unless it speaks of an earlier generation."""
    found = conditions.find(seen.conditions, "Stalled")
    return found.reason if found is not None and found.status == "True" and found.observed_generation >= generation else ""


def zones(decided: Scheduling | None, clusters: Iterable[ClusterStatus]) -> tuple[ZoneStatus, ...]:
    """One entry for each zone, in order, from the placement decision and the reports of the clusters."""
    wanted = dict[str, int]()
    for row in decided.placement if decided else ():
        wanted[row.zone] = wanted.get(row.zone, 0) + row.replicas
    lines = dict[str, list[ClusterStatus]]()
    for line in clusters:
        lines.setdefault(line.zone, []).append(line)
    return tuple(_zone(zone, wanted.get(zone, 0), lines.get(zone, [])) for zone in sorted({*wanted, *lines}))


def _zone(zone: str, wanted: int, lines: list[ClusterStatus]) -> ZoneStatus:
    return ZoneStatus(
        zone=zone,
        wanted=wanted,
        replicas=sum(line.replicas for line in lines),
        ready=sum(line.ready_replicas for line in lines),
        updated=sum(line.updated_replicas for line in lines),
        unreachable=not all(line.known for line in lines),
        message="; ".join(line.message for line in lines if line.message),
    )

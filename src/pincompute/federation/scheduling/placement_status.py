"""Writes a scheduling decision into the workload's status: the placement, and why it is so."""

from __future__ import annotations

from datetime import datetime

import msgspec

from pincompute.api import conditions
from pincompute.api.conditions import Condition
from pincompute.api.workloads import ClusterReplicas, Scheduling, WorkloadStatus
from pincompute.federation.scheduling.scheduling_queue import SCHEDULED, UNUSABLE
from pincompute.federation.workload.workload_model import Workload


def status(workload: Workload, decision: Scheduling, now: datetime) -> WorkloadStatus:
    """Returns the new status, or the present one when the decision says nothing new."""
    made = workload.status.scheduling
    if made is not None and _same(made, decision):
        return workload.status
    return _with(workload, _condition(workload, decision), now, decision)


def refused(workload: Workload, now: datetime) -> WorkloadStatus:
    condition = Condition(
        type=SCHEDULED,
        status="False",
        observed_generation=workload.generation,
        reason=UNUSABLE,
        message=f"spec.template cannot be used: {workload.rendered.problem}",
    )
    return _with(workload, condition, now, workload.status.scheduling)


def why(decision: Scheduling) -> str:
    rows = ", ".join(f"{row.replicas} in {row.cluster} (zone {row.zone})" for row in decision.placement)
    return f"placed {rows}" if rows else "placed nowhere"


def _same(made: Scheduling, decision: Scheduling) -> bool:
    """Returns whether two decisions end in the same place for the same reasons; scores move all the time and do not count."""
    unmoved = msgspec.structs.replace(decision, scores=made.scores, placement=_places(decision))
    return unmoved == msgspec.structs.replace(made, placement=_places(made))


def _places(decision: Scheduling) -> tuple[ClusterReplicas, ...]:
    return tuple(msgspec.structs.replace(row, added=0) for row in decision.placement)


def _with(workload: Workload, condition: Condition, now: datetime, decision: Scheduling | None) -> WorkloadStatus:
    merged = conditions.merge(workload.status.conditions, (condition,), now)
    return msgspec.structs.replace(workload.status, scheduling=decision, conditions=merged)


def _condition(workload: Workload, decision: Scheduling) -> Condition:
    reason, message = (
        ("Placed", why(decision)) if not decision.unplaced else (_main_reason(decision), _shortage(workload, decision))
    )
    return Condition(
        type=SCHEDULED,
        status="False" if decision.unplaced else "True",
        observed_generation=workload.generation,
        reason=reason,
        message=message,
    )


def _main_reason(decision: Scheduling) -> str:
    reasons = {r.reason for r in decision.rejections}
    return "InsufficientCapacity" if "InsufficientCapacity" in reasons else "NoClusterMatches"


def _shortage(workload: Workload, decision: Scheduling) -> str:
    if not decision.rejections:
        return f"{decision.unplaced} of {workload.replicas} replicas wait: the region has no member cluster; add one"
    reasons = "; ".join(r.message for r in decision.rejections)
    return f"{decision.unplaced} of {workload.replicas} replicas wait: {reasons}"

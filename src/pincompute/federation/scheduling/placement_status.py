"""Writes a scheduling decision into the workload's status: the placement, and why it is so."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from pincompute.api import conditions
from pincompute.api.conditions import Condition
from pincompute.api.workloads import ClusterReplicas, Scheduling, WorkloadStatus
from pincompute.domain import zone_text
from pincompute.domain.free_room import INSUFFICIENT
from pincompute.federation.scheduling.placement import TOO_LARGE
from pincompute.federation.scheduling.scheduling_queue import SCHEDULED, UNUSABLE
from pincompute.federation.workload.workload_model import Workload

FILTERED = frozenset({"ZoneNotWanted", "ClusterNotWanted", "LabelMismatch", "Tainted", "Leaving"})  # reasons of filters


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
        message=f"its containers cannot be used: {workload.rendered.problem}",
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
    """Returns NoClusterMatches when the rules of placement leave no cluster, TooLarge when those that match are too small."""
    reasons = {r.reason for r in decision.rejections} - FILTERED
    if not reasons:
        return "NoClusterMatches"
    return TOO_LARGE if reasons == {TOO_LARGE} else INSUFFICIENT


def _shortage(workload: Workload, decision: Scheduling) -> str:
    one = decision.unplaced == 1
    waiting = f"{decision.unplaced} of {workload.replicas} {'replica' if workload.replicas == 1 else 'replicas'}"
    wait = "waits" if one else "wait"
    if not decision.rejections:
        return f"{waiting} {wait}: the region has no member cluster; add one"
    main = _main_reason(decision)
    told = [r for r in decision.rejections if main == "NoClusterMatches" or r.reason not in FILTERED]
    why = "; ".join(zone_text.about(told))
    match main:
        case "NoClusterMatches":
            return f"{waiting} {'has' if one else 'have'} no place: {why}; correct `zones` and the other rules of placement"
        case "TooLarge":
            return f"{waiting} {'fits' if one else 'fit'} on no node: {why}; ask for less{_unit(why)}"
        case _:
            return f"{waiting} {wait} for room: {why}; they start when there is room: free some, or ask for less"


def _unit(why: str) -> str:
    """Returns a hint for those who left the unit of cpu out."""
    found = re.search(r"asks for cpu (\d+)(?!\d*m)\b", why)
    return f" (cpu {found[1]} is {found[1]} whole processors; {found[1]}m is a thousandth of that)" if found else ""

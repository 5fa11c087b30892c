"""Places one workload: filter, score, divide. It names every cluster that got nothing, with the reason.

A paused workload keeps its placement, and moves only out of clusters that leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from operator import attrgetter

from pincompute.api import resource_requests
from pincompute.api.resource_requests import NOTHING, Requests
from pincompute.api.workloads import ClusterReplicas, Rejection, Scheduling
from pincompute.domain import replica_fit, zone_spread
from pincompute.domain.free_room import INSUFFICIENT
from pincompute.federation.member.member_state import MemberState
from pincompute.federation.scheduling import feasibility
from pincompute.federation.scheduling.demand import Demand, demand
from pincompute.federation.scheduling.feasibility import MemberFeasibility
from pincompute.federation.scheduling.filters import RejectionReason
from pincompute.federation.workload.workload_model import Workload

TOO_LARGE = "TooLarge"  # reason of a cluster that matches and could never take it
KEPT_REASONS = 20  # clusters whose reasons and scores are kept; status stays small with 100 clusters


def place(workload: Workload, members: tuple[MemberState, ...], promised: Mapping[str, Requests]) -> Scheduling:
    """Returns where the workload should run, starting from where it runs by the last decision."""
    wants = demand(workload)
    if workload.paused and (kept := _kept(workload, wants, members)) is not None:
        return kept
    rejected: dict[str, RejectionReason] = {}
    standings: list[MemberFeasibility] = []
    for member in members:
        if out := feasibility.verdict(member, wants).out:
            rejected[member.name] = out
        else:
            standings.append(feasibility.member_feasibility(member, wants, promised.get(member.name, NOTHING)))
    division = _divide(workload, wants, standings)
    zones = {member.name: member.zone for member in members}
    return Scheduling(
        generation=workload.generation,
        demand=wants.hash,
        revision=_revision(workload),
        placement=_rows(workload, {s.member.name: s.member for s in standings}, division),
        unplaced=division.unplaced,
        passed_over=tuple(s.member.name for s in standings if s.unavailable and wants.replicas),
        scores=tuple(s.score for s in sorted(standings, key=attrgetter("order"))[:KEPT_REASONS]),
        rejections=tuple(_rejections(wants, rejected, standings, division, zones)),
    )


def _kept(workload: Workload, wants: Demand, members: Iterable[MemberState]) -> Scheduling | None:
    """Returns the last decision, or None when a cluster of it leaves."""
    made = workload.status.scheduling
    if made is None:
        return Scheduling(generation=workload.generation, demand=wants.hash)
    staying = {member.name for member in members if not member.leaving}
    return made if all(row.cluster in staying for row in made.placement) else None


def _revision(workload: Workload) -> str:
    made = workload.status.scheduling
    return made.revision if workload.paused and made else workload.rendered.revision


def _present(workload: Workload) -> dict[str, int]:
    made = workload.status.scheduling
    return {row.cluster: row.replicas for row in made.placement} if made else {}


def _divide(workload: Workload, wants: Demand, standings: Iterable[MemberFeasibility]) -> zone_spread.Division:
    present = _present(workload)
    candidates = [s.candidate(present.get(s.member.name, 0)) for s in standings]
    match wants.strategy:
        case "pack":
            return zone_spread.pack(wants.replicas, candidates, workload.uid)
        case "every node":
            return zone_spread.every_cluster(wants.replicas, candidates)
        case "spread":
            division = zone_spread.divide(wants.replicas, candidates, workload.uid)
    back = _passed_over(workload) & {s.member.name for s in standings if not s.unavailable}
    if not back or division.unplaced:
        return division
    # A cluster that was unreachable at the last decision is back: even out what it missed, and no more.
    return zone_spread.rebalance([_after(c, division) for c in candidates], workload.uid)


def _passed_over(workload: Workload) -> frozenset[str]:
    made = workload.status.scheduling
    return frozenset(made.passed_over) if made else frozenset()


def _after(candidate: zone_spread.Candidate, division: zone_spread.Division) -> zone_spread.Candidate:
    count = division.replicas.get(candidate.cluster, 0)
    return replace(candidate, present=count, room=candidate.room - (count - candidate.present))


def _rows(
    workload: Workload, members: Mapping[str, MemberState], division: zone_spread.Division
) -> tuple[ClusterReplicas, ...]:
    made = workload.status.scheduling
    before = {row.cluster: row for row in made.placement} if made else {}
    placed = sorted((members[cluster].zone, cluster) for cluster in division.replicas)
    return tuple(_row(workload, members[name], division.replicas[name], before.get(name)) for _, name in placed)


def _row(workload: Workload, member: MemberState, count: int, before: ClusterReplicas | None) -> ClusterReplicas:
    """Returns a row of the placement. What an earlier decision added and the cluster does not count yet stays added."""
    line = next((line for line in workload.status.clusters if line.cluster == member.name), None) if before else None
    uncounted = before.added if before and not (line and member.counts(line)) else 0
    more = max(0, count - (before.replicas if before else 0))
    return ClusterReplicas(cluster=member.name, zone=member.zone, replicas=count, added=min(count, more + uncounted))


def _rejections(
    wants: Demand,
    rejected: Mapping[str, RejectionReason],
    standings: Iterable[MemberFeasibility],
    division: zone_spread.Division,
    zones: Mapping[str, str],
) -> Iterable[Rejection]:
    """Returns why clusters are rejected, and why the others got no more although some replicas have no place."""
    short = {s.member.name: s for s in standings if s.unavailable or division.unplaced}
    for name in sorted((*rejected, *short))[:KEPT_REASONS]:
        reason = rejected[name] if name in rejected else _shortage(wants, short[name])
        yield Rejection(cluster=name, reason=reason.word, message=reason.sentence, zone=zones[name])


def _shortage(wants: Demand, standing: MemberFeasibility) -> RejectionReason:
    if standing.unavailable:
        return standing.unavailable
    if standing.member.unschedulable:
        return RejectionReason("Unschedulable", "is closed for new work by its operator")
    capacity = standing.member.capacity
    if capacity is not None and (compared := replica_fit.too_large(capacity.largest, wants.requests)):
        return RejectionReason(TOO_LARGE, f"has no node that is large enough: {compared}")
    lacks = feasibility.lacks(standing.member, wants, standing.promised)
    each = resource_requests.part(lacks, wants.requests.get(lacks, 0))
    if wants.strategy == "spread":
        return RejectionReason(INSUFFICIENT, f"has no room for another replica, which asks for {each}")
    return RejectionReason(INSUFFICIENT, f"has room for {standing.newcomer.room} more of {each} each")

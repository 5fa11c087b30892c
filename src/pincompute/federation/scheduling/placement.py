"""Places one workload: filter, score, divide. It names every cluster that got nothing, with the reason.

A paused workload keeps its placement, and moves only out of clusters that leave. `zone_balance` says when replicas move between
zones only to even them out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter

from pincompute.api import resource_requests
from pincompute.api.resource_requests import NOTHING, Requests
from pincompute.api.sidecars import PinSidecar
from pincompute.api.workloads import ClusterReplicas, Rejection, Scheduling
from pincompute.domain import replica_fit, sidecar_requests, zone_spread
from pincompute.domain.free_room import INSUFFICIENT
from pincompute.federation.member.member_state import MemberState
from pincompute.federation.scheduling import feasibility, zone_balance
from pincompute.federation.scheduling.demand import Demand, demand, name_of, with_sidecars
from pincompute.federation.scheduling.feasibility import MemberFeasibility
from pincompute.federation.scheduling.filters import RejectionReason
from pincompute.federation.workload.workload_model import Workload

TOO_LARGE = "TooLarge"  # reason of a cluster that matches and could never take it
KEPT_REASONS = 20  # clusters whose reasons and scores are kept; status stays small with 100 clusters


def place(
    workload: Workload,
    members: tuple[MemberState, ...],
    promised: Mapping[str, Requests],
    known_sidecars: Sequence[PinSidecar] = (),
    *,
    now: datetime,
) -> Scheduling:
    """Returns where the workload should run, starting from where it runs by the last decision. Each replica needs room for the
    sidecars of the platform too that are injected into it.
    """
    counted = sidecar_requests.counted(workload.kind, workload.obj, known_sidecars)
    wants = with_sidecars(demand(workload), workload, counted)
    name = name_of(wants, workload, known_sidecars)
    if workload.paused and (kept := _kept(workload, name, members)) is not None:
        return kept
    rejected: dict[str, RejectionReason] = {}
    standings: list[MemberFeasibility] = []
    for member in members:
        if out := feasibility.verdict(member, wants).out:
            rejected[member.name] = out
        else:
            standings.append(feasibility.member_feasibility(member, wants, promised.get(member.name, NOTHING)))
    balance = _divide(workload, wants, standings, now)
    division = balance.division
    zones = {member.name: member.zone for member in members}
    return Scheduling(
        generation=workload.generation,
        demand=name,
        revision=_revision(workload),
        placement=_rows(workload, {s.member.name: s.member for s in standings}, division),
        unplaced=division.unplaced,
        passed_over=tuple(s.member.name for s in standings if s.unavailable and wants.replicas),
        behind=balance.behind,
        evened_at=balance.evened_at,
        scores=tuple(s.score for s in sorted(standings, key=attrgetter("order"))[:KEPT_REASONS]),
        rejections=tuple(_rejections(wants, rejected, standings, balance, zones)),
        sidecars=wants.sidecars,
    )


def _kept(workload: Workload, name: str, members: Iterable[MemberState]) -> Scheduling | None:
    """Returns the last decision, or None when a cluster of it leaves."""
    made = workload.status.scheduling
    if made is None:
        return Scheduling(generation=workload.generation, demand=name)
    staying = {member.name for member in members if not member.leaving}
    return made if all(row.cluster in staying for row in made.placement) else None


def _revision(workload: Workload) -> str:
    made = workload.status.scheduling
    return made.revision if workload.paused and made else workload.rendered.revision


def _present(workload: Workload) -> dict[str, int]:
    made = workload.status.scheduling
    return {row.cluster: row.replicas for row in made.placement} if made else {}


@dataclass(frozen=True, slots=True)
class _Balance:
    """A division. `behind` are the clusters whose zone has less than an even share by it, `full` those without room for one
    more replica, and `evened_at` is when replicas last moved to even out the zones.
    """

    division: zone_spread.Division
    evened_at: datetime | None = None
    behind: tuple[str, ...] = ()
    full: frozenset[str] = frozenset()


def _divide(workload: Workload, wants: Demand, standings: Iterable[MemberFeasibility], now: datetime) -> _Balance:
    present = _present(workload)
    candidates = [s.candidate(present.get(s.member.name, 0)) for s in standings]
    match wants.strategy:
        case "pack":
            return _Balance(zone_spread.pack(wants.replicas, candidates, workload.uid))
        case "every node":
            return _Balance(zone_spread.every_cluster(wants.replicas, candidates))
        case "spread":
            return _balanced(workload, candidates, zone_spread.divide(wants.replicas, candidates, workload.uid), now)


def _balanced(
    workload: Workload, candidates: Iterable[zone_spread.Candidate], division: zone_spread.Division, now: datetime
) -> _Balance:
    """Evens the zones out where clusters missed their share before, and names those that miss it now."""
    made = workload.status.scheduling
    evened_at = made.evened_at if made is not None else None
    if division.unplaced:
        return _Balance(division, evened_at)
    divided = [_after(c, division) for c in candidates]
    full = zone_balance.full(divided)
    missed = zone_balance.lagging(divided, full | zone_balance.waiting(made))
    if full.issuperset(missed) or zone_balance.is_updating(workload.status) or zone_balance.cools_for(made, now):
        return _Balance(division, evened_at, missed, full)
    evened = zone_spread.rebalance(divided, workload.uid, zone_balance.MAX_SKEW)
    after = [_after(c, evened) for c in divided]
    full = zone_balance.full(after)
    return _Balance(evened, evened_at if evened == division else now, zone_balance.lagging(after, full), full)


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
    balance: _Balance,
    zones: Mapping[str, str],
) -> Iterable[Rejection]:
    """Returns why clusters are rejected, and why the others got no more although some replicas have no place, or their zone has
    less than its share.
    """
    lacking = balance.full.intersection(balance.behind)
    short = {s.member.name: s for s in standings if s.unavailable or balance.division.unplaced or s.member.name in lacking}
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
        beside = _of_which(wants, replica_fit.beyond(capacity.largest, wants.requests))
        return RejectionReason(TOO_LARGE, f"has no node that is large enough: {compared}{beside}")
    lacks = feasibility.lacks(standing.member, wants, standing.promised)
    each = resource_requests.part(lacks, wants.requests.get(lacks, 0)) + _of_which(wants, lacks)
    if wants.strategy == "spread":
        return RejectionReason(INSUFFICIENT, f"has no room for another replica, which asks for {each}")
    return RejectionReason(INSUFFICIENT, f"has room for {standing.newcomer.room} more of {each} each")


def _of_which(wants: Demand, resource: str) -> str:
    """Returns how much of what each replica asks for is for sidecars, as the end of a sentence."""
    amount, names = wants.of_sidecars.get(resource, 0), ", ".join(each.name for each in wants.sidecars)
    part = resource_requests.part(resource, amount)
    return f" ({part} of each replica is for sidecars of the platform: {names})" if amount else ""

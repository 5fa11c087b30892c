"""Computes whether a member is feasible for a demand: infeasible, temporarily unavailable, or feasible with some room.

It does so once per member and class of demands. Most reconciliations follow a change of one member: the results of all others
stand, and only promises made since are subtracted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pincompute.api.resource_requests import NOTHING, Requests
from pincompute.api.workloads import Score
from pincompute.domain import replica_fit
from pincompute.domain.zone_spread import Candidate
from pincompute.federation.member.member_state import MemberState
from pincompute.federation.scheduling import filters, scores
from pincompute.federation.scheduling.demand import Demand
from pincompute.federation.scheduling.filters import RejectionReason

REMEMBERED = 10_000  # results kept with a member
_UNAVAILABILITY, _FREE, _STANDING = "silence", "free", "standing "  # beside them; no class of demands has such a name


@dataclass(frozen=True, slots=True)
class Feasibility:
    """`out`: the member cannot run such a demand at all. `by_node`: how many pods fit on its nodes as they are measured."""

    out: RejectionReason | None
    by_node: int


def verdict(member: MemberState, demand: Demand) -> Feasibility:
    known: Feasibility | None = member.worked_out.get(demand.alike)
    if known is not None:
        return known
    if len(member.worked_out) >= REMEMBERED:
        member.worked_out.clear()
    out = filters.reject(demand, member)
    fits = (
        0 if out or member.unschedulable or member.capacity is None else replica_fit.by_node(member.capacity, demand.requests)
    )
    made = member.worked_out[demand.alike] = Feasibility(out, fits)
    return made


def unavailability(member: MemberState) -> RejectionReason | None:
    """Returns why the member receives nothing for the moment."""
    if _UNAVAILABILITY not in member.worked_out:
        member.worked_out[_UNAVAILABILITY] = filters.unavailability(member)
    return member.worked_out[_UNAVAILABILITY]


@dataclass(frozen=True, slots=True)
class MemberFeasibility:
    """How feasible a member is for a demand while a certain capacity is promised there."""

    member: MemberState
    promised: Requests
    newcomer: Candidate  # as long as the workload has nothing there
    score: Score
    order: tuple[int, str]  # the best first
    unavailable: RejectionReason | None

    def candidate(self, present: int) -> Candidate:
        return replace(self.newcomer, present=present) if present else self.newcomer


def member_feasibility(member: MemberState, demand: Demand, promised: Requests) -> MemberFeasibility:
    name = _STANDING + demand.alike
    known: MemberFeasibility | None = member.worked_out.get(name)
    if known is not None and (known.promised is promised or known.promised == promised):
        return known
    made = member.worked_out[name] = _standing(member, demand, promised)
    return made


def _standing(member: MemberState, demand: Demand, promised: Requests) -> MemberFeasibility:
    unavailable, score = unavailability(member), scores.score(member, promised)
    newcomer = Candidate(
        cluster=member.name,
        zone=member.zone,
        present=0,
        room=left(member, demand, promised),
        score=max(1, score.total),
        open=unavailable is None,
    )
    return MemberFeasibility(member, promised, newcomer, score, (-score.total, member.name), unavailable)


def left(member: MemberState, demand: Demand, promised: Requests) -> int:
    """Returns how many more pods of the demand the member takes once promised capacity is subtracted."""
    fits = verdict(member, demand).by_node
    return min(fits, replica_fit.by_sum(_free(member), promised, demand.requests)) if fits else 0


def lacks(member: MemberState, demand: Demand, promised: Requests) -> str:
    """Returns the resource that limits how many more it takes."""
    if member.capacity is None:
        return ""
    free = _free(member)
    if replica_fit.by_sum(free, promised, demand.requests) <= verdict(member, demand).by_node:
        return replica_fit.scarcest(free, promised, demand.requests)
    return replica_fit.scarcest_by_node(member.capacity, demand.requests)


def has_room(members: Iterable[MemberState], demand: Demand, promised: Mapping[str, Requests], least: int) -> bool:
    """Returns whether the member takes at least that many more."""
    return any(
        verdict(m, demand).by_node >= least
        and unavailability(m) is None
        and left(m, demand, promised.get(m.name, NOTHING)) >= least
        for m in members
    )


def _free(member: MemberState) -> Requests:
    """Returns the sum of what is free."""
    if _FREE not in member.worked_out:
        member.worked_out[_FREE] = replica_fit.total(member.capacity.free) if member.capacity else NOTHING
    return member.worked_out[_FREE]

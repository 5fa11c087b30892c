"""One workload's placement: filter, score, divide. Pure; every cluster that got nothing is named with its reason.

The surprising rule: a paused workload keeps the placement it has, and moves only out of clusters that leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pincompute.api import requests
from pincompute.api.requests import NOTHING, Requests
from pincompute.api.workloads import ClusterReplicas, Rejection, Scheduling
from pincompute.domain import spread
from pincompute.federation.members import Member
from pincompute.federation.scheduling import scores, verdicts
from pincompute.federation.scheduling.demand import Demand, demand
from pincompute.federation.scheduling.filters import Reason
from pincompute.federation.workloads import Workload

KEPT_REASONS = 20  # clusters whose reasons and scores are kept; status stays small with 100 clusters


@dataclass(frozen=True, slots=True)
class _Judged:
    """A cluster that passed the filters."""

    member: Member
    candidate: spread.Candidate
    silent: Reason | None


def place(workload: Workload, members: tuple[Member, ...], promised: Mapping[str, Requests]) -> Scheduling:
    """Where the workload should run, starting from where it runs by the last decision."""
    wants = demand(workload)
    if workload.paused and (kept := _kept(workload, wants, members)) is not None:
        return kept
    rejected: dict[str, Reason] = {}
    judged: list[_Judged] = []
    present = _present(workload)
    for member in members:
        if out := verdicts.verdict(member, wants).out:
            rejected[member.name] = out
        else:
            judged.append(_judge(wants, member, present.get(member.name, 0), promised.get(member.name, NOTHING)))
    division = _divide(workload, wants, judged)
    return Scheduling(
        generation=workload.generation,
        demand=wants.hash,
        revision=_revision(workload),
        placement=_rows(workload, {j.member.name: j.member for j in judged}, division),
        unplaced=division.unplaced,
        passed_over=tuple(j.member.name for j in judged if j.silent and wants.replicas),
        scores=_scores(judged, promised),
        rejections=tuple(_rejections(wants, rejected, judged, division, promised)),
    )


def _kept(workload: Workload, wants: Demand, members: Iterable[Member]) -> Scheduling | None:
    """The last decision; None when a cluster of it leaves."""
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


def _judge(wants: Demand, member: Member, present: int, promised: Requests) -> _Judged:
    silent = verdicts.silence(member)
    candidate = spread.Candidate(
        cluster=member.name,
        zone=member.zone,
        present=present,
        room=verdicts.left(member, wants, promised),
        score=max(1, scores.total(scores.points(member, promised))),
        open=silent is None,
    )
    return _Judged(member, candidate, silent)


def _divide(workload: Workload, wants: Demand, judged: Iterable[_Judged]) -> spread.Division:
    candidates = [j.candidate for j in judged]
    match wants.strategy:
        case "pack":
            return spread.pack(wants.replicas, candidates, workload.uid)
        case "every node":
            return spread.every_cluster(wants.replicas, candidates)
        case "spread":
            division = spread.divide(wants.replicas, candidates, workload.uid)
    back = _passed_over(workload) & {j.member.name for j in judged if not j.silent}
    if not back or division.unplaced:
        return division
    # A cluster that was silent at the last decision is back: even out what it missed, and no more.
    return spread.rebalance([_after(c, division) for c in candidates], workload.uid)


def _passed_over(workload: Workload) -> frozenset[str]:
    made = workload.status.scheduling
    return frozenset(made.passed_over) if made else frozenset()


def _after(candidate: spread.Candidate, division: spread.Division) -> spread.Candidate:
    count = division.replicas.get(candidate.cluster, 0)
    return replace(candidate, present=count, room=candidate.room - (count - candidate.present))


def _rows(workload: Workload, judged: Mapping[str, Member], division: spread.Division) -> tuple[ClusterReplicas, ...]:
    made = workload.status.scheduling
    before = {row.cluster: row for row in made.placement} if made else {}
    placed = sorted((judged[cluster].zone, cluster) for cluster in division.replicas)
    return tuple(_row(workload, judged[name], division.replicas[name], before.get(name)) for _, name in placed)


def _row(workload: Workload, member: Member, count: int, before: ClusterReplicas | None) -> ClusterReplicas:
    """What an earlier decision added and the cluster does not count yet stays added."""
    line = next((line for line in workload.status.clusters if line.cluster == member.name), None) if before else None
    uncounted = before.added if before and not (line and member.counts(line)) else 0
    more = max(0, count - (before.replicas if before else 0))
    return ClusterReplicas(cluster=member.name, zone=member.zone, replicas=count, added=min(count, more + uncounted))


def _scores(judged: Iterable[_Judged], promised: Mapping[str, Requests]) -> tuple[scores.Score, ...]:
    best = sorted(judged, key=lambda j: (-j.candidate.score, j.member.name))[:KEPT_REASONS]
    return tuple(scores.score(j.member, promised.get(j.member.name, NOTHING)) for j in best)


def _rejections(
    wants: Demand,
    rejected: Mapping[str, Reason],
    judged: Iterable[_Judged],
    division: spread.Division,
    promised: Mapping[str, Requests],
) -> Iterable[Rejection]:
    """Why clusters are out, and why those that are not got no more although some replicas have no place."""
    short = {j.member.name: j for j in judged if j.silent or division.unplaced}
    for name in sorted((*rejected, *short))[:KEPT_REASONS]:
        if name in rejected:
            reason = rejected[name]
        else:
            taken = division.replicas.get(name, 0) - short[name].candidate.present
            reason = _shortage(wants, short[name], taken, promised.get(name, NOTHING))
        yield Rejection(cluster=name, reason=reason.word, message=f"{name} {reason.sentence}")


def _shortage(wants: Demand, judged: _Judged, taken: int, promised: Requests) -> Reason:
    if judged.silent:
        return judged.silent
    if judged.member.unschedulable:
        return Reason("Unschedulable", "is closed for new work by its operator")
    room = taken if wants.strategy == "spread" else judged.candidate.room
    lacks = verdicts.lacks(judged.member, wants, promised)
    each = requests.part(lacks, wants.requests.get(lacks, 0))
    return Reason("InsufficientCapacity", f"has room for {room} more of {each} each")

"""One workload's placement: filter, score, divide. Pure; every cluster that got nothing is named with its reason.

The surprising rule: a paused workload keeps the placement it has, and moves only out of clusters that leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from pincompute.api import requests
from pincompute.api.requests import NOTHING, Requests
from pincompute.api.workloads import ClusterReplicas, Rejection, Scheduling, Score
from pincompute.domain import spread
from pincompute.domain.room import replicas_that_fit
from pincompute.federation.members import Member
from pincompute.federation.scheduling import filters, scores
from pincompute.federation.scheduling.demand import demand
from pincompute.federation.workloads import Workload

KEPT_REASONS = 20  # clusters whose reasons and scores are kept; status stays small with 100 clusters


@dataclass(frozen=True, slots=True)
class _Judged:
    """A cluster that passed the filters."""

    member: Member
    candidate: spread.Candidate
    score: Score
    silent: Rejection | None


def place(workload: Workload, members: tuple[Member, ...], assumed: Mapping[str, Requests]) -> Scheduling:
    """Where the workload should run, starting from where it runs by the last decision."""
    if workload.paused and (kept := _kept(workload, members)) is not None:
        return kept
    rejected = {m.name: r for m in members if (r := filters.reject(workload, m))}
    judged = tuple(_judge(workload, m, assumed.get(m.name, NOTHING)) for m in members if m.name not in rejected)
    division = _divide(workload, judged)
    reasons = (*rejected.values(), *(r for j in judged if (r := _reason(workload, j, division))))
    known = {m.name: m for m in members}
    return Scheduling(
        generation=workload.generation,
        demand=demand(workload).hash,
        revision=_revision(workload),
        placement=tuple(
            _row(workload, known[cluster], count)
            for cluster, count in sorted(division.replicas.items(), key=lambda row: (known[row[0]].zone, row[0]))
        ),
        unplaced=division.unplaced,
        passed_over=tuple(j.member.name for j in judged if j.silent and workload.replicas),
        scores=tuple(sorted((j.score for j in judged), key=lambda s: (-s.total, s.cluster))[:KEPT_REASONS]),
        rejections=tuple(sorted(reasons, key=lambda r: r.cluster)[:KEPT_REASONS]),
    )


def _kept(workload: Workload, members: tuple[Member, ...]) -> Scheduling | None:
    """The last decision, made to hold for this generation too; None when a cluster of it leaves."""
    made = workload.status.scheduling
    if made is None:
        return Scheduling(generation=workload.generation)
    staying = {member.name for member in members if not member.leaving}
    if any(row.cluster not in staying for row in made.placement):
        return None
    return msgspec.structs.replace(made, generation=workload.generation)


def _revision(workload: Workload) -> str:
    made = workload.status.scheduling
    return made.revision if workload.paused and made else workload.rendered.revision


def _judge(workload: Workload, member: Member, assumed: Requests) -> _Judged:
    silent = filters.silence(member)
    room = 0 if member.capacity is None else replicas_that_fit(member.capacity, assumed, workload.rendered.requests)
    score = scores.score(member, assumed)
    candidate = spread.Candidate(
        cluster=member.name,
        zone=member.zone,
        present=_present(workload, member.name),
        room=0 if member.unschedulable else room,
        score=max(1, score.total),
        open=silent is None,
    )
    out = Rejection(cluster=member.name, reason=silent[0], message=f"{member.name} {silent[1]}") if silent else None
    return _Judged(member, candidate, score, out)


def _present(workload: Workload, cluster: str) -> int:
    made = workload.status.scheduling
    return next((row.replicas for row in made.placement if row.cluster == cluster), 0) if made else 0


def _row(workload: Workload, member: Member, count: int) -> ClusterReplicas:
    """What an earlier decision added and the cluster does not count yet stays added."""
    made, name = workload.status.scheduling, member.name
    before = next((row for row in made.placement if row.cluster == name), None) if made else None
    line = next((line for line in workload.status.clusters if line.cluster == name), None)
    uncounted = before.added if before and not (line and member.counts(line)) else 0
    more = max(0, count - (before.replicas if before else 0))
    return ClusterReplicas(cluster=name, zone=member.zone, replicas=count, added=min(count, more + uncounted))


def _divide(workload: Workload, judged: tuple[_Judged, ...]) -> spread.Division:
    candidates = [j.candidate for j in judged]
    division = spread.divide(workload.replicas, candidates, workload.uid)
    back = _passed_over(workload) & {j.member.name for j in judged if not j.silent}
    if not back or division.unplaced:
        return division
    # A cluster that was silent at the last decision is back: even out what it missed, and no more.
    return spread.rebalance([_moved(c, division) for c in candidates], workload.uid)


def _passed_over(workload: Workload) -> frozenset[str]:
    made = workload.status.scheduling
    return frozenset(made.passed_over) if made else frozenset()


def _moved(candidate: spread.Candidate, division: spread.Division) -> spread.Candidate:
    count = division.replicas.get(candidate.cluster, 0)
    return spread.Candidate(
        cluster=candidate.cluster,
        zone=candidate.zone,
        present=count,
        room=candidate.room - (count - candidate.present),
        score=candidate.score,
        open=candidate.open,
    )


def _reason(workload: Workload, judged: _Judged, division: spread.Division) -> Rejection | None:
    """Why a cluster that passed the filters did not get more although some replicas have no place."""
    if judged.silent:
        return judged.silent
    if not division.unplaced:
        return None
    name = judged.member.name
    if judged.member.unschedulable:
        return Rejection(cluster=name, reason="Unschedulable", message=f"{name} is closed for new work by its operator")
    wants = requests.sentence(workload.rendered.requests)
    taken = division.replicas.get(name, 0) - judged.candidate.present
    message = f"{name} has room for {taken} more of {wants} each"
    return Rejection(cluster=name, reason="InsufficientCapacity", message=message)

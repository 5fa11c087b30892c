"""Explains a workload's placement in sentences: why it runs where it runs, or why not yet and what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.workloads import ClusterReplicas, Scheduling, Score, WorkloadStatus
from pincompute.domain import zone_text
from pincompute.domain.score_weights import WEIGHTS

EVENED_OUT = (
    "Some zones have fewer replicas than others: replicas move there, within maxUnavailable, as soon as there is room and no "
    "update is in progress, and 5 minutes after the last such move at the earliest."
)


def sentences(kind: WorkloadKind, workload: WorkloadObject, members: Collection[str]) -> Iterator[str]:
    """`members` are the clusters of the region now: a decision may name one that has left since."""
    status = workload.status
    yield _summary(workload.metadata.name, kind.replicas(workload), workload.spec.stopped, status)
    decision = status.scheduling
    if decision is None:
        yield "No placement has been decided yet: the federation has not seen it, or it waits for its turn."
        return
    yield from _placement(decision)
    yield from _refusals(decision, members, status.message)
    if decision.behind:
        yield EVENED_OUT
    yield from _zones(status)


def _summary(name: str, wanted: int, stopped: bool, status: WorkloadStatus) -> str:
    ready = f"{status.ready_replicas} {'is' if status.ready_replicas == 1 else 'are'} ready"
    if stopped:
        return f"{name} is stopped: it runs no replicas until it is started, and then {_replicas(wanted)}; {ready}."
    return f"{name} should run {_replicas(wanted)}; {ready}. It is {_phase(status)}."


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


def _phase(status: WorkloadStatus) -> str:
    phase = status.phase.lower() or "new"
    return f"{phase}: {status.message}" if status.message else phase


def _placement(decision: Scheduling) -> Iterator[str]:
    scores = {score.cluster: score for score in decision.scores}
    zones: dict[str, list[ClusterReplicas]] = {}
    for row in decision.placement:
        zones.setdefault(row.zone, []).append(row)
    for zone, rows in zones.items():
        ranked = [scores[row.cluster] for row in rows if row.cluster in scores]
        because = _score(max(ranked, key=lambda score: score.total)) if ranked else "it runs there already"
        yield f"{_replicas(sum(row.replicas for row in rows))} in zone {zone}: {because}."
    if decision.placement:
        yield "Replicas are divided evenly over zones first; scores rank what is inside a zone."


def _score(score: Score) -> str:
    parts = ", ".join(f"{name} {points // WEIGHTS[name]}" for name, points in sorted(score.parts.items()) if name in WEIGHTS)
    return f"score {score.total} of 100 ({parts})"


def _refusals(decision: Scheduling, members: Collection[str], told: str) -> Iterator[str]:
    """Yields what the status does not say already."""
    for sentence in zone_text.about(r for r in decision.rejections if r.cluster in members):
        if sentence not in told:
            yield f"{sentence[0].upper()}{sentence[1:]}."
    if decision.unplaced:
        yield f"{_replicas(decision.unplaced)} without a place: the platform places each as soon as a zone can take it."


def _zones(status: WorkloadStatus) -> Iterator[str]:
    """Yields what zones report and the status does not say already, equal reports once."""
    reports: dict[str, set[str]] = {}
    for line in status.clusters:
        if line.message and line.message not in status.message:
            reports.setdefault(line.message, set()).add(line.zone)
    for message, zones in reports.items():
        yield f"In {zone_text.zones(zones)}: {message}."

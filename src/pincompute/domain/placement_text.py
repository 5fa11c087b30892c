"""Explains a workload's placement in sentences: why it runs where it runs, or why not yet and what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.workloads import Scheduling, Score, WorkloadStatus
from pincompute.domain.weights import WEIGHTS


def sentences(kind: WorkloadKind, workload: WorkloadObject, members: Collection[str]) -> Iterator[str]:
    """`members` are the clusters of the region now: a decision may name one that has left since."""
    status = workload.status
    yield _summary(workload.metadata.name, kind.replicas(workload), workload.spec.stopped, status)
    decision = status.scheduling
    if decision is None:
        yield "No placement has been decided yet: the federation has not seen it, or it waits for its turn."
        return
    yield from _placement(decision)
    yield from _refusals(decision, members)
    yield from _members(status)


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
    for row in decision.placement:
        because = _score(scores[row.cluster]) if row.cluster in scores else "it runs there already"
        yield f"{_replicas(row.replicas)} in {row.cluster}, zone {row.zone}: {because}."
    if decision.placement:
        yield "Replicas are divided evenly over zones first; scores rank the clusters inside a zone."


def _score(score: Score) -> str:
    parts = ", ".join(f"{name} {points // WEIGHTS[name]}" for name, points in sorted(score.parts.items()) if name in WEIGHTS)
    return f"score {score.total} of 100 ({parts})"


def _refusals(decision: Scheduling, members: Collection[str]) -> Iterator[str]:
    for rejection in (r for r in decision.rejections if r.cluster in members):
        yield f"Not in {rejection.cluster} ({rejection.reason}): {rejection.message}."
    if decision.unplaced:
        yield (
            f"{_replicas(decision.unplaced)} without a place: the platform places each as soon as a cluster has room. Free "
            "some room, lower the requests, widen spec.placement, or add a member cluster."
        )


def _members(status: WorkloadStatus) -> Iterator[str]:
    for line in status.clusters:
        if line.message:
            yield f"{line.cluster} reports: {line.message}."

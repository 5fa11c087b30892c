"""Explains a workload's placement in sentences: why it runs where it runs, or why not yet and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.workloads import Scheduling, Score, WorkloadStatus
from pincompute.domain.weights import WEIGHTS


def sentences(kind: WorkloadKind, workload: WorkloadObject) -> Iterator[str]:
    status, meta = workload.status, workload.metadata
    yield f"{meta.name} {_wanted(kind, workload)}; {_ready(status.ready_replicas)}. It is {_phase(status)}."
    decision = status.scheduling
    if decision is None:
        yield "No placement has been decided yet: the federation has not seen it, or it waits for its turn."
        return
    yield from _placement(decision)
    yield from _refusals(decision)
    yield from _members(status)


def _wanted(kind: WorkloadKind, workload: WorkloadObject) -> str:
    wanted = _replicas(kind.replicas(workload))
    return f"should run none until it is started, then {wanted}" if workload.spec.stopped else f"should run {wanted}"


def _ready(count: int) -> str:
    return "1 is ready" if count == 1 else f"{count} are ready"


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


def _refusals(decision: Scheduling) -> Iterator[str]:
    for rejection in decision.rejections:
        yield f"Not in {rejection.cluster} ({rejection.reason}): {rejection.message}."
    if decision.unplaced:
        yield (
            f"There is no place for {_replicas(decision.unplaced)} yet. They are placed as soon as a cluster has room: free "
            "some, lower the requests, widen spec.placement, or add a member cluster."
        )


def _members(status: WorkloadStatus) -> Iterator[str]:
    for line in status.clusters:
        if line.message:
            yield f"{line.cluster} reports: {line.message}."

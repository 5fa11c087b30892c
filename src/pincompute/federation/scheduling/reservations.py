"""Computes capacity that is promised to replicas but not yet in their cluster's measurements (S-035).

The caches keep the sum by cluster, so a reconciliation of the pool reads one sum for each member.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from pincompute.api import resource_requests
from pincompute.api.resource_requests import Requests
from pincompute.api.workloads import ClusterReplicas, ClusterStatus, Scheduling
from pincompute.domain import sidecar_requests
from pincompute.federation.workload.workload_model import WorkloadObject
from pincompute.kube.indexer import ALWAYS, IndexEntry

PROMISED = "promised"  # the name of the sum


def promises(obj: WorkloadObject) -> Iterable[IndexEntry]:
    """Yields what is promised to the workload and not measured yet, by cluster. A workload that has ended needs none. Like
    `files` it must not raise.
    """
    made = obj.status.scheduling
    if made is None or obj.deleting or obj.status.ended is not None:
        return ()
    try:
        return tuple(_promises(obj, made))
    except Exception:  # noqa: BLE001 - a cache must not fail over one object
        return ()


def _promises(obj: WorkloadObject, made: Scheduling) -> Iterator[IndexEntry]:
    lines = {line.cluster: line for line in obj.status.clusters}
    pending = [(row.cluster, *of) for row in made.placement for of in _pending(row, lines.get(row.cluster)) if of[1]]
    if not pending:
        return
    wants = resource_requests.requests(obj.spec.template, resource_requests.DEFAULTS)
    if made.sidecars:
        wants = resource_requests.plus(wants, sidecar_requests.of_decision(obj.spec.template, made))
    for cluster, position, pods in pending:
        yield IndexEntry(cluster, position, _times(wants, pods))


def _pending(row: ClusterReplicas, line: ClusterStatus | None) -> tuple[tuple[int, int], ...]:
    """Returns the replicas that need a promise. Readiness is reported at once and room every few seconds, so a replica is
    ready before it is counted. What is not ready is therefore promised always, and what was added lately until the
    cluster has measured after it was reported.
    """
    if line is None:
        return ((ALWAYS, row.replicas),)
    unready = max(0, row.replicas - line.ready_replicas)
    return (ALWAYS, unready), (moment(line.reported_at) if line.reported_at else ALWAYS, max(0, row.added - unready))


def _times(wants: Requests, pods: int) -> Mapping[str, int]:
    return {name: amount * pods for name, amount in wants.items()}


def moment(at: datetime | None) -> int:
    """Returns a time as a position, before all others when it is unknown."""
    return int(at.timestamp() * 1_000_000) if at is not None else -1

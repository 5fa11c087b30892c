"""How many replicas of a request fit into a cluster: per-node fit, not the sum of what is free (S-034).

Capacity is *assumed* from the moment of the decision until the replicas are ready, because the cluster's own report comes
later (S-035): two submits in one second never count the same room twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pincompute.api.clusters import Capacity, FreeNodes
from pincompute.api.templates import Requests

UNBOUNDED = 1_000_000  # replicas; stands for "as many as you like" where nothing is requested


@dataclass(frozen=True, slots=True)
class Assumed:
    """Promised to decided but not yet ready replicas: milli-cores, bytes, pods."""

    cpu: int = 0
    memory: int = 0
    pods: int = 0

    def plus(self, request: Requests, replicas: int) -> Assumed:
        return Assumed(
            self.cpu + request.cpu_millis * replicas, self.memory + request.memory_bytes * replicas, self.pods + replicas
        )


def replicas_that_fit(capacity: Capacity, assumed: Assumed, request: Requests) -> int:
    """The smaller of what fits node by node and what is left of the sums once assumed capacity is taken off."""
    by_node = sum(row.count * _fit(row, request) for row in capacity.free)
    left = FreeNodes(
        cpu=_total(capacity.free, "cpu") - assumed.cpu,
        memory=_total(capacity.free, "memory") - assumed.memory,
        pods=_total(capacity.free, "pods") - assumed.pods,
        count=1,
    )
    return max(0, min(by_node, _fit(left, request)))


def _total(rows: Iterable[FreeNodes], what: str) -> int:
    return sum(getattr(row, what) * row.count for row in rows)


def _fit(free: FreeNodes, request: Requests) -> int:
    fits = [free.pods]
    if request.cpu_millis > 0:
        fits.append(free.cpu // request.cpu_millis)
    if request.memory_bytes > 0:
        fits.append(free.memory // request.memory_bytes)
    return min(*fits, UNBOUNDED)


def used_share(capacity: Capacity, assumed: Assumed) -> float:
    """Share of the cluster's cpu or memory that is taken or promised, whichever is higher; 0.0 to 1.0."""
    cpu = (capacity.requested_cpu + assumed.cpu) / capacity.cpu if capacity.cpu else 1.0
    memory = (capacity.requested_memory + assumed.memory) / capacity.memory if capacity.memory else 1.0
    return min(1.0, max(cpu, memory, 0.0))

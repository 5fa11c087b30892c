"""Computes how many replicas of a request fit into a cluster, node by node and not by sums (S-034).

Every resource counts alike, devices and extended resources as well as cpu and memory: a cluster without GPUs has no room for a
pod that requests one. Capacity is *promised* from the moment of the decision until the replicas are ready, because the
cluster's own report comes later (S-035): two submits in one second never count the same room twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pincompute.api import resource_requests
from pincompute.api.member_clusters import Capacity, FreeNodes
from pincompute.api.resource_requests import CPU, MEMORY, NOTHING, Requests, plus

UNBOUNDED = 1_000_000  # replicas; stands for "as many as you like" where nothing is requested


def replicas_that_fit(capacity: Capacity, promised: Requests, request: Requests) -> int:
    """Returns the smaller of what fits node by node and what is left of the sums once promised capacity is subtracted."""
    return min(by_node(capacity, request), by_sum(total(capacity.free), promised, request))


def by_node(capacity: Capacity, request: Requests) -> int:
    """Returns how many fit on the nodes as they are measured."""
    return min(UNBOUNDED, sum(row.count * fit(row.resources, request) for row in capacity.free))


def by_sum(free: Requests, promised: Requests, request: Requests) -> int:
    """Returns how many the sum of what is free holds once promised capacity is subtracted."""
    if not promised:
        return fit(free, request)
    return fit({name: free.get(name, 0) - promised.get(name, 0) for name in request}, request)


def total(rows: Iterable[FreeNodes]) -> Requests:
    """Returns what is free on all nodes together."""
    free = NOTHING
    for row in rows:
        free = plus(free, row.resources, row.count)
    return free


def fit(free: Mapping[str, int], request: Requests) -> int:
    """Returns how many of the request fit into one piece."""
    fits = UNBOUNDED
    for name, wanted in request.items():
        if wanted > 0:
            fits = min(fits, free.get(name, 0) // wanted)
    return max(0, fits)


def beyond(largest: Mapping[str, int], request: Requests) -> str:
    """Returns the resource of which a replica asks for more than any node has; empty when a node could hold it, or where
    nobody reports how large the nodes are.
    """
    return next((name for name, wanted in sorted(request.items()) if wanted > largest.get(name, 0)), "") if largest else ""


def too_large(largest: Mapping[str, int], request: Requests) -> str:
    """Returns how a replica and the largest node compare in what `beyond` names; empty when a node could hold it."""
    name = beyond(largest, request)
    return f"each replica asks for {_part(name, request)}, a node has {_part(name, largest)}" if name else ""


def _part(name: str, amounts: Mapping[str, int]) -> str:
    return resource_requests.part(name, amounts.get(name, 0)) if amounts.get(name, 0) else f"no {name}"


def fits_after(capacity: Capacity, leaves: Requests, request: Requests, count: int = 1) -> bool:
    """Returns whether it is certain that a node holds the request once `count` replicas that ask for `leaves` have left.

    Nobody measures which nodes they leave. So it is certain where they leave enough by themselves, where a node has the room
    already, or where each node has room and would have enough. Several are known to leave the same node only where there is
    one.
    """
    left = plus(NOTHING, leaves, count) if capacity.nodes == 1 else leaves
    if fit(left, request) or by_node(capacity, request):
        return True
    every = sum(row.count for row in capacity.free) == capacity.nodes > 0  # a full node has no row
    return every and all(fit(plus(row.resources, left), request) for row in capacity.free)


def scarcest(free: Requests, promised: Requests, request: Requests) -> str:
    """Returns the resource that limits how many the sum holds; of several, the first by name."""
    return _least(
        {name: (free.get(name, 0) - promised.get(name, 0)) // wanted for name, wanted in request.items() if wanted > 0}
    )


def scarcest_by_node(capacity: Capacity, request: Requests) -> str:
    """Returns the resource that limits how many fit node by node."""
    wants = {name: wanted for name, wanted in request.items() if wanted > 0}
    return _least(
        {name: sum(row.count * fit(row.resources, {name: wanted}) for row in capacity.free) for name, wanted in wants.items()}
    )


def _least(fits: Mapping[str, int]) -> str:
    return min(sorted(fits), key=lambda name: fits[name], default="")


def used_share(capacity: Capacity, promised: Requests) -> float:
    """Returns the share of the cluster's cpu or memory that is taken or promised, whichever is higher; 0.0 to 1.0."""
    return min(1.0, max(_used(capacity, promised, CPU), _used(capacity, promised, MEMORY), 0.0))


def _used(capacity: Capacity, promised: Requests, name: str) -> float:
    has = capacity.allocatable.get(name, 0)
    return (capacity.requested.get(name, 0) + promised.get(name, 0)) / has if has else 1.0

"""Says how much room the node with the most has left, where a workload waits for room.

Beside what a replica asks for, it shows what would help.

The figures are those of this moment, so they are said to who asks and never stored: a status would change with every pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pincompute.api import conditions, resource_requests
from pincompute.api.member_clusters import Capacity
from pincompute.api.resource_requests import PODS, Requests
from pincompute.api.workloads import WorkloadStatus
from pincompute.domain import replica_fit

INSUFFICIENT = "InsufficientCapacity"  # reason of a cluster that matches and takes no more now
UPDATE_SCHEDULED = "UpdateScheduled"  # condition: a replica of the wanted revision has a place; absent until one had none


class ClusterRoom(NamedTuple):
    """The room of one cluster, as it was last measured."""

    cluster: str
    zone: str
    capacity: Capacity


def lacking(status: WorkloadStatus) -> frozenset[str]:
    """Returns the clusters that would take replicas of the workload if they had room now."""
    decision = status.scheduling
    if decision is None:
        return frozenset()
    full = (r.cluster for r in decision.rejections if r.reason == INSUFFICIENT) if decision.unplaced else ()
    update = conditions.find(status.conditions, UPDATE_SCHEDULED)
    waits = update is not None and update.status == "False" and update.reason == INSUFFICIENT
    return frozenset((*full, *(row.cluster for row in decision.placement if waits)))


def roomiest_node(request: Requests, rooms: Iterable[ClusterRoom]) -> str:
    """Returns what the node has left that comes closest to the request, as a sentence without a full stop; empty where one is
    large enough already, so that it is promised to others, and where nobody reports the shape of the free room.
    """
    seen = [room for room in rooms if room.capacity.allocatable]
    places = [(room.zone, row.resources) for room in seen for row in room.capacity.free]
    if not places:
        return "no node there has anything left" if seen else ""
    zone, best = max(places, key=lambda place: _share(place[1], request))
    if replica_fit.fit(best, request):
        return ""
    return f"the node with the most room left now has {_amounts(best, request)}, in zone {zone}"


def _share(free: Requests, request: Requests) -> tuple[float, ...]:
    """Returns which part of the request the node has left: first of what is scarcest there, then of the rest."""
    return tuple(sorted(min(1.0, free.get(name, 0) / wanted) for name, wanted in request.items() if wanted > 0))


def _amounts(free: Requests, request: Requests) -> str:
    return resource_requests.joined(_parts(free, request))


def _parts(free: Requests, request: Requests) -> Iterator[str]:
    for name in sorted(request, key=resource_requests.usual_first):
        if not free.get(name, 0):
            yield f"no {name}"
        elif name != PODS:
            yield resource_requests.part(name, free[name])

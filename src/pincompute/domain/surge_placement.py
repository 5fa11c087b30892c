"""Places surge replicas: those beyond the wanted number that exist for the time of a disruption.

Surge replicas stay where they are while they are needed, so that none is created only to be removed. New ones go where there
is most room. Where no cluster has room for one, the disruption goes on without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pincompute.api.member_clusters import Capacity
from pincompute.api.resource_requests import NOTHING, Requests
from pincompute.domain.replica_fit import replicas_that_fit


@dataclass(frozen=True, slots=True)
class SurgeCandidate:
    """A cluster that may take surge replicas. `wanted` replicas belong there by the placement, `held` surge replicas are
    there now, and there is `room` for that many more.
    """

    cluster: str
    wanted: int
    held: int
    room: int


def divide(needed: int, candidates: Sequence[SurgeCandidate]) -> dict[str, int] | None:
    """Returns surge replicas by cluster, `needed` in all or as many as there is room for; None when there is room for none."""
    given: dict[str, int] = {}
    left = needed
    for candidate in candidates:
        given[candidate.cluster] = min(candidate.held, left)
        left -= given[candidate.cluster]
    able = sorted((b for b in candidates if b.wanted and b.room > 0), key=lambda b: (-b.room, b.cluster))
    for rest, candidate in zip(range(len(able), 0, -1), able, strict=True):
        more = min(candidate.room, -(-left // rest))
        given[candidate.cluster] += more
        left -= more
    made = {cluster: count for cluster, count in given.items() if count}
    return made if made or not needed else None


def room_for(capacity: Capacity | None, requests: Requests) -> int:
    """Returns how many more replicas of these requests the cluster has room for, by its last measurement.

    It returns one where the cluster was not measured yet: silence is no lack of room, and the shard reports a pod that no
    node takes.
    """
    return replicas_that_fit(capacity, NOTHING, requests) if capacity is not None else 1

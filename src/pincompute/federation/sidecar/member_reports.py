"""Bounds what a member reports of a sidecar, so that a member which reports nonsense harms its own pods alone.

A member's API server may be in other hands. Counts lie between nothing and what the federation has placed there, or what was
believed before, while the pods of a member that is drained end; parts lie within their whole, and texts have a length. Without
that, a count too large for the host's API server, or a long text, would stop the status of the whole fleet, and with it every
rollout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from pincompute.api.sidecars import MOST_USERS, PinSidecarShard, PinSidecarShardStatus, VersionStatus
from pincompute.domain.report_bounds import LARGEST_COUNT, line, within

SURGE = 2  # pods of a workload while it updates, for each replica
MOST_VERSIONS = 16  # that pods of one member have at a time


def plausible(shard: PinSidecarShard, placed: int, exists: Callable[[str], bool], before: int = 0) -> PinSidecarShard:
    """Returns the shard with a status that can be true of a member with so many placed replicas. `exists`: of a workload;
    `before`: the pods that were believed last.
    """
    told = shard.status
    pods = within(told.pods, max(SURGE * placed, before))
    status = PinSidecarShardStatus(
        observed_generation=within(told.observed_generation, shard.metadata.generation),
        pods=pods,
        asked=within(told.asked, pods),
        skipped=within(told.skipped, pods),
        versions=_rows(told.versions, pods),
        users=tuple(user for user in told.users[:MOST_USERS] if exists(user)),
    )
    return shard if status == told else msgspec.structs.replace(shard, status=status)


def doubt(told: PinSidecarShard, believed: PinSidecarShard) -> str:
    """Returns what is not believed of a report, in a sentence; empty where all pods are."""
    if told.status.pods == believed.status.pods:
        return ""
    return f"its figures are not believed: it was given at most {believed.status.pods} pods, and reports another number"


def _rows(told: Iterable[VersionStatus], pods: int) -> tuple[VersionStatus, ...]:
    """Returns the first row of each version. Together they count no more pods than there are."""
    made: dict[str, VersionStatus] = {}
    left = pods
    for row in told:
        if row.revision not in made and len(made) < MOST_VERSIONS:
            made[row.revision] = _row(row, left, pods)
            left -= made[row.revision].pods
    return tuple(made.values())


def _row(told: VersionStatus, most: int, all_pods: int) -> VersionStatus:
    pods = within(told.pods, most)
    unplaced = within(told.unplaced, pods)
    awaiting_image = within(told.awaiting_image, all_pods - pods)
    return VersionStatus(
        revision=told.revision,
        pods=pods,
        ready=within(told.ready, pods - unplaced),
        unplaced=unplaced,
        awaiting_image=awaiting_image,
        pulling=within(told.pulling, awaiting_image),
        failing=within(told.failing, pods + awaiting_image),
        restarts=within(told.restarts, LARGEST_COUNT),
        message=line(told.message),
    )

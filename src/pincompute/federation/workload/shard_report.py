"""Bounds what a member reports of a workload, so that nonsense from one member does not stop the workload in all others.

A member's operator or API server may be in other hands. A count too large for the host's API server, or a text too long, would
let every write of the workload's status fail.
"""

from __future__ import annotations

import msgspec

from pincompute.api.identity_memo import remembered
from pincompute.api.shards import DisruptionRequests, RevisionStatus, Shard, ShardStatus
from pincompute.api.workloads import Ended, EndedContainer, UnreadyCause
from pincompute.domain.report_bounds import LARGEST_COUNT, within

LONGEST_MESSAGE = 2048
LONGEST_TERMINATION_MESSAGE = 1024
LONGEST_WORD = 128
MOST_REVISIONS = 32
MOST_CAUSES = 4
MOST_CONTAINERS = 64


@remembered
def bounded(shard: Shard) -> Shard:
    """Returns the shard with a status that the host's API server takes, itself where the status is such a one."""
    status = _status(shard.status)
    return shard if status == shard.status else msgspec.structs.replace(shard, status=status)


def _status(told: ShardStatus) -> ShardStatus:
    asked = told.disruption_requests
    return msgspec.structs.replace(
        told,
        observed_generation=_count(told.observed_generation),
        origin_generation=_count(told.origin_generation),
        replicas=_count(told.replicas),
        ready_replicas=_count(told.ready_replicas),
        available_replicas=_count(told.available_replicas),
        updated_replicas=_count(told.updated_replicas),
        guaranteed=_count(told.guaranteed),
        unschedulable=_count(told.unschedulable),
        revisions=tuple(map(_revision, told.revisions[:MOST_REVISIONS])),
        causes=tuple(map(_cause, told.causes[:MOST_CAUSES])),
        disruption_requests=DisruptionRequests(_count(asked.drains), _count(asked.evictions), _count(asked.updates)),
        ended=_ended(told.ended) if told.ended is not None else None,
        message=told.message[:LONGEST_MESSAGE],
    )


def _revision(told: RevisionStatus) -> RevisionStatus:
    return RevisionStatus(
        revision=told.revision[:LONGEST_WORD],
        replicas=_count(told.replicas),
        ready=_count(told.ready),
        available=_count(told.available),
        restarts=_count(told.restarts),
    )


def _cause(told: UnreadyCause) -> UnreadyCause:
    return msgspec.structs.replace(
        told,
        reason=told.reason[:LONGEST_WORD],
        message=told.message[:LONGEST_MESSAGE],
        replicas=_count(told.replicas),
        revision=told.revision[:LONGEST_WORD],
    )


def _ended(told: Ended) -> Ended:
    return msgspec.structs.replace(
        told,
        revision=told.revision[:LONGEST_WORD],
        reason=told.reason[:LONGEST_WORD],
        message=told.message[:LONGEST_MESSAGE],
        containers=tuple(map(_container, told.containers[:MOST_CONTAINERS])),
    )


def _container(told: EndedContainer) -> EndedContainer:
    return msgspec.structs.replace(
        told,
        name=told.name[:LONGEST_WORD],
        exit_code=_count(told.exit_code),
        reason=told.reason[:LONGEST_WORD],
        message=told.message[:LONGEST_TERMINATION_MESSAGE],
    )


def _count(told: int) -> int:
    return within(told, LARGEST_COUNT)

"""Reports a shard's status: how many replicas there are, and in one sentence why some are not ready.

It makes one write, only when something changed. While pods start and nothing is wrong, it reports progress every few seconds;
that all are ready, and whatever is wrong, it reports at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from pincompute.api import conditions
from pincompute.api.conditions import Condition
from pincompute.api.shards import DisruptionRequests, RevisionStatus, Shard, ShardStatus
from pincompute.api.workloads import Ended
from pincompute.domain import unready_reason
from pincompute.domain.rolling_update import ReplicaState, WantedRevision
from pincompute.domain.unready_reason import Rank, UnreadyReason
from pincompute.engine.plan import Ref, Replace, status_update

MOST_ROWS = 32  # revisions that are told apart
PACE = timedelta(seconds=5)  # between reports of mere progress
FIRST = timedelta(seconds=30)  # until it is reported that pods are starting of which none is ready, as everybody expects


@dataclass(frozen=True, slots=True)
class ShardStatusUpdate:
    """The write, if there is something to say, and when to reconcile again for something that time alone changes."""

    write: tuple[Replace, ...] = ()
    wake_after: float | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """`updated` replicas have the revision they should have; `rows` tell the replicas by revision."""

    total: int
    live: int
    ready: int
    available: int
    updated: int
    unschedulable: int
    rows: tuple[RevisionStatus, ...]

    @property
    def complete(self) -> bool:
        return self.live == self.total == self.updated == self.available


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """What the status is made of. `troubles` are the most telling first; `ended`: the unit ran to its end."""

    count: Count
    requests: DisruptionRequests
    troubles: Sequence[UnreadyReason]
    ended: Ended | None = None


def count(mix: Sequence[WantedRevision], replicas: Sequence[ReplicaState]) -> Count:
    """A replica that is being updated in place counts as updated once no container of the former revision runs."""
    wanted = {share.revision: share.replicas for share in mix}
    held = {revision: sum(r.revision == revision and not r.updating for r in replicas) for revision in wanted}
    return Count(
        total=sum(wanted.values()),
        live=len(replicas),
        ready=sum(r.ready for r in replicas),
        available=sum(r.available for r in replicas),
        updated=sum(min(held[revision], wanted[revision]) for revision in wanted),
        unschedulable=sum(r.unschedulable for r in replicas),
        rows=tuple(_row(revision, replicas) for revision in sorted({r.revision for r in replicas})[:MOST_ROWS]),
    )


def _row(revision: str, replicas: Sequence[ReplicaState]) -> RevisionStatus:
    mine = [r for r in replicas if r.revision == revision]
    return RevisionStatus(
        revision=revision,
        replicas=len(mine),
        ready=sum(r.ready for r in mine),
        available=sum(r.available for r in mine),
        restarts=sum(r.restarts for r in mine),
    )


def decide(ref: Ref, shard: Shard, told: ReplicaCounts, now: datetime, *, since: datetime | None) -> ShardStatusUpdate:
    """`since`: when the last of its pods was made."""
    status = _status(shard, told, now)
    wake = earliest(*(t.wake_after for t in told.troubles))
    if status == shard.status:
        return ShardStatusUpdate(wake_after=wake)
    if _is_mere_progress(shard, status, told) and (wait := _patience(shard, status, since, now)):
        return ShardStatusUpdate(wake_after=earliest(wake, wait))
    stamped = msgspec.structs.replace(status, reported_at=now)
    return ShardStatusUpdate(status_update(ref, shard.metadata, shard.status, stamped, "its pods changed"), wake)


def earliest(*seconds: float | None) -> float | None:
    return min((s for s in seconds if s is not None), default=None)


def _is_mere_progress(shard: Shard, after: ShardStatus, told: ReplicaCounts) -> bool:
    """Pods of the only revision are starting, and nothing is wrong: nobody waits for the figures in between."""
    before, mix = shard.status, shard.spec.mix
    return (
        told.count.ready < told.count.total
        and told.ended is None
        and all(trouble.rank is Rank.STARTING for trouble in told.troubles)
        and before.observed_generation in (0, after.observed_generation)
        and before.disruption_requests == after.disruption_requests
        and before.available_replicas <= after.available_replicas
        and len(mix) == 1
        and not shard.spec.budget.surge
        and all(row.revision == mix[0].revision for row in after.revisions)
    )


def _patience(shard: Shard, after: ShardStatus, since: datetime | None, now: datetime) -> float:
    """Seconds until progress is reported: a while after the last report, and after the last pod was made."""
    pace = PACE if shard.status.ready_replicas or after.ready_replicas else FIRST
    moments = (shard.metadata.creation_timestamp, shard.status.reported_at, since)
    waits = ((pace - (now - at)).total_seconds() for at in moments if at is not None and at <= now)
    return max(0.0, max(waits, default=0.0))  # a moment of a clock that is ahead asks for no patience


def _status(shard: Shard, told: ReplicaCounts, now: datetime) -> ShardStatus:
    generation, count = shard.metadata.generation, told.count
    worst = told.troubles[0] if told.troubles else None
    budget = shard.spec.budget
    message = _message(count, worst, budget.surge)
    return ShardStatus(
        observed_generation=generation,
        origin_generation=shard.spec.origin.generation,
        replicas=count.live,
        ready_replicas=count.ready,
        available_replicas=count.available,
        updated_replicas=count.updated,
        revisions=count.rows,
        guaranteed=max(0, count.total - budget.unavailable - budget.updating),
        disruption_requests=told.requests,
        ended=told.ended,
        unschedulable=count.unschedulable,
        causes=unready_reason.causes(told.troubles),
        message=message,
        reported_at=shard.status.reported_at,
        conditions=conditions.merge(
            shard.status.conditions, (_ready(generation, count, worst, message), _progressing(generation, count)), now
        ),
    )


def _message(count: Count, worst: UnreadyReason | None, surge: int) -> str:
    """Enough replicas may be ready although an update is stuck: those of the former revision serve until it is not."""
    asked = count.total - surge
    missing = max(0, asked - count.ready)
    stuck = worst is not None and worst.rank is not Rank.STARTING and not count.complete
    if not missing and not stuck:
        return ""
    return worst.message if worst is not None else "its replicas do not exist yet"


def _ready(generation: int, count: Count, worst: UnreadyReason | None, message: str) -> Condition:
    if count.ready >= count.total:
        return Condition(type="Ready", status="True", observed_generation=generation, reason="AllReady")
    reason = worst.reason if worst else "PodsMissing"
    return Condition(type="Ready", status="False", observed_generation=generation, reason=reason, message=message)


def _progressing(generation: int, count: Count) -> Condition:
    if count.complete:
        return Condition(type="Progressing", status="False", observed_generation=generation, reason="Settled")
    reason = "Scaling" if count.live != count.total else "Updating" if count.updated < count.total else "Starting"
    return Condition(type="Progressing", status="True", observed_generation=generation, reason=reason)

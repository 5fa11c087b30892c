"""Defines the scheduling queue as indexes: which workloads need a decision, and which wait for what.

A workload is in the queue only while something can be decided for it. A placed workload is indexed by its clusters, in case
one of them leaves. One that no cluster has room for is indexed with those of its class and with the reasons it got: it enters
the queue again when a cluster gets room for one of them, or when the reasons no longer hold (S-038). One whose zones are
uneven is indexed with those of its class by the clusters that are behind, and enters the queue when one has room (S-135).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from pincompute.api import conditions
from pincompute.api.kinds import KINDS, WorkloadKind
from pincompute.api.meta import Resource
from pincompute.api.workloads import Rejection, Scheduling
from pincompute.domain.free_room import INSUFFICIENT
from pincompute.federation.scheduling import reservations, zone_balance
from pincompute.federation.scheduling.demand import Demand, demand, stands, with_sidecars
from pincompute.federation.scheduling.placement import KEPT_REASONS, TOO_LARGE
from pincompute.federation.workload import workload_model
from pincompute.federation.workload.workload_model import TIERS, Workload, WorkloadObject
from pincompute.kube.indexer import Index, Ranked, Sum

POOL = "default"  # all nodes of the region; its tiers are ordered queues, and what is promised is promised of it
QUEUE = "queue"
SCHEDULED, UNUSABLE = "Scheduled", "InvalidTemplate"

# Why a workload is filed, and what is named beside it.
WAITING = "waiting"  # needs a decision
PLACED = "placed"  # has replicas in this cluster
PASSED_OVER = "passed over"  # got nothing from this cluster only because it was temporarily unavailable
NO_ROOM = "no room"  # a part of it has no place: of this class of demands, for these reasons
BEHIND = "behind"  # its zones are uneven, until this cluster has room for one more of this class
EVERYWHERE = "everywhere"  # has a share in every cluster that matches

_SHORT = frozenset({INSUFFICIENT, TOO_LARGE, "Unreachable", "NotReady", "CapacityUnknown", "NoReadyNode"})
_LAST = datetime.max.replace(tzinfo=UTC)


class Filing(NamedTuple):
    """A value of the queue's index."""

    pool: str
    why: str
    what: str = ""


@lru_cache(maxsize=4096)
def value(pool: str, why: str, what: str = "") -> str:
    """Returns a filing as text; a cluster's is the same for everything that is placed there."""
    return f"{pool}/{why}/{what}"


def filing(value: str) -> Filing:
    return Filing(*value.split("/", 2))


def pool_of(_obj: WorkloadObject) -> str:
    return POOL


def rank(obj: WorkloadObject) -> tuple[int, datetime, str]:
    """Orders Reserved before OnDemand before Preemptible, first come, first served in each."""
    return TIERS.index(obj.spec.tier), obj.metadata.creation_timestamp or _LAST, obj.metadata.uid


def kind_of(obj: WorkloadObject) -> WorkloadKind:
    return next(kind for kind in KINDS if isinstance(obj, kind.workload.type))


def read(obj: WorkloadObject) -> Workload:
    return workload_model.read(kind_of(obj), obj)


def files(obj: WorkloadObject) -> Iterator[str]:
    """Returns the values under which the workload is indexed. It must not raise: a workload that cannot be read waits, and
    the pool reports what is wrong.
    """
    pool, made = pool_of(obj), obj.status.scheduling
    if obj.deleting:
        return
    try:
        yield from tuple(_of_decision(obj, made, pool) if made and _stands(obj, made) else _undecided(obj, pool))
    except Exception:  # noqa: BLE001 - a cache must not fail over one object
        yield value(pool, WAITING)


def _stands(obj: WorkloadObject, made: Scheduling) -> bool:
    """Returns whether the decision stands. Most objects show it at once; for others the template is rendered."""
    return made.generation == obj.metadata.generation or stands(read(obj))


def _undecided(obj: WorkloadObject, pool: str) -> Iterator[str]:
    """Yields the values of an undecided workload. One that cannot be used waits for nothing: its status says why, until its
    template changes.
    """
    scheduled = conditions.find(obj.status.conditions, SCHEDULED)
    if scheduled is None or scheduled.reason != UNUSABLE or scheduled.observed_generation != obj.metadata.generation:
        yield value(pool, WAITING)


def _of_decision(obj: WorkloadObject, made: Scheduling, pool: str) -> Iterator[str]:
    yield from (value(pool, PLACED, row.cluster) for row in made.placement)
    if obj.spec.paused:
        return
    yield from (value(pool, PASSED_OVER, cluster) for cluster in made.passed_over)
    if kind_of(obj).strategy == "every node":
        yield value(pool, EVERYWHERE)
    if made.behind and not zone_balance.is_updating(obj.status):
        alike = _demand_of(obj, made).alike
        yield from (value(pool, BEHIND, f"{cluster} {alike}") for cluster in made.behind)
    if made.unplaced:
        yield value(pool, NO_ROOM, str(shortage(_demand_of(obj, made), made)))


class Shortage(NamedTuple):
    """Workloads that lack the same: `alike` as in their demands, at least `least` at a time, with the same reasons."""

    alike: str
    least: int
    reasons: str

    def __str__(self) -> str:
        return f"{self.alike} {self.least} {self.reasons}"


def _demand_of(obj: WorkloadObject, made: Scheduling) -> Demand:
    workload = read(obj)
    return with_sidecars(demand(workload), workload, made.sidecars)


def shortage(wants: Demand, made: Scheduling) -> Shortage:
    return Shortage(wants.alike, made.unplaced if wants.strategy == "pack" else 1, reasons_of(made.rejections))


def shortage_of(what: str) -> Shortage:
    alike, least, reasons = what.split(" ", 2)
    return Shortage(alike, int(least), reasons)


def reasons_of(rejections: Iterable[Rejection]) -> str:
    """Returns a name of the reasons. Full and unavailable clusters count alike, because a cluster that answers again causes an
    event anyway.
    """
    return reasons((r.cluster, "" if r.reason in _SHORT else r.reason) for r in rejections)


def reasons(by_cluster: Iterable[tuple[str, str]]) -> str:
    """Returns the reasons of the clusters that the status names; an empty one means no room."""
    kept = sorted(by_cluster)[:KEPT_REASONS]
    return hashlib.blake2b(repr(kept).encode(), digest_size=5).hexdigest()


INDEXES: Mapping[Resource[Any], Mapping[str, Index[Any]]] = {
    kind.workload: {QUEUE: Ranked(files, rank), reservations.PROMISED: Sum(reservations.promises)} for kind in KINDS
}
"""What a process that schedules declares for its caches of the host."""

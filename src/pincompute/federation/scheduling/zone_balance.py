"""Judges when replicas move between zones so that the zones are even again, and which clusters wait for that (S-135).

A decision leaves zones uneven when a cluster does not answer or has no room. The cluster is remembered, and when it is back or
has room, replicas move there until zones differ by at most `MAX_SKEW`. They move by the workload's disruption account, as all
replicas do. No replica moves for this during an update, because both would use up the account, nor within `COOLDOWN` of the
last such move, so that a zone that comes and goes does not carry replicas along each time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from pincompute.api.workloads import TERMINAL_STATES, Scheduling, WorkloadStatus
from pincompute.domain import apportionment
from pincompute.domain.zone_spread import Candidate

MAX_SKEW = 1  # replicas by which zones may differ: no division is more even
COOLDOWN = timedelta(minutes=5)


def is_updating(status: WorkloadStatus) -> bool:
    """Returns whether an update replaces a revision that served, or is being undone."""
    record = status.rollout
    return record is not None and bool(record.stable) and record.state not in TERMINAL_STATES


def cools_for(made: Scheduling | None, now: datetime) -> float:
    """Returns the seconds for which no replica moves because some have moved; 0 when they may."""
    if made is None or made.evened_at is None:
        return 0.0
    return max(0.0, (made.evened_at + COOLDOWN - now).total_seconds())


def waiting(made: Scheduling | None) -> frozenset[str]:
    """Returns the clusters that the last decision kept from their even share."""
    return frozenset((*made.passed_over, *made.behind)) if made is not None else frozenset()


def lagging(candidates: Iterable[Candidate], names: Collection[str]) -> tuple[str, ...]:
    """Returns those of the named clusters that may receive replicas and whose zone has fewer than others, beyond the skew."""
    live = [c for c in candidates if c.open]
    levels = apportionment.by_zone(live, lambda c: c.present)
    most = max(levels.values(), default=0)
    return tuple(sorted(c.cluster for c in live if c.cluster in names and most - levels[c.zone] > MAX_SKEW))


def full(candidates: Iterable[Candidate]) -> frozenset[str]:
    """Returns the clusters that have no room for another replica now, although they may receive some."""
    return frozenset(c.cluster for c in candidates if c.open and not c.room)

"""Dividing replicas over clusters, with the zone as the unit of spread (N2).

Replicas are given and taken one by one, always from where the present state stands. That makes the division *steady* (a
re-schedule moves nothing that may stay, S-030), *monotone* (a higher total never lowers a cluster's share, S-032) and exact:
zones that have room differ by at most one replica, whatever number of clusters each zone has.

Inside a zone, clusters are weighted by their score with the Sainte-Lague rule (Webster 1832), which is monotone. Ties are
broken by rendezvous hashing over the workload's uid, so that the odd replicas of many small workloads do not all land in the
cluster that comes first in the alphabet (S-031).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cluster that may run the workload.

    `present`: replicas it has by the last decision. `room`: how many more it can take. `score`: 1 to 100, higher is better.
    `open`: it may receive replicas now; a doubted cluster keeps what it has, receives nothing and gives back first.
    """

    cluster: str
    zone: str
    present: int
    room: int
    score: int = 100
    open: bool = True


@dataclass(frozen=True, slots=True)
class Division:
    """Replicas by cluster, zero rows left out; `unplaced` is what no cluster has room for."""

    replicas: Mapping[str, int]
    unplaced: int


def divide(total: int, candidates: Iterable[Candidate], uid: str) -> Division:
    """Give `total` replicas to the candidates, starting from what they have."""
    rows = {c.cluster: c for c in candidates}
    missing = total - sum(c.present for c in rows.values())
    while missing > 0 and (taker := _next_taker(rows.values(), uid)):
        rows[taker.cluster] = replace(taker, present=taker.present + 1, room=taker.room - 1)
        missing -= 1
    while missing < 0:
        giver = _next_giver(rows.values(), uid)
        rows[giver.cluster] = replace(giver, present=giver.present - 1, room=giver.room + 1)
        missing += 1
    return _division(rows.values(), missing)


def rebalance(candidates: Iterable[Candidate], uid: str, max_skew: int = 1) -> Division:
    """Move as few replicas as it takes until open zones differ by at most `max_skew`; never more than there is room for."""
    rows = {c.cluster: c for c in candidates}
    while move := _next_move(rows.values(), uid, max_skew):
        giver, taker = move
        rows[giver.cluster] = replace(giver, present=giver.present - 1, room=giver.room + 1)
        rows[taker.cluster] = replace(taker, present=taker.present + 1, room=taker.room - 1)
    return _division(rows.values(), 0)


def skew(candidates: Iterable[Candidate]) -> int:
    """Largest difference between two zones."""
    totals = _by_zone(candidates).values()
    return max(totals) - min(totals) if totals else 0


@lru_cache(maxsize=65536)
def rendezvous(uid: str, name: str) -> int:
    """Weight of `name` for this workload: stable, and even over workloads (Thaler and Ravishankar 1996)."""
    return int.from_bytes(hashlib.blake2b(f"{uid}/{name}".encode(), digest_size=8).digest(), "big")


def _by_zone(candidates: Iterable[Candidate]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for c in candidates:
        totals[c.zone] = totals.get(c.zone, 0) + c.present
    return totals


def _next_taker(candidates: Iterable[Candidate], uid: str) -> Candidate | None:
    rows = tuple(candidates)
    zones = _by_zone(rows)
    able = [c for c in rows if c.open and c.room > 0]
    # Emptiest zone first; inside it the cluster with the best score per replica it would then have.
    return min(
        able,
        key=lambda c: (zones[c.zone], -rendezvous(uid, c.zone), (2 * c.present + 1) / c.score, -rendezvous(uid, c.cluster)),
        default=None,
    )


def _next_giver(candidates: Iterable[Candidate], uid: str) -> Candidate:
    rows = tuple(candidates)
    zones = _by_zone(rows)
    able = [c for c in rows if c.present > 0]
    # The exact reverse of taking, so that up and down again ends where it began.
    return max(
        able,
        key=lambda c: (
            not c.open,
            zones[c.zone],
            -rendezvous(uid, c.zone),
            (2 * c.present - 1) / c.score,
            -rendezvous(uid, c.cluster),
        ),
    )


def _next_move(candidates: Iterable[Candidate], uid: str, max_skew: int) -> tuple[Candidate, Candidate] | None:
    rows = tuple(candidates)
    zones = _by_zone(c for c in rows if c.open)
    taker = _next_taker(rows, uid)
    givers = [c for c in rows if c.open and c.present > 0]
    if taker is None or not givers:
        return None
    giver = _next_giver(givers, uid)
    fullest = zones[giver.zone]
    return (giver, taker) if fullest - zones[taker.zone] > max_skew else None


def _division(candidates: Iterable[Candidate], missing: int) -> Division:
    return Division({c.cluster: c.present for c in candidates if c.present > 0}, max(0, missing))

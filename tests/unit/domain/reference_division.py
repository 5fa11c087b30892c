"""Divides one replica at a time, as the rule says; the bulk arithmetic must give the same result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pincompute.domain.apportionment import rendezvous
from pincompute.domain.zone_spread import Candidate, Division


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

"""Divides replicas over clusters, with the zone as the unit of spread (N2).

The division equals that of giving and taking replicas one by one from the present state: giving to the emptiest zone, taking
from the fullest. That makes it *steady* (re-scheduling moves nothing that may stay, S-030), *monotone* (a higher total never
lowers a cluster's share, S-032) and exact: zones that have room differ by at most one replica, whatever the number of clusters
in each. Inside a zone, scores weight the clusters. Ties are broken so that the odd replicas of many small workloads do not all
land in the cluster that comes first in the alphabet (S-031).

`divide` is the strategy for workloads that are spread, `pack` for those that must be in one cluster, `every_cluster` for those
that run everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from pincompute.domain.apportionment import (
    Candidate,
    by_zone,
    filled,
    give_inside,
    largest,
    lowered,
    quotient,
    rendezvous,
    take_inside,
)

__all__ = ["Candidate", "Division", "divide", "every_cluster", "pack", "rebalance", "skew"]


@dataclass(frozen=True, slots=True)
class Division:
    """Replicas by cluster, without zero rows; `unplaced` is what no cluster has room for."""

    replicas: Mapping[str, int]
    unplaced: int


def divide(total: int, candidates: Iterable[Candidate], uid: str) -> Division:
    """Gives `total` replicas to the candidates, starting from what they have."""
    rows = tuple(candidates)
    missing = total - sum(c.present for c in rows)
    if missing < 0:
        return _division(rows, _take(rows, -missing, uid), 0)
    given = _give(rows, missing, uid)
    return _division(rows, given, missing - sum(given.values()))


def rebalance(candidates: Iterable[Candidate], uid: str, max_skew: int = 1) -> Division:
    """Moves as few replicas as it takes until open zones differ by at most `max_skew`, never more than there is room for.

    The open clusters of a zone decide who gives, all that the zone holds decides who takes, clusters that are not open
    included.
    """
    rows = _after_sure_moves(tuple(candidates), uid, max_skew)
    while move := _next_move(rows, uid, max_skew):
        rows = _moved(rows, {move[0].cluster: -1, move[1].cluster: 1})
    return _division(rows, {}, 0)


def pack(total: int, candidates: Iterable[Candidate], uid: str) -> Division:
    """Puts all replicas in one cluster or none at all: where some are already, else in the best cluster that has room for
    all.

    Running replicas do not move: what is missing beside them waits until there is room for all of it.
    """
    rows = tuple(candidates)
    missing = total - sum(c.present for c in rows)
    if missing < 0:
        return _division(rows, _take(rows, -missing, uid), 0)
    holding = [c for c in rows if c.present]
    able = [c for c in holding or rows if c.open and c.room >= missing]
    if not missing or not able:
        return _division(rows, {}, missing)
    best = max(able, key=lambda c: (c.present, c.score, rendezvous(uid, c.cluster)))
    return _division(rows, {best.cluster: missing}, 0)


def every_cluster(each: int, candidates: Iterable[Candidate]) -> Division:
    """Gives `each` to every cluster that may receive it; one that is not open keeps what it has."""
    rows = tuple(candidates)
    return _division(rows, {c.cluster: each - c.present for c in rows if c.open or c.present > each}, 0)


def skew(candidates: Iterable[Candidate]) -> int:
    """Returns the largest difference between two zones."""
    totals = by_zone(candidates, lambda c: c.present).values()
    return max(totals) - min(totals) if totals else 0


def _division(rows: Iterable[Candidate], moved: Mapping[str, int], unplaced: int) -> Division:
    after = ((c.cluster, c.present + moved.get(c.cluster, 0)) for c in rows)
    return Division({cluster: count for cluster, count in after if count > 0}, unplaced)


def _give(rows: Collection[Candidate], count: int, uid: str) -> dict[str, int]:
    """Gives up to `count` more: the emptiest zone first, inside it the cluster with the best score per replica it would
    have.
    """
    if count == 0:
        return {}
    able = [c for c in rows if c.open and c.room > 0]
    rooms, levels = by_zone(able, lambda c: c.room), by_zone(rows, lambda c: c.present)
    given: dict[str, int] = {}
    for zone, share in filled(levels, rooms, count, uid).items():
        given |= give_inside([c for c in able if c.zone == zone], share, uid)
    return given


def _take(rows: Collection[Candidate], count: int, uid: str) -> dict[str, int]:
    """Exactly reverses giving, so that up and down again ends where it began; clusters that are not open give back first."""
    levels, taken = by_zone(rows, lambda c: c.present), dict[str, int]()
    for is_open in (False, True):
        holding = [c for c in rows if c.open is is_open and c.present > 0]
        shares = lowered(levels, by_zone(holding, lambda c: c.present), count, uid)
        for zone, share in shares.items():
            taken |= take_inside([c for c in holding if c.zone == zone], share, uid)
            levels[zone] -= share
            count -= share
    return taken


def _after_sure_moves(rows: tuple[Candidate, ...], uid: str, max_skew: int) -> tuple[Candidate, ...]:
    """Returns the state after as many moves as surely follow one another: no taking zone comes near the giving ones."""
    live = [c for c in rows if c.open]
    own, everything = by_zone(live, lambda c: c.present), by_zone(rows, lambda c: c.present)
    holdings = by_zone((c for c in live if c.present > 0), lambda c: c.present)
    rooms = by_zone((c for c in live if c.room > 0), lambda c: c.room)

    def flows(count: int) -> tuple[dict[str, int], dict[str, int]]:
        return lowered(own, holdings, count, uid), filled(everything, rooms, count, uid)

    def sure(count: int) -> bool:
        gives, takes = flows(count)
        least = min((own[zone] - given for zone, given in gives.items()), default=0)
        lowest = min((everything[zone] - given for zone, given in gives.items()), default=0)
        ends = ((own[zone] + taken, everything[zone] + taken) for zone, taken in takes.items())
        return all(least - mine > max_skew and theirs <= lowest for mine, theirs in ends)

    gives, takes = flows(largest(sure, min(sum(holdings.values()), sum(rooms.values()))))
    moved: dict[str, int] = {}
    for zone, count in gives.items():
        moved |= take_inside([c for c in live if c.zone == zone], count, uid)
    for zone, count in takes.items():
        moved |= give_inside([c for c in live if c.zone == zone], count, uid)
    return _moved(rows, moved)


def _moved(rows: Iterable[Candidate], moved: Mapping[str, int]) -> tuple[Candidate, ...]:
    return tuple(replace(c, present=c.present + n, room=c.room - n) if (n := moved.get(c.cluster, 0)) else c for c in rows)


def _next_move(rows: Collection[Candidate], uid: str, max_skew: int) -> tuple[Candidate, Candidate] | None:
    """Returns from and to which cluster one more replica moves; None when zones are even enough."""
    live = [c for c in rows if c.open]
    own, everything = by_zone(live, lambda c: c.present), by_zone(rows, lambda c: c.present)
    takers, givers = [c for c in live if c.room > 0], [c for c in live if c.present > 0]
    if not takers or not givers:
        return None
    taker = min(takers, key=lambda c: (everything[c.zone], *_order(c, c.present, uid)))
    giver = max(givers, key=lambda c: (own[c.zone], *_order(c, c.present - 1, uid)))
    return (giver, taker) if own[giver.zone] - own[taker.zone] > max_skew else None


def _order(c: Candidate, present: int, uid: str) -> tuple[int, float, int]:
    """Orders equal zones, and clusters in a zone: the first when replicas are given is the last when they are taken."""
    return -rendezvous(uid, c.zone), quotient(present, c), -rendezvous(uid, c.cluster)

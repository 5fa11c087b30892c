"""Apportions replicas in bulk: over zones by their level, and inside a zone by quotients.

The result equals that of giving or taking one replica at a time, but costs as much as there are clusters and not replicas. The
emptiest zone gets replicas first and the fullest loses them first. Inside a zone the next replica goes where (2 x present + 1)
/ score is least (Sainte-Lague; Webster 1832), and the last one given is the first one taken back. Rendezvous hashing over the
workload's uid breaks ties.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

STEPS = 128  # by which quotients are compared in bulk; what is finer is given out one by one


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cluster that may run the workload.

    `present`: replicas it has by the last decision. `room`: how many more it can take. `score`: 1 to 100, higher is better.
    `open`: it may receive replicas now; a cluster that is not open keeps what it has, receives nothing and gives back first.
    """

    cluster: str
    zone: str
    present: int
    room: int
    score: int = 100
    open: bool = True


def by_zone(rows: Iterable[Candidate], number: Callable[[Candidate], int]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for c in rows:
        totals[c.zone] = totals.get(c.zone, 0) + number(c)
    return totals


def rendezvous(uid: str, name: str) -> int:
    """Returns the weight of `name` for this workload: stable, and even over workloads (Thaler and Ravishankar 1996)."""
    return int.from_bytes(blake2b(f"{uid}/{name}".encode(), digest_size=8).digest(), "big")


def filled(levels: Mapping[str, int], rooms: Mapping[str, int], count: int, uid: str) -> dict[str, int]:
    """Fills zones up from the emptiest, as water would; returns what each gets of `count`."""

    def at(level: int) -> dict[str, int]:
        return {zone: min(max(level - levels[zone], 0), room) for zone, room in rooms.items()}

    count = min(count, sum(rooms.values()))
    low = min((levels[zone] for zone in rooms), default=0)
    high = max((levels[zone] for zone in rooms), default=0) + count
    level = largest(lambda up: sum(at(low + up).values()) <= count, high - low)
    shares = at(low + level)
    odd = [zone for zone, room in rooms.items() if levels[zone] + shares[zone] == low + level and shares[zone] < room]
    for zone in sorted(odd, key=lambda zone: -rendezvous(uid, zone))[: count - sum(shares.values())]:
        shares[zone] += 1
    return {zone: share for zone, share in shares.items() if share}


def lowered(levels: Mapping[str, int], holdings: Mapping[str, int], count: int, uid: str) -> dict[str, int]:
    """Lowers zones from the fullest; returns what each gives back of `count`."""

    def at(level: int) -> dict[str, int]:
        return {zone: min(max(levels[zone] - level, 0), held) for zone, held in holdings.items()}

    count = min(count, sum(holdings.values()))
    high = max((levels[zone] for zone in holdings), default=0)
    depth = largest(lambda down: sum(at(high - down).values()) <= count, high)
    shares = at(high - depth)
    odd = [zone for zone, held in holdings.items() if levels[zone] - shares[zone] == high - depth and shares[zone] < held]
    for zone in sorted(odd, key=lambda zone: rendezvous(uid, zone))[: count - sum(shares.values())]:
        shares[zone] += 1
    return {zone: share for zone, share in shares.items() if share}


def largest(holds: Callable[[int], bool], most: int) -> int:
    """Returns the largest number up to `most` for which the test holds; it must hold for 0 and for all numbers below one for
    which it holds.
    """
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def give_inside(rows: Collection[Candidate], count: int, uid: str) -> dict[str, int]:
    """Returns `count` more for the clusters of one zone, which have room for them: the `count` least quotients."""
    able = [c for c in rows if c.room > 0]
    shares = _given_at_once(able, count) if count > len(able) else {}

    def cost(c: Candidate, share: int) -> float | None:
        return quotient(c.present + share, c) if share < c.room else None

    return _one_by_one(able, shares, count, cost, lambda cluster: -rendezvous(uid, cluster))


def take_inside(rows: Collection[Candidate], count: int, uid: str) -> dict[str, int]:
    """Returns `count` fewer for the clusters of one zone, which have that many, as negative numbers: the `count` greatest
    quotients.
    """
    holding = [c for c in rows if c.present > 0]
    shares = _taken_at_once(holding, count) if count > len(holding) else {}

    def cost(c: Candidate, share: int) -> float | None:
        return -quotient(c.present - share - 1, c) if share < c.present else None

    taken = _one_by_one(holding, shares, count, cost, partial(rendezvous, uid))
    return {cluster: -share for cluster, share in taken.items()}


def _given_at_once(able: Collection[Candidate], count: int) -> dict[str, int]:
    """Returns all that lie at or below a common limit."""

    def below(limit: int) -> dict[str, int]:
        return {c.cluster: min(max(_seats(limit, c.score) - c.present, 0), c.room) for c in able}

    top = max(_limit(c.present + min(c.room, count), c.score) for c in able)
    return below(largest(lambda limit: sum(below(limit).values()) <= count, top))


def _taken_at_once(holding: Collection[Candidate], count: int) -> dict[str, int]:
    """Returns all that lie above a common limit."""

    def above(limit: int) -> dict[str, int]:
        return {c.cluster: max(c.present - _seats(limit, c.score), 0) for c in holding}

    top = max(_limit(c.present, c.score) for c in holding)
    return above(top - largest(lambda down: sum(above(top - down).values()) <= count, top))


def _one_by_one(
    rows: Collection[Candidate],
    shares: Mapping[str, int],
    count: int,
    cost: Callable[[Candidate, int], float | None],
    tie: Callable[[str], int],
) -> dict[str, int]:
    """Gives the rest of `count`, each where the next costs least; None costs too much. Only a few clusters come into
    question.
    """
    done = dict(shares)
    left = count - sum(done.values())
    costs = [(first, c) for c in rows if (first := cost(c, done.get(c.cluster, 0))) is not None]
    if left < len(costs):
        dearest = sorted(first for first, _ in costs)[max(left, 1) - 1]
        costs = [(first, c) for first, c in costs if first <= dearest]
    heap = [(first, tie(c.cluster), c.cluster, c) for first, c in costs] if left else []
    heapq.heapify(heap)
    for _ in range(left):
        _, ties, cluster, c = heapq.heappop(heap)
        done[cluster] = done.get(cluster, 0) + 1
        again = cost(c, done[cluster])
        if again is not None:
            heapq.heappush(heap, (again, ties, cluster, c))
    return {cluster: share for cluster, share in done.items() if share}


def quotient(present: int, c: Candidate) -> float:
    """Returns the cost of the next replica of a cluster that has `present`."""
    return (2 * present + 1) / c.score


def _seats(limit: int, score: int) -> int:
    """Returns how many replicas have a quotient of at most limit / STEPS."""
    return (limit * score // STEPS + 1) // 2


def _limit(seats: int, score: int) -> int:
    """Returns a limit at or below which that many replicas lie."""
    return -(-(2 * seats + 1) * STEPS // score)

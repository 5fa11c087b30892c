"""Divides a rollout into steps. After each step, so many replicas over all members have the new revision (S-120).

A step names a total, not a number per member: ten members with one replica each still make five steps. The strategy says
which replicas a total means: ZoneByZone fills one zone after the other, the others take the same share everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pincompute.api.workloads import UpdateStrategy

CANARY_SHARE = "10%"  # the first step of a Canary that names no steps


@dataclass(frozen=True, slots=True)
class MemberReplicas:
    """How many replicas of a workload one member should have."""

    cluster: str
    zone: str
    replicas: int


def zone_order(members: Sequence[MemberReplicas], first: Sequence[str], before: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns the zones in the order of their turns: `before` as it was, then `first`, then those with the fewest replicas,
    because a bad revision does least harm there. A zone that joins in the middle of a rollout comes last (S-127).
    """
    counts: dict[str, int] = {}
    for member in members:
        if member.replicas:
            counts[member.zone] = counts.get(member.zone, 0) + member.replicas
    new = sorted(counts.keys() - set(before) - set(first), key=lambda zone: (counts[zone], zone))
    named = [zone for zone in first if zone in counts and zone not in before]
    return (*before, *named, *new)


def totals(
    strategy: UpdateStrategy, steps: Sequence[int | str], members: Sequence[MemberReplicas], zones: Sequence[str]
) -> tuple[int, ...]:
    """Returns how many replicas have the new revision after each step; the last number is that of all replicas.

    Percentages of all replicas are rounded up. Steps that add nothing are left out.
    """
    whole = sum(member.replicas for member in members)
    if strategy == "Recreate":
        wanted = list[int]()
    elif steps:
        wanted = [_count(step, whole) for step in steps]
    elif strategy == "ZoneByZone":
        wanted = _sums(sum(m.replicas for m in members if m.zone == zone) for zone in zones)
    else:
        wanted = [_count(CANARY_SHARE, whole)] if strategy == "Canary" else []
    made: list[int] = []
    for total in (*wanted, whole):
        if min(total, whole) > max(made, default=0):
            made.append(min(total, whole))
    return tuple(made) or (whole,)


def _count(step: int | str, whole: int) -> int:
    if isinstance(step, int):
        return step
    return -(-int(step.removesuffix("%")) * whole // 100) if step.endswith("%") else int(step)


def _sums(counts: Iterable[int]) -> list[int]:
    made: list[int] = []
    for count in counts:
        made.append((made[-1] if made else 0) + count)
    return made


def limits(total: int, strategy: UpdateStrategy, members: Sequence[MemberReplicas], zones: Sequence[str]) -> Mapping[str, int]:
    """Returns how many replicas of each member may have the new revision when `total` may have it over all members."""
    turns = {zone: turn for turn, zone in enumerate(zones)}
    ordered = sorted(members, key=lambda member: (turns.get(member.zone, len(turns)), member.cluster))
    return _filled(total, ordered) if strategy == "ZoneByZone" else _shared(total, ordered)


def _filled(total: int, ordered: Sequence[MemberReplicas]) -> dict[str, int]:
    made: dict[str, int] = {}
    left = total
    for member in ordered:
        made[member.cluster] = min(member.replicas, left)
        left -= made[member.cluster]
    return made


def _shared(total: int, ordered: Sequence[MemberReplicas]) -> dict[str, int]:
    """Returns the same share of each member's replicas, rounded so that the sum is `total`."""
    whole = sum(member.replicas for member in ordered)
    made: dict[str, int] = {}
    passed, given = 0, 0
    for member in ordered:
        passed += member.replicas
        reached = -(-passed * total // whole) if whole else 0
        made[member.cluster] = min(member.replicas, reached - given)
        given += made[member.cluster]
    return made

"""Scores: how good a cluster is that passed the filters, 0 to 100 a part, weighted and added up (N3).

Spread over zones is not a score but the rule of `domain.spread`; scores rank clusters inside a zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pincompute.api.requests import Requests
from pincompute.api.workloads import Score
from pincompute.domain.room import used_share
from pincompute.domain.weights import WEIGHTS
from pincompute.federation.members import Member

CHEAPEST = 100  # relative price that earns the full cost score
_STEADY = "scores"  # what does not depend on promises is worked out once per member
_WHOLE = sum(WEIGHTS.values())


def load(member: Member, promised: Requests) -> int:
    """Emptier is better."""
    return round(100 * (1 - used_share(member.capacity, promised))) if member.capacity else 0


def health(member: Member) -> int:
    """Share of its nodes that are ready."""
    capacity = member.capacity
    return round(100 * capacity.ready_nodes / capacity.nodes) if capacity and capacity.nodes else 0


def cost(member: Member) -> int:
    """Cheaper is better: twice the price, half the score."""
    return min(100, round(100 * CHEAPEST / max(1, member.cost)))


def points(member: Member, promised: Requests) -> Mapping[str, int]:
    """Each part times its weight."""
    if _STEADY not in member.worked_out:
        steady = {"health": WEIGHTS["health"] * health(member), "cost": WEIGHTS["cost"] * cost(member)}
        member.worked_out[_STEADY] = steady, MappingProxyType({"load": WEIGHTS["load"] * load(member, {}), **steady})
    steady, unpromised = member.worked_out[_STEADY]
    return {"load": WEIGHTS["load"] * load(member, promised), **steady} if promised else unpromised


def total(parts: Mapping[str, int]) -> int:
    return round(sum(parts.values()) / _WHOLE)


def score(member: Member, promised: Requests) -> Score:
    parts = points(member, promised)
    return Score(cluster=member.name, total=total(parts), parts=dict(parts))

"""Scores: how good a cluster is that passed the filters, 0 to 100 a part, weighted and added up (N3).

Spread over zones is not a score but the rule of `domain.spread`; scores rank clusters inside a zone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pincompute.api.requests import Requests
from pincompute.api.workloads import Score
from pincompute.domain.room import used_share
from pincompute.domain.weights import WEIGHTS
from pincompute.federation.members import Member

CHEAPEST = 100  # relative price that earns the full cost score


def load(member: Member, assumed: Requests) -> int:
    """Emptier is better."""
    return round(100 * (1 - used_share(member.capacity, assumed))) if member.capacity else 0


def health(member: Member, _assumed: Requests) -> int:
    """Share of its nodes that are ready."""
    capacity = member.capacity
    return round(100 * capacity.ready_nodes / capacity.nodes) if capacity and capacity.nodes else 0


def cost(member: Member, _assumed: Requests) -> int:
    """Cheaper is better: twice the price, half the score."""
    return min(100, round(100 * CHEAPEST / max(1, member.cost)))


PARTS: Mapping[str, Callable[[Member, Requests], int]] = MappingProxyType({"load": load, "health": health, "cost": cost})


def score(member: Member, assumed: Requests) -> Score:
    parts = {name: WEIGHTS[name] * part(member, assumed) for name, part in PARTS.items()}
    return Score(cluster=member.name, total=round(sum(parts.values()) / sum(WEIGHTS.values())), parts=parts)

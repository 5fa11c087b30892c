"""Scores a cluster that passed the filters: 0 to 100 for each part, weighted and added up (N3).

Spread over zones is not a score but the rule of `domain.zone_spread`; scores rank the clusters inside a zone.
"""

from __future__ import annotations

from pincompute.api.resource_requests import Requests
from pincompute.api.workloads import Score
from pincompute.domain.replica_fit import used_share
from pincompute.domain.score_weights import WEIGHTS
from pincompute.federation.member.member_state import MemberState

CHEAPEST = 100  # relative price that earns the full cost score
_STEADY = "scores"  # what does not depend on promises is worked out once per member
_WHOLE = sum(WEIGHTS.values())


def load(member: MemberState, promised: Requests) -> int:
    """Returns a higher score for an emptier cluster."""
    return round(100 * (1 - used_share(member.capacity, promised))) if member.capacity else 0


def health(member: MemberState) -> int:
    """Returns the share of its nodes that are ready."""
    capacity = member.capacity
    return round(100 * capacity.ready_nodes / capacity.nodes) if capacity and capacity.nodes else 0


def cost(member: MemberState) -> int:
    """Returns a higher score for a cheaper cluster: twice the price, half the score."""
    return min(100, round(100 * CHEAPEST / max(1, member.cost)))


def score(member: MemberState, promised: Requests) -> Score:
    """Returns each part times its weight, and their sum divided by the sum of weights."""
    if _STEADY not in member.worked_out:
        member.worked_out[_STEADY] = {"health": WEIGHTS["health"] * health(member), "cost": WEIGHTS["cost"] * cost(member)}
    parts = {"load": WEIGHTS["load"] * load(member, promised), **member.worked_out[_STEADY]}
    return Score(cluster=member.name, total=round(sum(parts.values()) / _WHOLE), parts=parts)

"""How fast a cluster may give back replicas while others take over: never delete the last good copy (N7, S-064).

A placement decides where replicas should end; this decides how much of the old may go now. While every cluster of the new
placement is ready the rest goes at once. While one is not, only surplus *ready* replicas may go: what is not ready serves
nobody and may always go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Holding:
    """One cluster: `wanted` by the placement, `held` by the shard that is there now, `ready` of those as far as is known."""

    cluster: str
    wanted: int
    held: int
    ready: int


def replicas_now(holdings: Iterable[Holding]) -> dict[str, int]:
    """Replicas each cluster's shard should have at this moment; zero rows mean the shard may go."""
    rows = tuple(holdings)
    if all(h.ready >= h.wanted for h in rows):
        return {h.cluster: h.wanted for h in rows}
    surplus = max(0, sum(h.ready for h in rows) - sum(h.wanted for h in rows))
    now: dict[str, int] = {}
    for h in sorted(rows, key=lambda h: (h.wanted, h.cluster)):
        loss = min(surplus, max(0, h.ready - h.wanted))
        keep = h.ready - loss
        now[h.cluster] = max(h.wanted, min(h.held, keep))
        surplus -= loss
    return now

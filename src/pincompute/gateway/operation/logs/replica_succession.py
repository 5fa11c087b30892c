"""Who takes the place of whom among a workload's replicas, as one stream sees them come and go.

The surprising rule: who comes may come first. Where work moves, replicas grow before they shrink, so one that started is told
again, as a move, when the one it stands for has gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from pincompute.domain import shard_pods
from pincompute.gateway.operation.replica_lookup import Replica

Come: TypeAlias = tuple[Replica, Replica | None]
"""A replica, and the one whose place it has taken; None when there was no place to take."""


@dataclass(slots=True)
class ReplicaSuccession:
    """`living` are the replicas of the last look, by uid."""

    living: dict[str, Replica]
    _gone: list[Replica] = field(default_factory=list[Replica])  # whose place nobody has taken, the longest gone first
    _new: list[Replica] = field(default_factory=list[Replica])  # who have taken nobody's place

    @classmethod
    def of(cls, there: Iterable[Replica]) -> ReplicaSuccession:
        """Of those that are there at the beginning."""
        return cls(_living(there))

    def look(self, there: Iterable[Replica]) -> list[Come]:
        """Who has come since the last look, or has taken a place only now."""
        before, self.living = self.living, _living(there)
        self._gone += [replica for uid, replica in before.items() if uid not in self.living]
        self._new = [replica for replica in self._new if replica.uid in self.living]
        return self._paired([replica for uid, replica in self.living.items() if uid not in before])

    def _paired(self, come: list[Replica]) -> list[Come]:
        self._new += come
        pairs = list[Come]()
        for replica in [*self._new]:
            heir_of = self._place_for(replica)
            if heir_of is not None:
                self._gone.remove(heir_of)
                self._new.remove(replica)
                pairs.append((replica, heir_of))
        taken = {replica.uid for replica, _ in pairs}
        return [*pairs, *((replica, None) for replica in come if replica.uid not in taken)]

    def _place_for(self, replica: Replica) -> Replica | None:
        """In its own cluster first."""
        near = next((gone for gone in self._gone if gone.cluster == replica.cluster), None)
        return near or next(iter(self._gone), None)


def _living(there: Iterable[Replica]) -> dict[str, Replica]:
    return {replica.uid: replica for replica in there if shard_pods.is_live(replica.pod)}

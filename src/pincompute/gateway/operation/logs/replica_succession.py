"""Pairs each replica that appears with the one that it replaces, as a log stream sees them come and go.

A replacement may appear before the replaced replica goes: when work moves, replicas grow before they shrink. So a replica that
started is reported again, as a move, when the one that it replaces has gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from pincompute.domain import shard_pods
from pincompute.gateway.operation.replica_lookup import Replica

Arrival: TypeAlias = tuple[Replica, Replica | None]
"""A replica, and the one that it replaces; None when it replaces none."""


@dataclass(slots=True)
class ReplicaSuccession:
    """`living` are the replicas at the last update, by uid."""

    living: dict[str, Replica]
    _gone: list[Replica] = field(default_factory=list[Replica])  # not replaced yet, the longest gone first
    _new: list[Replica] = field(default_factory=list[Replica])  # replacing none yet

    @classmethod
    def of(cls, replicas: Iterable[Replica]) -> ReplicaSuccession:
        """Start with these replicas."""
        return cls(_living(replicas))

    def update(self, replicas: Iterable[Replica]) -> list[Arrival]:
        """The replicas that appeared since the last update, or that replace another one only now."""
        before, self.living = self.living, _living(replicas)
        self._gone += [replica for uid, replica in before.items() if uid not in self.living]
        self._new = [replica for replica in self._new if replica.uid in self.living]
        return self._paired([replica for uid, replica in self.living.items() if uid not in before])

    def _paired(self, arrivals: list[Replica]) -> list[Arrival]:
        self._new += arrivals
        pairs = list[Arrival]()
        for replica in [*self._new]:
            replaced = self._place_for(replica)
            if replaced is not None:
                self._gone.remove(replaced)
                self._new.remove(replica)
                pairs.append((replica, replaced))
        taken = {replica.uid for replica, _ in pairs}
        return [*pairs, *((replica, None) for replica in arrivals if replica.uid not in taken)]

    def _place_for(self, replica: Replica) -> Replica | None:
        """The replica that this one replaces, preferably in its own cluster."""
        near = next((gone for gone in self._gone if gone.cluster == replica.cluster), None)
        return near or next(iter(self._gone), None)


def _living(replicas: Iterable[Replica]) -> dict[str, Replica]:
    return {replica.uid: replica for replica in replicas if shard_pods.is_live(replica.pod)}

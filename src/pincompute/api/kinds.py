"""Every workload kind, in one table: what the rest of the tree needs to know of a kind, it asks here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pincompute.api.meta import Resource
from pincompute.api.shards import PINAPPSHARDS, PINPODSHARDS
from pincompute.api.workloads import PINAPPS, PINPODS


@dataclass(frozen=True, slots=True)
class Kind:
    """A workload kind and the kind of its shards."""

    workload: Resource[Any]
    shard: Resource[Any]

    @property
    def name(self) -> str:
        """As it stands in a controller's name."""
        return self.workload.kind.lower()


PINAPP = Kind(PINAPPS, PINAPPSHARDS)
PINPOD = Kind(PINPODS, PINPODSHARDS)
KINDS = (PINAPP, PINPOD)

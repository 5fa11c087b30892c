"""Defines the keys of the federation's controllers that are not one object on the host."""

from __future__ import annotations

from typing import NamedTuple

from pincompute.api.meta import Key


class MemberKey(NamedTuple):
    """The key of a member cluster."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def object(self) -> Key:
        """Returns the key of its MemberCluster."""
        return Key("", self.name)


class PoolKey(NamedTuple):
    """The key of a pool of nodes in which workloads are placed."""

    name: str

    def __str__(self) -> str:
        return self.name


class ShardKey(NamedTuple):
    """The key of one shard in one member; `kind` is that of the shard."""

    member: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.object} in {self.member}"

    @property
    def object(self) -> Key:
        return Key(self.namespace, self.name)

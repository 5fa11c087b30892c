"""Defines, as protocols, what the engine needs from the Kubernetes layer: events, writes, and a lease.

`kube` implements them for production. `testing.laws` implements them synchronously over the in-memory API server, so both run
the same engine code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.kube.cache_views import Views

Subresource = Literal["", "status"]
PatchSubresource = Literal["", "resize", "status"]
Propagation = Literal["Background", "Foreground", "Orphan"]


class Writer(Protocol):
    """Writes to one cluster's API server and asks it. Its answers are in the caches before a call returns.

    It raises `kube.api_errors.Refused` for what the server refused and `kube.api_errors.Unreachable` when there was no answer.
    """

    async def get(self, resource: Resource[Any], key: Key) -> Object | None:
        """Returns the object itself, not a cached one; None when there is none."""
        ...

    async def content(self, resource: Resource[Any], key: Key) -> Manifest | None:
        """Returns the whole object, for a copy of it; nothing keeps it."""
        ...

    async def recent(self, resource: Resource[Any], key: Key) -> Object | None:
        """The object as it was a moment ago, without a request where the cache is known to be so fresh."""
        ...

    def cached_uids(self, resource: Resource[Any], index: str, value: str, *, recent: bool) -> frozenset[str] | None:
        """Uids of what an index of the cache holds, if it holds all that was written under our lease; None if not.

        With `recent` it must hold what anybody else wrote until a moment ago as well.
        """
        ...

    async def uids(self, resource: Resource[Any], namespace: str, label: str, value: str) -> frozenset[str]:
        """Returns the uids of the objects that carry the label."""
        ...

    async def create(self, resource: Resource[Any], body: Manifest, manager: str) -> None: ...

    async def apply(self, resource: Resource[Any], body: Manifest, manager: str) -> None: ...

    async def patch(
        self, resource: Resource[Any], key: Key, body: Manifest, manager: str, subresource: PatchSubresource = ""
    ) -> None: ...

    async def update(
        self, resource: Resource[Any], key: Key, body: Manifest, subresource: Subresource, manager: str
    ) -> None: ...

    async def delete(
        self, resource: Resource[Any], key: Key, uid: str, resource_version: str, propagation: Propagation
    ) -> None: ...

    async def evict(self, key: Key, uid: str, resource_version: str) -> None:
        """Evicts a pod; raises `kube.api_errors.Blocked` when its disruption budget does not allow that now."""
        ...

    async def scale(
        self, resource: Resource[Any], key: Key, replicas: int, uid: str, resource_version: str, manager: str
    ) -> None:
        """Scales through the scale subresource; the caches get the change from their watches."""
        ...


class ChangeListener(Protocol):
    """Is called for every change of a cached object, for a deletion with the last known one."""

    def __call__(self, cluster: str, obj: Object, *, initial: bool) -> None:
        """Handles a change. `initial` means that the object came with the first list, not by a change just now."""
        ...


class ConnectedClusters(Views, Protocol):
    """The clusters that a process is connected to. Listeners are called in the event loop and must not block."""

    def listen(
        self, where: str, resource: Resource[Any], listener: ChangeListener, part: Callable[[Any], Any] | None = None
    ) -> None:
        """Registers for events of one kind on the host, in all members (present and future) or in the local cluster. Changes
        of an object that leave its `part` the same are not told.
        """
        ...

    def on_contact(self, listener: Callable[[str], None]) -> None:
        """Registers for a cluster's name when contact with it is lost or restored, and when one of its kinds has synced."""
        ...

    def writer(self, cluster: str) -> Writer:
        """Returns the cluster's writer; raises Unknown when that cluster is not connected."""
        ...


class Poller(Protocol):
    """Answers questions of one kind; any exception means that there was no answer."""

    async def poll(self, question: Any, /) -> Any: ...


class WriteLease(Protocol):
    """The right to write. `remaining` is in seconds of the monotonic clock, 0 or less when it is not held."""

    def remaining(self) -> float: ...

    async def held(self) -> None:
        """Waits until the lease is held."""
        ...


class Unfenced:
    """The lease of processes that are the only ones by construction."""

    def remaining(self) -> float:
        return float("inf")

    async def held(self) -> None:
        return

"""What the engine needs of the Kubernetes layer, as protocols: news, writes with their answers, a lease.

The real ones live in `kube`; the laws bring synchronous ones over the in-memory API server, so both run the same engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.kube.cache_views import Views

Subresource = Literal["", "status"]
Propagation = Literal["Background", "Foreground", "Orphan"]


class Writer(Protocol):
    """Writes to one cluster's API server, and asks it. What it answers is in the caches before the call returns.

    Raises `kube.errors.ApiError` for what the server refused and `kube.errors.Unreachable` when there was no answer.
    """

    async def get(self, resource: Resource[Any], key: Key) -> Object | None:
        """The object itself, not a cached one; None when there is none."""
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
        """Uids of the objects that carry the label."""
        ...

    async def create(self, resource: Resource[Any], body: Manifest, manager: str) -> None: ...

    async def apply(self, resource: Resource[Any], body: Manifest, manager: str) -> None: ...

    async def patch(self, resource: Resource[Any], key: Key, body: Manifest, manager: str) -> None: ...

    async def update(
        self, resource: Resource[Any], key: Key, body: Manifest, subresource: Subresource, manager: str
    ) -> None: ...

    async def delete(
        self, resource: Resource[Any], key: Key, uid: str, resource_version: str, propagation: Propagation
    ) -> None: ...

    async def evict(self, key: Key, uid: str, resource_version: str) -> None:
        """A pod; raises `kube.errors.Blocked` when its disruption budget does not allow that now."""
        ...

    async def scale(
        self, resource: Resource[Any], key: Key, replicas: int, uid: str, resource_version: str, manager: str
    ) -> None:
        """Through the scale subresource; the caches learn of it by their watches."""
        ...


class ChangeListener(Protocol):
    """Called for every change of a cached object; for a deletion with the last known one."""

    def __call__(self, cluster: str, obj: Object, *, initial: bool) -> None:
        """`initial`: it came with the first list, nobody changed it just now."""
        ...


class ConnectedClusters(Views, Protocol):
    """The clusters a process is connected to. Listeners are called in the event loop and must not block."""

    def listen(self, where: str, resource: Resource[Any], listener: ChangeListener) -> None:
        """News of one kind on the host, in all members (present and future) or in the local cluster."""
        ...

    def on_contact(self, listener: Callable[[str], None]) -> None:
        """Called with a cluster's name when contact with it was lost or restored, and when one of its kinds has synced."""
        ...

    def writer(self, cluster: str) -> Writer:
        """Raises Unknown when that cluster is not connected."""
        ...


class Poller(Protocol):
    """Asks questions of one kind; whatever it raises means that there was no answer."""

    async def poll(self, question: Any, /) -> Any: ...


class WriteLease(Protocol):
    """The right to write. `remaining` is in seconds by the monotonic clock, 0 or less when it is not held."""

    def remaining(self) -> float: ...

    async def held(self) -> None:
        """Waits until it is held."""
        ...


class Unfenced:
    """For processes that are the only ones by construction."""

    def remaining(self) -> float:
        return float("inf")

    async def held(self) -> None:
        return

"""Holds all clusters of a process: the host or the local one, and members that come and go.

A process declares what to watch, by place, before it adds the first cluster. Every cluster then gets the caches of its place.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias, TypeVar

from pincompute.api.labels import HOST, LOCAL
from pincompute.api.meta import Object, Resource
from pincompute.kube.api_client import ApiClient
from pincompute.kube.cache_views import Question, Unknown
from pincompute.kube.cached_writer import CachedWriter
from pincompute.kube.clock import SYSTEM, Clock
from pincompute.kube.cluster_connection import ClusterConnection, Liveness
from pincompute.kube.indexer import Index
from pincompute.kube.informer import Informer, InformerScope, InformerTiming
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.kube.object_store import Event

T = TypeVar("T", bound=Object)
V = TypeVar("V")

Where: TypeAlias = Literal["host", "members", "local"]
PLACES: tuple[Where, ...] = ("host", "members", "local")


class ObjectListener(Protocol):
    """Is called in the event loop for every change of a cached object; for a deletion with the last known one."""

    def __call__(self, cluster: str, obj: Any, *, initial: bool) -> None:
        """Handles a change. `initial` means that the object came with the first list, not by a change just now."""
        ...


Part: TypeAlias = Callable[[Any], Any]
"""Returns what a listener reads of an object."""


class Declared:
    """One kind to watch in one place."""

    def __init__(self) -> None:
        self.indexes: dict[str, Index[Any]] = {}
        self.scope = InformerScope()
        self.listeners: list[tuple[ObjectListener, Part | None]] = []


class Clusters:
    """The clusters of a process. It implements `Views`, and is an async context manager that owns all its tasks."""

    def __init__(
        self,
        *,
        user_agent: str,
        qps: float = 800.0,
        burst: float = 1600.0,
        clock: Clock = SYSTEM,
        timing: InformerTiming = InformerTiming(),  # noqa: B008 - immutable
        liveness: Liveness = Liveness(),  # noqa: B008 - immutable
    ) -> None:
        """`user_agent` names the process, such as "pincompute-federation/0.1" (S-325); the limits are per cluster."""
        self._client = partial(ApiClient, user_agent=user_agent, qps=qps, burst=burst, clock=clock)
        self._clock = clock
        self._timing = timing
        self._liveness = liveness
        self._declared: dict[str, dict[Resource[Any], Declared]] = {where: {} for where in PLACES}
        self._on_contact: list[Callable[[str], None]] = []
        self._connected: dict[str, ClusterConnection] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()
        self._starting = False
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._starting = True
        self._tasks[""] = self._group.create_task(self._start(), name="start")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks.values():
            task.cancel()
        await self._group.__aexit__(kind, error, traceback)
        self._connected.clear()
        self._tasks.clear()

    def declare(
        self,
        where: Where,
        resource: Resource[T],
        indexes: Mapping[str, Index[T]] | None = None,
        scope: InformerScope | None = None,
    ) -> None:
        """Declares that this kind is watched there. Declared twice, the indexes add up, and the scope must be the same."""
        declared = self._declare(where, resource)
        if scope is not None and declared.scope not in (InformerScope(), scope):
            raise ValueError(f"{resource} in {where} is declared with two scopes: {declared.scope} and {scope}")
        declared.indexes.update(indexes or {})
        declared.scope = scope or declared.scope

    def listen(self, where: str, resource: Resource[Any], listener: ObjectListener, part: Part | None = None) -> None:
        """Registers for events of one kind on the host, in all members (present and future) or in the local cluster. Changes
        of an object that leave its `part` the same are not told.
        """
        self._declare(where, resource).listeners.append((listener, part))

    def on_contact(self, listener: Callable[[str], None]) -> None:
        """Registers for a cluster's name when contact is made or lost, when one of its kinds syncs, and when it is removed."""
        self._on_contact.append(listener)

    async def add(self, name: str, config: ClusterConfig) -> None:
        """Connects to a cluster, or uses new credentials for one that is connected (S-012)."""
        async with self._changing[name]:
            present = self._connected.get(name)
            if present is not None and present.client.config.server == config.server:
                present.client.use(config)
                return
            await self._stop(name)
            connected = self._connect(name, config)
            self._connected[name] = connected
            self._tasks[name] = self._group.create_task(connected.run(), name=f"cluster {name}")

    async def remove(self, name: str) -> None:
        """Ends everything that runs for a cluster, and forgets it, before it returns (S-015)."""
        async with self._changing[name]:
            if name in self._connected:
                await self._stop(name)
                self._news(name)

    async def _start(self) -> None:
        """What was left alone because a cluster had not been asked yet is reconciled once the start is over."""
        await self._clock.sleep(self._liveness.start)
        self._starting = False
        self._news(HOST)

    def view(self, cluster: str, resource: Resource[T]) -> Informer[T]:
        """Returns a view; raises Unknown when that cluster is not connected or that kind has not synced there."""
        cache = self.cache(cluster, resource)
        if not cache.synced:
            raise Unknown(f"{resource} of {cluster} has not synced: {cache.trouble or 'the first list is not complete'}")
        return cache

    def cache(self, cluster: str, resource: Resource[T]) -> Informer[T]:
        """Returns the same view, synced or not."""
        caches = self._get(cluster).caches
        if resource not in caches:
            raise LookupError(f"{resource} is not watched in {cluster}: declare it before the cluster is added")
        return caches[resource]

    def members(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self._connected if _where(name) == "members"))

    def reachable(self, cluster: str) -> bool:
        """Returns whether the cluster is connected and something came from it within the liveness deadline.

        Raises Unknown while this process has only just started and has not asked it yet.
        """
        connected = self._connected.get(cluster)
        if self._starting and (connected is None or not connected.asked):
            raise Unknown(f"cluster {cluster} has not been asked yet whether it answers")
        return self.answers(cluster)

    def answers(self, cluster: str) -> bool:
        """Returns the same for people: a cluster that has not been asked yet does not answer."""
        return cluster in self._connected and self._connected[cluster].reachable

    def answer(self, question: Question[V]) -> V:
        """Raises Unknown: the engine answers questions, for controllers whose cards declare inputs."""
        raise LookupError(f"{question} is asked, which is no input on a card: add it to the card's inputs")

    def trouble(self, cluster: str) -> str:
        """Returns why the cluster does not answer; empty when it does."""
        return self._connected[cluster].trouble if cluster in self._connected else "is not connected"

    def client(self, cluster: str) -> ApiClient:
        """Returns the cluster's client; raises Unknown when that cluster is not connected."""
        return self._get(cluster).client

    def writer(self, cluster: str) -> CachedWriter:
        """Returns the cluster's writer; raises Unknown when that cluster is not connected."""
        return self._get(cluster).writer

    def doubt(self) -> None:
        """Somebody else may have written under the lease until now: no cache is trusted to hold that (`kube.freshness`)."""
        for connected in self._connected.values():
            for cache in connected.caches.values():
                cache.doubt()

    async def until_synced(self, cluster: str) -> None:
        """Waits until every kind of the cluster is synced."""
        for cache in self._get(cluster).caches.values():
            await cache.until_synced()

    def _declare(self, where: str, resource: Resource[Any]) -> Declared:
        if any(_where(name) == where for name in self._connected):
            raise RuntimeError(f"{resource} in {where} is declared too late: a cluster of that place is connected")
        return self._declared[where].setdefault(resource, Declared())

    def _get(self, cluster: str) -> ClusterConnection:
        if cluster not in self._connected:
            raise Unknown(f"cluster {cluster} is not connected")
        return self._connected[cluster]

    async def _stop(self, name: str) -> None:
        self._connected.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _connect(self, name: str, config: ClusterConfig) -> ClusterConnection:
        client, caches = self._client(config, name=name), dict[Resource[Any], Informer[Any]]()
        for resource, declared in self._declared[_where(name)].items():
            cache: Informer[Any] = Informer(
                client, resource, indexes=declared.indexes, scope=declared.scope, timing=self._timing
            )
            for listener, part in declared.listeners:
                cache.listen(partial(_tell, listener, part, name, cache))
            cache.when_synced(partial(self._news, name))
            caches[resource] = cache
        return ClusterConnection(client, caches, self._liveness, partial(self._news, name))

    def _news(self, name: str) -> None:
        for listener in self._on_contact:
            listener(name)


def _tell(
    listener: ObjectListener,
    part: Part | None,
    cluster: str,
    cache: Informer[Any],
    event: Event,
    obj: Object,
    old: Object | None,
) -> None:
    if part is None or event != "MODIFIED" or old is None or not _same(part, old, obj):
        listener(cluster, obj, initial=not cache.synced)


def _same(part: Part, old: Object, obj: Object) -> bool:
    return old.metadata.uid == obj.metadata.uid and part(old) == part(obj)


def _where(cluster: str) -> Where:
    if cluster == HOST:
        return "host"
    return "local" if cluster == LOCAL else "members"

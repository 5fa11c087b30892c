"""Writes to one cluster and puts each answer into the caches, so that a process reads its own writes."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pincompute.api.builtin import PODS
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.kube import write_requests
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import KubeError, NotFound, Unavailable, Unreachable
from pincompute.kube.applied_cache import AppliedCache
from pincompute.kube.freshness import NEVER
from pincompute.kube.informer import Informer

ANSWERS = 4096  # moments that are remembered; one that is not recent is of no use


@dataclass(slots=True)
class CachedWriter:
    """Writes to one cluster; `caches` are those of the same cluster."""

    client: ApiClient
    caches: Mapping[Resource[Any], Informer[Any]]
    _applied: AppliedCache = field(default_factory=AppliedCache)
    _answered: dict[tuple[Resource[Any], Key], float] = field(default_factory=dict[tuple[Resource[Any], Key], float])

    async def get(self, resource: Resource[Any], key: Key) -> Object | None:
        """Returns the object's metadata as the API server has it now, never as a cache has it, or None."""
        return await write_requests.current(self.client, resource, key)

    async def content(self, resource: Resource[Any], key: Key) -> Manifest | None:
        """Returns the whole object as the API server has it now, or None. No cache gets it."""
        return await write_requests.content(self.client, resource, key)

    async def recent(self, resource: Resource[Any], key: Key) -> Object | None:
        """The object as the API server had it a moment ago: from the cache where that is known to be so fresh."""
        cache, now = self.caches.get(resource), self.client.clock.monotonic()
        if cache is None or not cache.synced:
            return await self.get(resource, key)
        answered = self._answered.get((resource, key), NEVER)
        if cache.freshness.is_recent(now) or cache.freshness.covers(answered, now):
            return cache.get(key)
        return await self.get(resource, key)

    def cached_uids(self, resource: Resource[Any], index: str, value: str, *, recent: bool) -> frozenset[str] | None:
        """Uids of what an index of the cache holds, if the cache holds all that was written under our lease.

        With `recent` it must hold what anybody else wrote until a moment ago as well. None when it is not known to.
        """
        cache = self.caches.get(resource)
        if cache is None or not cache.is_complete:
            return None
        fresh = cache.freshness.is_recent(self.client.clock.monotonic()) if recent else cache.freshness.holds_our_writes
        return frozenset(obj.metadata.uid for obj in cache.by(index, value)) if fresh else None

    async def uids(self, resource: Resource[Any], namespace: str, label: str, value: str) -> frozenset[str]:
        """Returns the uids of the objects that carry the label, from the API server itself."""
        return await write_requests.uids(self.client, resource, namespace, label, value)

    async def create(self, resource: Resource[Any], body: Manifest, manager: str) -> None:
        with self._sending(resource) as sent:
            answer = await write_requests.create(self.client, resource, body, manager)
        self._written(resource, answer, sent)

    async def apply(self, resource: Resource[Any], body: Manifest, manager: str) -> None:
        """Applies, but sends nothing when the cache shows that nothing would change (S-004). `metadata.uid` in the body pins
        it.
        """
        meta = body["metadata"]
        key = Key(meta.get("namespace", ""), meta["name"])
        cache, place = self.caches.get(resource), (resource, key, manager)
        seen: Object | None = cache.get(key) if cache is not None and cache.synced else None
        pin = meta.get("uid") or (seen.metadata.uid if seen is not None else "")
        if seen is not None and seen.metadata.uid == pin and self._applied.holds(place, body, seen):
            return
        with self._sending(resource):
            answer = await write_requests.apply(self.client, resource, key, body, manager)
        self._applied.remember(place, body, answer)
        self._written(resource, answer)

    async def patch(
        self,
        resource: Resource[Any],
        key: Key,
        body: Manifest,
        manager: str,
        subresource: write_requests.PatchSubresource = "",
    ) -> None:
        with self._sending(resource) as sent:
            answer = await write_requests.patch(self.client, resource, key, body, manager, subresource=subresource)
        self._written(resource, answer, sent if _is_new_version(answer, body) else None)

    async def update(
        self, resource: Resource[Any], key: Key, body: Manifest, subresource: write_requests.Subresource, manager: str
    ) -> None:
        with self._sending(resource) as sent:
            answer = await write_requests.update(self.client, resource, key, body, manager, subresource)
        self._written(resource, answer, sent if _is_new_version(answer, body) else None)

    async def delete(
        self, resource: Resource[Any], key: Key, uid: str, resource_version: str, propagation: write_requests.Propagation
    ) -> None:
        """Deletes; raises NotFound when the object was gone already, after the cache has recorded that."""
        try:
            with self._sending(resource):
                left = await write_requests.delete(self.client, resource, key, uid, resource_version, propagation)
        except NotFound:
            self._deleted(resource, key, uid)
            raise
        if left is None:
            self._deleted(resource, key, uid)
        else:
            self._written(resource, left)

    async def evict(self, key: Key, uid: str, resource_version: str) -> None:
        """Evicts; raises NotFound when the pod was gone already, and Blocked when its disruption budget does not allow it
        now.
        """
        try:
            with self._sending(PODS):
                await write_requests.evict(self.client, key, uid, resource_version)
        except NotFound:
            self._deleted(PODS, key, uid)
            raise
        cache = self.caches.get(PODS)
        if cache is not None:
            cache.ending(key, uid, self.client.clock.wall())

    async def scale(
        self, resource: Resource[Any], key: Key, replicas: int, uid: str, resource_version: str, manager: str
    ) -> None:
        """Scales. The answer is a Scale, so the cache gets the change from its watch."""
        with self._sending(resource):
            await write_requests.scale(self.client, resource, key, replicas, uid, resource_version, manager)

    @contextmanager
    def _sending(self, resource: Resource[Any]) -> Generator[float]:
        """Gives the moment at which the request leaves. A write whose answer is lost leaves the cache in doubt."""
        try:
            yield self.client.clock.monotonic()
        except KubeError as error:
            if isinstance(error, Unavailable) or (isinstance(error, Unreachable) and error.sent):
                self._doubt(resource)
            raise
        except BaseException:
            self._doubt(resource)
            raise

    def _doubt(self, resource: Resource[Any]) -> None:
        cache = self.caches.get(resource)
        if cache is not None:
            cache.doubt()

    def _written(self, resource: Resource[Any], answer: Object, sent: float | None = None) -> None:
        """`sent`: when the request left, if it made the version that it was answered with."""
        cache = self.caches.get(resource)
        if cache is None:
            return
        cache.written(answer, sent)
        if sent is not None:
            self._remember((resource, answer.key), sent)

    def _remember(self, place: tuple[Resource[Any], Key], sent: float) -> None:
        self._answered.pop(place, None)
        if len(self._answered) >= ANSWERS:
            del self._answered[next(iter(self._answered))]
        self._answered[place] = sent

    def _deleted(self, resource: Resource[Any], key: Key, uid: str) -> None:
        cache = self.caches.get(resource)
        if cache is not None:
            cache.deleted(key, uid)


def _is_new_version(answer: Object, body: Manifest) -> bool:
    """Whether the write changed the object. One that pins no version may have changed nothing."""
    version = answer.metadata.resource_version
    return version != body.get("metadata", {}).get("resourceVersion", version)

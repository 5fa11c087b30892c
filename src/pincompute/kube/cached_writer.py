"""This module writes to one cluster and puts each answer into the caches, so that a process reads its own writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pincompute.api.builtin import PODS
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.kube import write_requests
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import NotFound
from pincompute.kube.applied_cache import AppliedCache
from pincompute.kube.informer import Informer


@dataclass(slots=True)
class CachedWriter:
    """Writes to one cluster; `caches` are those of the same cluster."""

    client: ApiClient
    caches: Mapping[Resource[Any], Informer[Any]]
    _applied: AppliedCache = field(default_factory=AppliedCache)

    async def get(self, resource: Resource[Any], key: Key) -> Object | None:
        """Returns the object's metadata as the API server has it now, never as a cache has it, or None."""
        return await write_requests.current(self.client, resource, key)

    async def uids(self, resource: Resource[Any], namespace: str, label: str, value: str) -> frozenset[str]:
        """Returns the uids of the objects that carry the label, from the API server itself."""
        return await write_requests.uids(self.client, resource, namespace, label, value)

    async def create(self, resource: Resource[Any], body: Manifest, manager: str) -> None:
        self._written(resource, await write_requests.create(self.client, resource, body, manager))

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
        answer = await write_requests.apply(self.client, resource, key, body, manager)
        self._applied.remember(place, body, answer)
        self._written(resource, answer)

    async def patch(
        self, resource: Resource[Any], key: Key, body: Manifest, subresource: write_requests.Subresource, manager: str
    ) -> None:
        self._written(resource, await write_requests.patch(self.client, resource, key, body, manager, subresource))

    async def delete(
        self, resource: Resource[Any], key: Key, uid: str, resource_version: str, propagation: write_requests.Propagation
    ) -> None:
        """Deletes; raises NotFound when the object was gone already, after the cache has recorded that."""
        try:
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
        await write_requests.scale(self.client, resource, key, replicas, uid, resource_version, manager)

    def _written(self, resource: Resource[Any], answer: Object) -> None:
        cache = self.caches.get(resource)
        if cache is not None:
            cache.written(answer)

    def _deleted(self, resource: Resource[Any], key: Key, uid: str) -> None:
        cache = self.caches.get(resource)
        if cache is not None:
            cache.deleted(key, uid)

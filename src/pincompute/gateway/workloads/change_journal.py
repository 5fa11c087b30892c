"""Keeps the changes on the host in order, in one journal for each kind, for all streams and lists together.

A journal has a bounded length and a stream is a position in it, so ten thousand slow readers need no more memory than one.
Positions belong to one gateway: a reader with a position that the gateway does not know, or no longer knows, gets the whole
state again, marked as such. So nothing is lost and nothing comes twice (S-251).
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pincompute.api.meta import Key, Object, Resource
from pincompute.gateway.model import KINDS, SimpleKinds
from pincompute.kube.cache_views import Unknown
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.informer import Informer

LENGTH = 4096  # events kept of each kind; each holds an old state of its object


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """`before` is None for an object that is new, `after` for one that is gone; `last` is the newest state known."""

    before: Object | None
    after: Object | None

    @property
    def last(self) -> Object:
        found = self.after or self.before
        assert found is not None  # noqa: S101 - one of them is always there
        return found


@dataclass(slots=True)
class ChangeJournal:
    """Events of one kind. `end` is the position behind the newest one; a cached list with another `end` is stale."""

    length: int = LENGTH
    end: int = 0
    _changes: deque[ObjectChange] = field(default_factory=deque[ObjectChange])
    _latest: dict[tuple[str, str], Object] = field(default_factory=dict[tuple[str, str], Object])
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def begin(self) -> int:
        """The oldest position from which nothing is missing."""
        return self.end - len(self._changes)

    def since(self, position: int) -> Iterator[ObjectChange] | None:
        """The events after the position; None when the journal has dropped some of them."""
        if not self.begin <= position <= self.end:
            return None
        return islice(self._changes, position - self.begin, None)

    def record(self, obj: Object, *, gone: bool) -> None:
        before = self._latest.pop(obj.key, None) if gone else self._latest.get(obj.key)
        if not gone:
            self._latest[obj.key] = obj
        if len(self._changes) >= self.length:
            self._changes.popleft()
        self._changes.append(ObjectChange(before or (obj if gone else None), None if gone else obj))
        self.end += 1
        self._more.set()
        self._more = asyncio.Event()

    async def more(self, position: int) -> None:
        """Returns when there is something after the position."""
        while self.end <= position:
            await self._more.wait()


class ChangeJournals:
    """Create it before the first cluster is added."""

    def __init__(self, clusters: Clusters, kinds: SimpleKinds = KINDS, length: int = LENGTH) -> None:
        self.instance = secrets.token_hex(4)
        self._journals = {kind.resource: ChangeJournal(length) for kind in kinds}
        for resource, journal in self._journals.items():
            clusters.listen("host", resource, _listener(clusters, resource, journal))

    def of(self, resource: Resource[Any]) -> ChangeJournal:
        return self._journals[resource]


def _listener(clusters: Clusters, resource: Resource[Any], journal: ChangeJournal) -> Callable[..., None]:
    def changed(cluster: str, obj: Object, *, initial: bool) -> None:  # noqa: ARG001 - the listener's shape
        journal.record(obj, gone=_uid(clusters.cache(cluster, resource), obj.key) != obj.metadata.uid)

    return changed


def _uid(cache: Informer[Any], key: Key) -> str:
    """The uid of the object that has the name now."""
    try:
        found = cache.get(key)
    except Unknown:  # the cache has not synced
        return ""
    return found.metadata.uid if found is not None else ""

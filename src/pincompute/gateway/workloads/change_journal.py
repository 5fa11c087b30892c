"""What changes on the host, in order, for every stream and list at once.

One journal a kind, of bounded length: a stream is a position in it, so ten thousand slow readers cost no more memory than
one. The surprising rule: positions belong to this gateway; who comes back with a position that it does not know, or no longer
knows, is given the whole state anew, marked as such, so nothing is lost and nothing comes twice (S-251).
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

LENGTH = 4096  # events kept of each kind; each keeps an old state of its object in memory


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
    """Events of one kind. `end` is the position behind the newest; it also tells that a list was made of an older state."""

    length: int = LENGTH
    end: int = 0
    _news: deque[ObjectChange] = field(default_factory=deque[ObjectChange])
    _known: dict[tuple[str, str], Object] = field(default_factory=dict[tuple[str, str], Object])
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def begin(self) -> int:
        """The oldest position from which nothing is missing."""
        return self.end - len(self._news)

    def since(self, position: int) -> Iterator[ObjectChange] | None:
        """Everything after the position; None when part of it is not known any more."""
        if not self.begin <= position <= self.end:
            return None
        return islice(self._news, position - self.begin, None)

    def take(self, obj: Object, *, gone: bool) -> None:
        before = self._known.pop(obj.key, None) if gone else self._known.get(obj.key)
        if not gone:
            self._known[obj.key] = obj
        if len(self._news) >= self.length:
            self._news.popleft()
        self._news.append(ObjectChange(before or (obj if gone else None), None if gone else obj))
        self.end += 1
        self._more.set()
        self._more = asyncio.Event()

    async def more(self, position: int) -> None:
        """Returns when there is something after the position."""
        while self.end <= position:
            await self._more.wait()


class ChangeJournals:
    """Must be made before the first cluster is added."""

    def __init__(self, clusters: Clusters, kinds: SimpleKinds = KINDS, length: int = LENGTH) -> None:
        self.instance = secrets.token_hex(4)
        self._journals = {kind.resource: ChangeJournal(length) for kind in kinds}
        for resource, journal in self._journals.items():
            clusters.listen("host", resource, _listener(clusters, resource, journal))

    def of(self, resource: Resource[Any]) -> ChangeJournal:
        return self._journals[resource]


def _listener(clusters: Clusters, resource: Resource[Any], journal: ChangeJournal) -> Callable[..., None]:
    def changed(cluster: str, obj: Object, *, initial: bool) -> None:  # noqa: ARG001 - the listener's shape
        journal.take(obj, gone=_uid(clusters.cache(cluster, resource), obj.key) != obj.metadata.uid)

    return changed


def _uid(cache: Informer[Any], key: Key) -> str:
    """Of the object that has the name now."""
    try:
        found = cache.get(key)
    except Unknown:  # it cannot be read
        return ""
    return found.metadata.uid if found is not None else ""

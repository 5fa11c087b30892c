"""The informer: it caches one kind in one cluster by a list, and keeps it current by a watch.

The informer compares a list with what it knows, so it also notices a deletion that the watch missed. Until the first list is
complete the cache is unknown, not empty (S-010). List and watch share one backoff (S-320).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from pincompute.api.meta import Key, Object, Resource
from pincompute.kube import gc_pause, interning, object_decoding
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import ApiStatus, Gone, KubeError, NotFound, RequestInfo, Unreachable, of_status
from pincompute.kube.backoff import Backoff, BackoffLimits
from pincompute.kube.cache_views import Unknown
from pincompute.kube.freshness import Freshness
from pincompute.kube.indexer import Index
from pincompute.kube.line_framing import Lines, LineTooLongError
from pincompute.kube.object_store import Listener, Listing, ObjectStore, version

T = TypeVar("T", bound=Object)

log = logging.getLogger(__name__)

UNREADABLE = (
    msgspec.MsgspecError,
    RecursionError,
)  # the latter of JSON nested a thousand deep: one object, no end of the process


@dataclass(frozen=True, slots=True)
class InformerTiming:
    """Times in seconds, except `page` (objects). API servers send a bookmark every minute, so `inactivity` is longer than
    that.
    """

    page: int = 500
    list_deadline: float = 30.0
    inactivity: float = 90.0
    watch_shortest: float = 240.0
    watch_longest: float = 480.0
    brief: float = 5.0  # a watch that ends sooner than this counts as a failure, however politely it ended
    not_served: float = 2.0  # longest wait while the kind is not served yet: its CRD is on its way
    pace: BackoffLimits = field(default_factory=BackoffLimits)


@dataclass(frozen=True, slots=True)
class InformerScope:
    """Which objects of the kind to cache: all of a namespace (of all when empty) that have the labels and match the field
    selector.
    """

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    fields: str = ""

    @property
    def query(self) -> dict[str, str]:
        selectors = {"labelSelector": ",".join(f"{k}={v}" for k, v in self.labels.items()), "fieldSelector": self.fields}
        return {name: value for name, value in selectors.items() if value}

    def shows(self, obj: Object) -> bool:
        """Returns whether the object is in scope, as far as slim objects show it: fields are not judged."""
        meta = obj.metadata
        return self.namespace in ("", meta.namespace) and all(meta.labels.get(k) == v for k, v in self.labels.items())


class Informer(Generic[T]):
    """Implements `View`. `run` is its only task; the caller that starts it owns the task."""

    def __init__(
        self,
        client: ApiClient,
        resource: Resource[T],
        *,
        indexes: Mapping[str, Index[T]] | None = None,
        scope: InformerScope = InformerScope(),
        timing: InformerTiming = InformerTiming(),
    ) -> None:
        self.resource = resource
        self.trouble = ""  # why the last list or watch failed; empty while all is well
        self.last_contact = float("-inf")  # monotonic time of the last list page, event or bookmark
        self.freshness = Freshness()
        self._client = client
        self._scope = scope
        self._timing = timing
        self._store = ObjectStore(indexes or {})
        self._backoff = Backoff(timing.pace, client.clock)
        self._synced = asyncio.Event()
        self._nudged = asyncio.Event()
        self._on_synced: list[Callable[[], None]] = []
        self._version = ""  # where the next watch starts; empty: list first
        self._newest = 0  # highest version the server has shown
        self._awaited: list[tuple[int, asyncio.Event]] = []
        self._unreadable: dict[Key, str] = {}
        self._pool: interning.Pool = {}

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    @property
    def is_complete(self) -> bool:
        """Whether everything that the API server holds is in the cache: it is synced, and no object is unreadable."""
        return self._synced.is_set() and not self._unreadable

    def unreadable(self, namespace: str) -> Sequence[Key]:
        """Returns the objects of the namespace that exist and are not in the cache, because they cannot be decoded."""
        return tuple(key for key in self._unreadable if key.namespace == namespace)

    async def until_synced(self) -> None:
        await self._synced.wait()

    @property
    def newest(self) -> int:
        """Returns the highest version that the server has shown of this kind."""
        return self._newest

    async def until(self, number: int) -> None:
        """Waits until the server has shown this version of the kind or a later one; the caller sets the deadline."""
        if self.synced and self._newest >= number:
            return
        waiting = (number, asyncio.Event())
        self._awaited.append(waiting)
        try:
            await waiting[1].wait()
        finally:
            self._awaited.remove(waiting)

    def get(self, key: Key) -> T | None:
        """Returns the object; raises Unknown for one that exists but cannot be decoded."""
        if key in self._unreadable:
            raise Unknown(f"{self.resource.kind} {key} on {self._client.name} cannot be read: {self._unreadable[key]}")
        return self._store.get(key)

    def list(self, namespace: str = "") -> Iterable[T]:
        return self._store.all(namespace)

    def by(self, index: str, value: str) -> Iterable[T]:
        return self._store.by(index, value)

    def values(self, index: str) -> Iterable[str]:
        return self._store.values(index)

    def total(self, name: str, group: str, after: int = -1) -> Mapping[str, int]:
        return self._store.total(name, group, after)

    def __len__(self) -> int:
        return len(self._store)

    def listen(self, listener: Listener[T]) -> None:
        """Registers a `listener` that is called in the event loop, right after each change; it must be quick and must not
        raise.
        """
        self._store.listen(listener)

    def when_synced(self, callback: Callable[[], None]) -> None:
        self._on_synced.append(callback)

    def written(self, obj: T, sent: float | None = None) -> None:
        """Puts the answer to our own write into the cache. `sent`: when the request left, if it made this very version."""
        if sent is not None:
            self.freshness.answered(sent, version(obj.metadata.resource_version), self._newest)
        if self._scope.shows(obj):
            self._store.put(obj)
        else:
            self._store.remove(obj)

    def deleted(self, key: Key, uid: str) -> None:
        """Removes the object: the API server said that our delete left nothing of it."""
        self._store.bury(key, uid)

    def ending(self, key: Key, uid: str, now: datetime) -> None:
        """Marks the object as being deleted, if it is still there: the API server accepted our eviction."""
        self._store.mark_ending(key, uid, now)

    def doubt(self) -> None:
        """Until now something may have been written under our lease that only the watch will tell."""
        self.freshness.doubt(self._client.clock.monotonic())

    def nudge(self) -> None:
        """Ends any wait, because the cluster answers again."""
        self._backoff.failures = 0
        self._nudged.set()

    async def run(self) -> None:
        """Lists and watches until it is cancelled."""
        while True:
            wait = await self._round()
            if wait:
                await self._pause(wait)

    async def _round(self) -> float:
        """Lists if needed and watches once; returns the seconds to wait before the next round."""
        try:
            if not self._version:
                await self._list()
            return await self._watch()
        except Gone as error:
            self._version = ""
            return self._failed(error)
        except NotFound as error:
            self._version = ""
            return min(self._failed(error), self._timing.not_served * (0.5 + self._client.clock.random() / 2))
        except KubeError as error:
            return self._failed(error)

    def _failed(self, error: KubeError) -> float:
        if self.trouble != error.message:
            facts = {"cluster": self._client.name, "kind": self.resource.kind, "error": error.message}
            log.info("watch interrupted", extra=facts)
        self.trouble = error.message
        return self._backoff.next(at_least=error.retry_after)

    async def _pause(self, seconds: float) -> None:
        """Waits, but no longer than until a silent cluster answers again."""
        self._nudged.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nudged.wait()

    async def _list(self) -> None:
        began, listing, token, rolled_back = self._client.clock.monotonic(), self._store.listing(), "", False
        self._unreadable.clear()
        with gc_pause.held():
            while True:
                page = await self._page(token, listing)
                resource_version = page.metadata.resource_version
                rolled_back = rolled_back or version(resource_version) < self._newest
                listing.page((interning.share(self._pool, obj) for obj in page.items or ()), rolled_back)
                token = page.metadata.token
                if not token:
                    break
        listing.end(resource_version, rolled_back)
        self._version, self._newest = resource_version, version(resource_version)
        self.freshness.listed(began)
        self._fine()
        if not self.synced:
            gc_pause.freeze()
            self._synced.set()
            for callback in self._on_synced:
                callback()
        self._tell()

    async def _page(self, token: str, listing: Listing[T]) -> object_decoding.ObjectPage[T]:
        query = {**self._scope.query, "limit": str(self._timing.page), **({"continue": token} if token else {})}
        path = self.resource.path(self._scope.namespace)
        body = await self._client.request("GET", path, query=query, deadline=self._timing.list_deadline, attempts=1)
        self.last_contact = self._client.clock.monotonic()
        try:
            return object_decoding.page_decoder(self.resource.type).decode(body)
        except UNREADABLE:
            return self._salvage(body, listing)

    def _salvage(self, body: bytes, listing: Listing[T]) -> object_decoding.ObjectPage[T]:
        """Decodes a page with a broken object on it: the others, and a note of the broken one."""
        try:
            page = object_decoding.raw_page.decode(body)
        except UNREADABLE as error:
            raise self._nonsense(f"sent what is no list: {error}") from error
        objects: list[T] = []
        for raw in page.items or ():
            obj = self._decode(memoryview(raw))
            if isinstance(obj, Key):
                listing.present(obj)
            else:
                objects.append(obj)
        return object_decoding.ObjectPage(page.metadata, objects)

    def _decode(self, raw: memoryview) -> T | Key:
        """Returns the object, or the key of one that cannot be decoded, which is from then on unknown."""
        try:
            obj = object_decoding.object_decoder(self.resource.type).decode(raw)
        except UNREADABLE as error:
            key = self._identify(raw)
            self._unreadable[key] = str(error)
            return key
        if self._unreadable:
            self._unreadable.pop(obj.key, None)
        return obj

    def _identify(self, raw: memoryview) -> Key:
        try:
            return object_decoding.metadata_only.decode(raw).key
        except UNREADABLE as error:
            raise self._nonsense(f"sent an object without a name: {error}") from error

    async def _watch(self) -> float:
        """Runs one watch to its end; returns the seconds to wait before the next one."""
        clock, timing = self._client.clock, self._timing
        seconds = timing.watch_shortest + clock.random() * (timing.watch_longest - timing.watch_shortest)
        if not self.resource.bookmarks:
            seconds = min(seconds, timing.inactivity * 2 / 3)  # silence is no sign: it ends before it would count as broken
        query = {
            **self._scope.query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        began = clock.monotonic()
        async with self._client.stream(self.resource.path(self._scope.namespace), query, timing.inactivity) as pieces:
            self._fine()
            lines = Lines()
            async for piece in pieces:
                self.last_contact = clock.monotonic()
                for line in self._lines(lines, piece):
                    self._take(line)
        return self._backoff.next() if clock.monotonic() - began < timing.brief else 0.0

    def _lines(self, lines: Lines, piece: bytes) -> Iterable[bytes]:
        try:
            return lines.feed(piece)
        except LineTooLongError as error:
            raise self._nonsense(str(error)) from error

    def _take(self, line: bytes) -> None:
        try:
            kind, raw = object_decoding.event_parts(line)
            if kind == "BOOKMARK":
                self._advance(object_decoding.bookmark.decode(raw).metadata.resource_version)
            elif kind == "ERROR":
                raise self._status(raw)
            else:
                self._change(kind, raw, line)
        except UNREADABLE as error:
            raise self._nonsense(f"sent what is no watch event: {error}") from error

    def _change(self, kind: str, raw: memoryview, line: bytes) -> None:
        try:
            obj: T | Key = object_decoding.object_decoder(self.resource.type).decode(raw)
        except UNREADABLE:
            raw = object_decoding.event_parts_slow(line)[1]
            obj = self._decode(raw)
        if isinstance(obj, Key):
            self._advance(object_decoding.metadata_only.decode(raw).metadata.resource_version)
            return
        if self._unreadable:
            self._unreadable.pop(obj.key, None)
        self._advance(obj.metadata.resource_version)
        if kind == "DELETED":
            self._store.remove(obj)
        else:
            self._store.put(interning.share(self._pool, obj))

    def _advance(self, resource_version: str) -> None:
        """Records the server's version. One below an earlier one means that the server was restored from a backup: list
        anew.
        """
        number = version(resource_version)
        if number < self._newest:
            raise Gone(self._request(), ApiStatus(code=410, message="the server's versions went backwards"))
        self._version, self._newest = resource_version, number
        self.freshness.shown(number)
        if self._awaited:
            self._tell()

    def _tell(self) -> None:
        for number, shown in self._awaited:
            if self.synced and number <= self._newest:
                shown.set()

    def _status(self, raw: memoryview) -> KubeError:
        status = msgspec.json.decode(raw, type=ApiStatus)
        return of_status(self._request(), status, status.code)

    def _nonsense(self, message: str) -> Unreachable:
        return Unreachable(self._request(), message)

    def _request(self) -> RequestInfo:
        return RequestInfo(self._client.name, "GET", self.resource.path(self._scope.namespace))

    def _fine(self) -> None:
        self.trouble = ""

"""Serves one watch over HTTP: events as JSON lines from a version on, bookmarks, and a time-out.

A watch from a compacted version gets an ERROR event in a stream with HTTP status 200, as from a real API server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from pincompute.api.meta import Manifest
from pincompute.kube import api_errors
from pincompute.testing.apiserver import wire_bodies
from pincompute.testing.apiserver.cluster_store import ClusterStore
from pincompute.testing.apiserver.fault_injection import Faults
from pincompute.testing.apiserver.url_paths import RequestTarget
from pincompute.testing.apiserver.version_history import StoredEvent

_LONGEST = 3600.0
_INITIAL_END = {"annotations": {"k8s.io/initial-events-end": "true"}}


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The query of a watch. `since` is empty for: what there is now, then changes."""

    since: str = ""
    label_selector: str = ""
    field_selector: str = ""
    seconds: float = _LONGEST
    bookmarks: bool = False
    initial: bool = False
    metadata_only: bool = False


def options(query: Mapping[str, str], target: RequestTarget, *, metadata_only: bool) -> WatchOptions:
    version = query.get("resourceVersion", "")
    named = f"metadata.name={target.name}" if target.name else ""
    fields = ",".join(part for part in (query.get("fieldSelector", ""), named) if part)
    return WatchOptions(
        since="" if version == "0" else version,
        label_selector=query.get("labelSelector", ""),
        field_selector=fields,
        seconds=float(query.get("timeoutSeconds", _LONGEST)),
        bookmarks=query.get("allowWatchBookmarks") in ("true", "1"),
        initial=query.get("sendInitialEvents") in ("true", "1"),
        metadata_only=metadata_only,
    )


async def events(store: ClusterStore, target: RequestTarget, wanted: WatchOptions, faults: Faults) -> AsyncIterator[Manifest]:
    """The lines of one watch."""
    try:
        async for event in _events(store, target, wanted, faults):
            obj = wire_bodies.partial(event.object) if wanted.metadata_only and event.type != "BOOKMARK" else event.object
            yield {"type": event.type, "object": obj}
    except api_errors.Refused as error:
        yield {"type": "ERROR", "object": wire_bodies.failure(error)}


async def _events(
    store: ClusterStore, target: RequestTarget, wanted: WatchOptions, faults: Faults
) -> AsyncIterator[StoredEvent]:
    resource, loop = target.kind.resource, asyncio.get_running_loop()
    end = loop.time() + wanted.seconds
    bookmark_at = loop.time() + faults.bookmark_every
    changed = asyncio.Event()
    unsubscribe = store.subscribe(lambda _resource, _event: changed.set())
    try:
        since = wanted.since
        if not since or wanted.initial:
            since = store.resource_version
            for event in _present(store, target, wanted):
                yield event
        while loop.time() < end:
            changed.clear()
            for event in store.events(resource, since, target.namespace, wanted.label_selector, wanted.field_selector):
                yield event
            since = store.resource_version
            if wanted.bookmarks and loop.time() >= bookmark_at:
                yield store.bookmark(resource)
                bookmark_at = loop.time() + faults.bookmark_every
            next_at = min(end, bookmark_at) if wanted.bookmarks and bookmark_at > loop.time() else end
            await _wait(changed, next_at - loop.time())
    finally:
        unsubscribe()


def _present(store: ClusterStore, target: RequestTarget, wanted: WatchOptions) -> list[StoredEvent]:
    resource = target.kind.resource
    page = store.list(resource, target.namespace, wanted.label_selector, wanted.field_selector)
    found = [StoredEvent("ADDED", item, item["metadata"]["resourceVersion"]) for item in page.items]
    if wanted.initial and wanted.bookmarks:
        bookmark = store.bookmark(resource)
        metadata = {**bookmark.object["metadata"], **_INITIAL_END}
        found.append(StoredEvent("BOOKMARK", {**bookmark.object, "metadata": metadata}, bookmark.resource_version))
    return found


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await changed.wait()
    except TimeoutError:
        return

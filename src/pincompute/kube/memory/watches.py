"""One watch over HTTP: events as JSON lines from a version on, bookmarks, and an end when its time is up.

A version that is compacted away is answered by an ERROR event in a stream with HTTP status 200, as a real API server does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from pincompute.api.meta import Manifest
from pincompute.kube import errors
from pincompute.kube.memory import answers
from pincompute.kube.memory.faults import Faults
from pincompute.kube.memory.journal import Event
from pincompute.kube.memory.routes import Target
from pincompute.kube.memory.store import Store

_LONGEST = 3600.0
_INITIAL_END = {"annotations": {"k8s.io/initial-events-end": "true"}}


@dataclass(frozen=True, slots=True)
class Options:
    """The query of a watch. `since` is empty for: what there is now, then changes."""

    since: str = ""
    label_selector: str = ""
    field_selector: str = ""
    seconds: float = _LONGEST
    bookmarks: bool = False
    initial: bool = False
    metadata_only: bool = False


def options(query: Mapping[str, str], target: Target, *, metadata_only: bool) -> Options:
    version = query.get("resourceVersion", "")
    named = f"metadata.name={target.name}" if target.name else ""
    fields = ",".join(part for part in (query.get("fieldSelector", ""), named) if part)
    return Options(
        since="" if version == "0" else version,
        label_selector=query.get("labelSelector", ""),
        field_selector=fields,
        seconds=float(query.get("timeoutSeconds", _LONGEST)),
        bookmarks=query.get("allowWatchBookmarks") in ("true", "1"),
        initial=query.get("sendInitialEvents") in ("true", "1"),
        metadata_only=metadata_only,
    )


async def events(store: Store, target: Target, wanted: Options, faults: Faults) -> AsyncIterator[Manifest]:
    """The lines of one watch."""
    try:
        async for event in _events(store, target, wanted, faults):
            obj = answers.partial(event.object) if wanted.metadata_only and event.type != "BOOKMARK" else event.object
            yield {"type": event.type, "object": obj}
    except errors.Refused as error:
        yield {"type": "ERROR", "object": answers.failure(error)}


async def _events(store: Store, target: Target, wanted: Options, faults: Faults) -> AsyncIterator[Event]:
    resource, loop = target.kind.resource, asyncio.get_running_loop()
    end = loop.time() + wanted.seconds
    bookmark_at = loop.time() + faults.bookmark_every
    news = asyncio.Event()
    unsubscribe = store.subscribe(lambda _resource, _event: news.set())
    try:
        since = wanted.since
        if not since or wanted.initial:
            since = store.resource_version
            for event in _present(store, target, wanted):
                yield event
        while loop.time() < end:
            news.clear()
            for event in store.events(resource, since, target.namespace, wanted.label_selector, wanted.field_selector):
                yield event
            since = store.resource_version
            if wanted.bookmarks and loop.time() >= bookmark_at:
                yield store.bookmark(resource)
                bookmark_at = loop.time() + faults.bookmark_every
            next_at = min(end, bookmark_at) if wanted.bookmarks and bookmark_at > loop.time() else end
            await _wait(news, next_at - loop.time())
    finally:
        unsubscribe()


def _present(store: Store, target: Target, wanted: Options) -> list[Event]:
    resource = target.kind.resource
    page = store.list(resource, target.namespace, wanted.label_selector, wanted.field_selector)
    found = [Event("ADDED", item, item["metadata"]["resourceVersion"]) for item in page.items]
    if wanted.initial and wanted.bookmarks:
        bookmark = store.bookmark(resource)
        metadata = {**bookmark.object["metadata"], **_INITIAL_END}
        found.append(Event("BOOKMARK", {**bookmark.object, "metadata": metadata}, bookmark.resource_version))
    return found


async def _wait(news: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await news.wait()
    except TimeoutError:
        return

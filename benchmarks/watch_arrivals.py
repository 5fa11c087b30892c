"""Notes when objects arrive on a watch on one kind in one cluster.

The time is taken when the event has been read, in the process that also made the request, so one clock measures both ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pincompute.api.meta import Key, Object, Resource
from pincompute.kube import object_decoding
from pincompute.kube.api_client import ApiClient
from pincompute.kube.line_framing import Lines

Sees = Callable[[str, Any], bool]
"""Whether an event (its type and the object) is what is waited for."""

PATIENCE = 600.0  # seconds


@dataclass(slots=True)
class Arrivals:
    """`at`: when each object was first seen as wanted, by the monotonic clock. `counts`: all events by type."""

    sees: Sees
    at: dict[Key, float] = field(default_factory=dict[Key, float])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, kind: str, obj: Object, now: float) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind != "BOOKMARK" and obj.key not in self.at and self.sees(kind, obj):
            self.at[obj.key] = now
            self._news.set()

    async def until(self, enough: Callable[[], bool], seconds: float = PATIENCE) -> None:
        async with asyncio.timeout(seconds):
            while not enough():
                self._news.clear()
                await self._news.wait()

    async def have(self, count: int, seconds: float = PATIENCE) -> None:
        await self.until(lambda: len(self.at) >= count, seconds)


def added(kind: str, _obj: Object) -> bool:
    return kind == "ADDED"


@asynccontextmanager
async def watching(client: ApiClient, resource: Resource[Any], namespace: str, sees: Sees) -> AsyncGenerator[Arrivals]:
    """What happens from now on; objects that are there already are not seen."""
    arrivals = Arrivals(sees)
    page = await client.list_page(resource, namespace, limit=1)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(_follow(client, resource, namespace, page.metadata.resource_version, arrivals))
        try:
            yield arrivals
        finally:
            reading.cancel()


async def _follow(client: ApiClient, resource: Resource[Any], namespace: str, version: str, arrivals: Arrivals) -> None:
    """An API server ends a watch whose reader is slow, as on a machine that is busy: it is resumed where it ended."""
    while True:
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "3600"}
        async with client.stream(resource.path(namespace), query, 3600.0) as pieces:
            version = await _read(pieces, msgspec.json.Decoder(resource.type), version, arrivals)


async def _read(pieces: AsyncIterator[bytes], decoder: msgspec.json.Decoder[Any], version: str, arrivals: Arrivals) -> str:
    """To the stream's end; gives the version to resume from."""
    lines = Lines()
    async for piece in pieces:
        now = time.monotonic()
        for line in lines.feed(piece):
            kind, raw = object_decoding.event_parts(line)
            if kind == "ERROR":
                raise RuntimeError(f"the watch failed: {bytes(raw).decode()}")
            obj = decoder.decode(raw)
            version = obj.metadata.resource_version
            arrivals.take(kind, obj, now)
    return version

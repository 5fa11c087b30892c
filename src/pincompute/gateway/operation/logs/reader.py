"""Serves one request for logs from beginning to end: it reads what was written, then follows what is being written.

A stream never fails in the middle: what cannot be read becomes a mark, and reading goes on with the rest.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from pincompute.domain import zone_text
from pincompute.gateway.operation.logs import line_format, source_selection, volume_logs
from pincompute.gateway.operation.logs.follower import LogFollower
from pincompute.gateway.operation.logs.line_buffer import LineBuffer
from pincompute.gateway.operation.logs.line_format import LogSource, Stamped
from pincompute.gateway.operation.logs.log_query import LogQuery
from pincompute.gateway.operation.logs.watermark import Watermark
from pincompute.gateway.operation.replica_access import ReplicaAccess
from pincompute.gateway.operation.replica_lookup import ReplicaLookup, WorkloadRef
from pincompute.kube.api_errors import KubeError, Refused
from pincompute.kube.cache_views import Unknown
from pincompute.kube.streams.pod_logs import LogOptions

AHEAD = 256  # lines of one source that wait for other sources in a merge


@dataclass(slots=True)
class LogReader:
    """Reads the logs of one query into a buffer. `now` returns nanoseconds since the epoch.

    `exists` says whether the workload does; `placed` are the clusters where it has, or should have, replicas,
    with their zones.
    """

    target: WorkloadRef
    query: LogQuery
    replicas: ReplicaLookup
    access: ReplicaAccess
    buffer: LineBuffer
    now: Callable[[], int]
    exists: Callable[[], bool]
    placed: Mapping[str, str]
    marks: dict[tuple[str, str], Watermark] = field(default_factory=dict[tuple[str, str], Watermark], init=False)

    async def run(self) -> None:
        """Read all, or follow for as long as the workload exists, then close the buffer."""
        try:
            chosen = source_selection.select(self.replicas.of(self.target), self.query)
            self._mark_unreachable_clusters(chosen)
            await self._read_past([source for source in chosen if source.replica.answers])
            if self.query.follow:
                await LogFollower(
                    self.target, self.query, self.replicas, self.access, self.buffer, self.now, self.exists, self.marks
                ).run()
        finally:
            self.buffer.close()

    def _mark_unreachable_clusters(self, chosen: Sequence[LogSource]) -> None:
        """Mark each zone with an unreachable cluster as a gap in the stream."""
        missing: dict[str, set[str]] = {
            self.placed[name]: set() for name in self.replicas.unreachable_clusters() if name in self.placed
        }
        for source in chosen:
            if not source.replica.answers:
                missing.setdefault(source.replica.zone, set()).add(source.replica.name)
        for zone, names in missing.items():
            what = f"no lines of {', '.join(sorted(names))}" if names else "replicas there, if there are any, are not shown"
            self.buffer.offer(line_format.mark("gap", f"{zone_text.unreachable(zone)}: {what}", self.now()))

    async def _read_past(self, chosen: Sequence[LogSource]) -> None:
        feeds = [asyncio.Queue[Stamped | None](AHEAD) for _ in chosen]
        async with asyncio.TaskGroup() as group:
            for source, feed in zip(chosen, feeds, strict=True):
                group.create_task(self._read(source, feed))
            if self.query.tail >= 0:
                newest = deque[Stamped](maxlen=self.query.tail)
                async for line in merged(feeds):
                    newest.append(line)
                for line in newest:
                    await self.buffer.put(line)
                return
            async for line in merged(feeds):
                await self.buffer.put(line)

    async def _read(self, source: LogSource, feed: asyncio.Queue[Stamped | None]) -> None:
        watermark = self.marks[source.key] = Watermark()
        try:
            async with self._open_log(source) as raws:
                async for raw in raws:
                    stamped = self._stamped(raw, source)
                    if line_format.is_lost(raw) and not self.query.file:
                        await feed.put(self._lost(source))
                        continue
                    new = not line_format.is_timed(stamped, raw) or watermark.is_new(stamped.at, raw)
                    if new and self.query.matches(stamped.line.text):
                        await feed.put(stamped)
        except (KubeError, Unknown) as error:
            if isinstance(error, Refused) and line_format.is_lost(error.message.encode()) and self._ran(source):
                await feed.put(self._lost(source))
            elif not (isinstance(error, Refused) and not self._ran(source)):
                reason = error.message if isinstance(error, KubeError) else zone_text.unreachable(source.replica.zone)
                text = f"the log of {source.replica.name} {source.container} cannot be read: {reason}"
                await feed.put(line_format.mark("trouble", text, self.now()))
        await feed.put(None)

    def _lost(self, source: LogSource) -> Stamped:
        return line_format.mark("trouble", line_format.lost(source, previous=self.query.previous), self.now())

    def _ran(self, source: LogSource) -> bool:
        """Whether there was a log: the container ran, and restarted if its previous one is asked for."""
        status = source.replica.status(source.container)
        return status is not None and bool(status.container_id) and not (self.query.previous and status.restart_count == 0)

    def _open_log(self, source: LogSource) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        if self.query.file:
            return volume_logs.read(self.access, source, self.query, follow=False)
        options = LogOptions(source.container, self.query.since, self._tail(), self.query.previous)
        return self.access.logs(source.replica.place, options)

    def _tail(self) -> int:
        """How many lines to request: at least one, so that the watermark is known; all when a pattern selects among them."""
        if self.query.pattern is not None or self.query.tail < 0:
            return -1
        return max(1, self.query.tail)

    def _stamped(self, raw: bytes, source: LogSource) -> Stamped:
        if self.query.file:
            return line_format.untimed(raw, source, self.now(), self.query.file)
        return line_format.parse(raw, source, self.now())


async def merged(feeds: Sequence[asyncio.Queue[Stamped | None]]) -> AsyncIterator[Stamped]:
    """Merge feeds in the order of time; None ends a feed. Lines of the same time come in the order of the feeds."""
    heap: list[tuple[int, int, Stamped]] = []
    for index, feed in enumerate(feeds):
        if (first := await feed.get()) is not None:
            heap.append((first.at, index, first))
    heapq.heapify(heap)
    while heap:
        _, index, line = heap[0]
        yield line
        following = await feeds[index].get()
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following.at, index, following))

"""Formats the response of a log stream, chosen by Accept, and ends it with the stream or with the caller's permission.

A slow client never slows down a node: live lines that the client does not take in time are dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pincompute.gateway.call_context import Call
from pincompute.gateway.operation.logs import line_format
from pincompute.gateway.operation.logs.line_buffer import LineBuffer
from pincompute.gateway.operation.logs.line_format import ENCODERS, Encoder, Stamped
from pincompute.gateway.operation.logs.log_query import LogCursor
from pincompute.gateway.operation.stream_permissions import EXPIRED, StreamPermissions
from pincompute.gateway.operation.streamed_response import Write

HEARTBEAT = 15.0  # seconds without a line between two comments of an event stream
_ALIVE = b": alive\n\n"


def media_type(accept: str) -> str:
    """The first accepted media type that is offered; plain text for any other."""
    wanted = [part.partition(";")[0].strip() for part in accept.split(",")]
    json = {"application/json": "application/x-ndjson", "application/jsonl": "application/x-ndjson"}
    return next((name for part in wanted if (name := json.get(part, part)) in ENCODERS), "text/plain")


@dataclass(slots=True)
class LogFormatter:
    """Encodes lines, with cursors from which a stream can be resumed; it skips lines before the client's cursor."""

    encode: Encoder
    after: LogCursor | None = None
    _last: LogCursor = field(default=LogCursor(0, 0), init=False)

    def format(self, batch: Iterable[Stamped]) -> bytes:
        return b"".join(self._one(stamped) for stamped in batch)

    def _one(self, stamped: Stamped) -> bytes:
        if stamped.line.mark:
            return self.encode(stamped.line, "")
        if stamped.at < self._last.at:  # too late for its place, so no stream can resume from it
            return self.encode(stamped.line, "")
        count = self._last.count + 1 if stamped.at == self._last.at else 1
        self._last = LogCursor(stamped.at, count)
        if self.after is not None and (stamped.at, count) <= (self.after.at, self.after.count):
            return b""
        return self.encode(stamped.line, str(self._last))


@dataclass(frozen=True, slots=True)
class LogStream:
    """`read` fills the buffer and closes it. `resumable`: a comment every 15 s shows the client that the stream lives, and the
    client asks again from the last line when it ends.
    """

    read: Callable[[], Coroutine[Any, Any, None]]
    buffer: LineBuffer
    formatter: LogFormatter
    call: Call
    permissions: StreamPermissions
    resumable: bool

    async def produce(self, write: Write) -> None:
        """The body of a StreamedResponse."""
        self.buffer.budget.streams += 1
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.read()), group.create_task(self._end_with_permission())]
                await self._write(write)
                for task in tasks:
                    task.cancel()
        finally:
            self.buffer.budget.streams -= 1

    async def _end_with_permission(self) -> None:
        why = await self.permissions.until_ended(self.call)
        if why != EXPIRED or not self.resumable:  # a client that resumes renews its login, or is told why it cannot
            self.buffer.offer(line_format.mark("denied", f"the stream ends: {why}", int(self.permissions.now() * 1e9)))
        self.buffer.close()

    async def _write(self, write: Write) -> None:
        while batch := await self._next():
            if piece := _ALIVE if batch is _SILENCE else self.formatter.format(batch):
                await write(piece)

    async def _next(self) -> list[Stamped]:
        if not self.resumable:
            return await self.buffer.take()
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT):
                return await self.buffer.take()
        return _SILENCE


_SILENCE = [line_format.mark("", "", 0)]

"""The answer that a stream of log lines is: its format by Accept, its end when the reader goes or may not read any more.

The surprising rule: the reader's pace never reaches the nodes. Live lines that are not taken in time are dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from litestar import Litestar, Response
from litestar.connection import Request
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

from pincompute.gateway.call_context import Call
from pincompute.gateway.operation.logs import log_lines
from pincompute.gateway.operation.logs.line_buffer import LineBuffer
from pincompute.gateway.operation.logs.log_lines import ENCODERS, Encoder, Stamped
from pincompute.gateway.operation.logs.log_query import LogCursor
from pincompute.gateway.operation.stream_permissions import StreamPermissions

HEARTBEAT = 15.0  # seconds without a line after which an event stream shows that it lives
_ALIVE = b": alive\n\n"


def media_type(accept: str) -> str:
    """What the caller asked for, among what there is; plain text when they do not care."""
    wanted = [part.partition(";")[0].strip() for part in accept.split(",")]
    json = {"application/json": "application/x-ndjson", "application/jsonl": "application/x-ndjson"}
    return next((name for part in wanted if (name := json.get(part, part)) in ENCODERS), "text/plain")


@dataclass(slots=True)
class LogFormatter:
    """Makes bytes of lines, and places in the stream to go on from; leaves out what the reader has seen before."""

    encode: Encoder
    after: LogCursor | None = None
    _last: LogCursor = field(default=LogCursor(0, 0), init=False)

    def of(self, batch: Iterable[Stamped]) -> bytes:
        return b"".join(self._one(stamped) for stamped in batch)

    def _one(self, stamped: Stamped) -> bytes:
        if stamped.line.mark:
            return self.encode(stamped.line, "")
        if stamped.at < self._last.at:  # too late for its place: nobody can go on from it
            return self.encode(stamped.line, "")
        count = self._last.count + 1 if stamped.at == self._last.at else 1
        self._last = LogCursor(stamped.at, count)
        if self.after is not None and (stamped.at, count) <= (self.after.at, self.after.count):
            return b""
        return self.encode(stamped.line, str(self._last))


@dataclass(frozen=True, slots=True)
class LogStream:
    """`produce` fills the outbox and closes it."""

    produce: Callable[[], Awaitable[None]]
    out: LineBuffer
    pages: LogFormatter
    call: Call
    rights: StreamPermissions
    events: bool

    async def send(self, send: Send, receive: Receive) -> None:
        self.out.budget.streams += 1
        try:
            await self._send(send, receive)
        finally:
            self.out.budget.streams -= 1

    async def _send(self, send: Send, receive: Receive) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._produced()), group.create_task(self._guard())]
            writing = group.create_task(self._write(send))
            gone = group.create_task(_gone(receive))
            await asyncio.wait((writing, gone), return_when=asyncio.FIRST_COMPLETED)
            for task in (*tasks, writing, gone):
                task.cancel()

    async def _produced(self) -> None:
        await self.produce()

    async def _guard(self) -> None:
        why = await self.rights.until_ended(self.call)
        self.out.offer(log_lines.mark("denied", f"the stream ends: {why}", int(self.rights.now() * 1e9)))
        self.out.close()

    async def _write(self, send: Send) -> None:
        while batch := await self._next():
            if piece := _ALIVE if batch is _SILENCE else self.pages.of(batch):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self) -> list[Stamped]:
        if not self.events:
            return await self.out.take()
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT):
                return await self.out.take()
        return _SILENCE


_SILENCE = [log_lines.mark("", "", 0)]


async def _gone(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return


class _LogBody(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, streaming: LogStream, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self._streaming = streaming

    async def send_body(self, send: Send, receive: Receive) -> None:
        await self._streaming.send(send, receive)


class LogResponse(Response[bytes]):
    """What a route returns."""

    def __init__(self, streaming: LogStream, media_type: str) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(b"", media_type=media_type, headers=headers)
        self._streaming = streaming
        self._media_type = media_type

    def to_asgi_response(self, app: Litestar | None, request: Request[Any, Any, Any], **_: Any) -> ASGIResponse:  # noqa: ARG002
        return _LogBody(self._streaming, self._media_type, {name: str(value) for name, value in self.headers.items()})

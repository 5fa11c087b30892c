"""What one connection may take: bytes of headers, time, and room for what its client does not read. uvicorn bounds none.

A slow client has GRACE seconds for what it sends, and one more for each PACE bytes that came; it has GRACE seconds to read when
ROOM bytes of answers lie ready for it. Then the connection ends. So ten thousand clients that send or read a byte now and then
hold little but their sockets, and those not for long.
"""

from __future__ import annotations

import asyncio
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pincompute.gateway import problems
from pincompute.gateway.limits.connection_acceptor import IdleConnections
from pincompute.gateway.problems import Problem

GRACE = 30.0  # seconds for a request to arrive, from its first byte, or from the connection's start; and to read an answer
PACE = 16 * 1024  # bytes of a body that earn another second
ROOM = 256 * 1024  # bytes of an answer that may lie ready; less would slow down large answers to fast clients
HEADERS = 32 * 1024  # bytes of address and headers, unless the server is told otherwise


class HeadersTooLarge(Exception):  # noqa: N818 - raised into the parser, which ends the request with it
    """More headers than a request may have."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """The largest size of headers is uvicorn's `h11_max_incomplete_event_size`, which it heeds only in its other parser."""

    _deadline = 0.0
    _timer: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None
    _size = 0

    def __init__(self, waiting: IdleConnections, **given: Any) -> None:
        super().__init__(**given)
        self._waiting = waiting

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=ROOM)
        self._receiving()

    def connection_lost(self, exc: Exception | None) -> None:
        self._received()
        self._waiting.ends(self)
        self._stop_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """What is no request yet, such as an empty line, ends uvicorn's patience with idle connections: ours begins."""
        super().data_received(data)
        if self._timer is None and self._idle():
            self._receiving()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._size = 0
        self._receiving()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._deadline += len(body) / PACE
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._received()
        if not self._idle():
            self._waiting.ends(self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._idle():
            self._waiting.begins(self, self.transport.abort)

    def handle_websocket_upgrade(self) -> None:
        self._received()
        self._waiting.ends(self)
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """More than ROOM lies ready; what is read of it until GRACE is over must make room for more."""
        super().pause_writing()
        self._stop_reader()
        self._reader = self.loop.call_later(GRACE, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_reader()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """The parser stops at headers that are too large as it stops at nonsense; the client learns which it was."""
        if self._size <= self._largest():
            super().send_400_response(msg)
            return
        self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _largest(self) -> int:
        return self.config.h11_max_incomplete_event_size or HEADERS

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._largest():
            raise HeadersTooLarge

    def _idle(self) -> bool:
        """Nothing is asked that is not answered."""
        return not self.cycle or self.cycle.response_complete

    def _receiving(self) -> None:
        self._received()
        self._waiting.begins(self, self.transport.abort)
        self._deadline = self.loop.time() + GRACE
        self._timer = self.loop.call_at(self._deadline, self._judge)

    def _received(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _judge(self) -> None:
        if self.loop.time() < self._deadline:
            self._timer = self.loop.call_at(self._deadline, self._judge)
        else:
            self.transport.abort()


class ChunkedResponses:
    """ASGI that hands long answers over in pieces: a client who does not read one has not been sent the others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_pieces(message: Message) -> None:
            body = memoryview(message.get("body", b"")) if message["type"] == "http.response.body" else b""
            if len(body) <= ROOM:
                await send(message)
                return
            for start in range(0, len(body), ROOM):
                more = bool(message.get("more_body")) or start + ROOM < len(body)
                piece: Any = {"type": "http.response.body", "body": body[start : start + ROOM], "more_body": more}
                await send(piece)

        await self._app(scope, receive, send_pieces)


_BODY = problems.encode(
    Problem("headers-too-large", "the address and the headers are too large together", "send fewer or shorter headers"), ""
)
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(_BODY)
) + _BODY

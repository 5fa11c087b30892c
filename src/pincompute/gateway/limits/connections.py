"""What one connection may take: bytes of headers, and time. uvicorn bounds neither while a request is being received.

A slow client has GRACE seconds for what it sends, and one more for each PACE bytes that came; then the connection ends. So ten
thousand clients that send a byte now and then hold nothing but their sockets, and those not for long.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pincompute.gateway import problems
from pincompute.gateway.problems import Problem

GRACE = 30.0  # seconds for a request to arrive, from its first byte, or from the connection's start
PACE = 16 * 1024  # bytes of a body that earn another second
HEADERS = 32 * 1024  # bytes of address and headers, unless the server is told otherwise


class HeadersTooLarge(Exception):  # noqa: N818 - raised into the parser, which ends the request with it
    """More headers than a request may have."""


class LimitedHttp(HttpToolsProtocol):
    """The largest size of headers is uvicorn's `h11_max_incomplete_event_size`, which it heeds only in its other parser."""

    _deadline = 0.0
    _timer: asyncio.TimerHandle | None = None
    _size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._receiving()

    def connection_lost(self, exc: Exception | None) -> None:
        self._received()
        super().connection_lost(exc)

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
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._received()
        super().handle_websocket_upgrade()

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

    def _receiving(self) -> None:
        self._received()
        self._deadline = self.loop.time() + GRACE
        self._timer = self.loop.call_at(self._deadline, self._judge)

    def _received(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _judge(self) -> None:
        if self.loop.time() < self._deadline:
            self._timer = self.loop.call_at(self._deadline, self._judge)
        else:
            self.transport.abort()


_BODY = problems.encode(
    Problem("headers-too-large", "the address and the headers are too large together", "send fewer or shorter headers"), ""
)
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(_BODY)
) + _BODY

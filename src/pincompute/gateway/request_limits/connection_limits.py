"""Limits connections where uvicorn does not: their number, time, size of headers, and answers that nobody reads.

A client has GRACE seconds for its TLS handshake, as many from the first byte of a request to the last of its headers, and as
many for the body, plus one second for every PACE bytes of it. It has GRACE seconds to read when ROOM bytes of an answer lie
ready. Then the connection ends, so ten thousand slow clients hold little but their sockets.

A connection waits while the gateway has nothing to do for it. When every place is taken, the connection that has waited longest
ends to make room. So nobody is refused while somebody else only holds a place.

Nothing here overrides a part of uvicorn: what is needed is seen between asyncio and uvicorn's protocol, and between uvicorn and
the application.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import socket
import ssl
import time
from functools import partial
from typing import Any

import uvicorn
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pincompute.gateway import problems
from pincompute.gateway.problems import Problem

log = logging.getLogger(__name__)

GRACE = 30.0  # seconds
PACE = 16 * 1024  # bytes
ROOM = 256 * 1024  # bytes; with less, large answers to fast clients take longer
AT_ONCE = 16  # connections accepted in one turn of the event loop
PAUSE = 0.1  # seconds after the system had no descriptor for one more
KEEP_ALIVE = 75.0  # seconds between two requests; longer than most load balancers' own
_CONNECTION = "pincompute.connection"  # key in a scope's state


class ConnectionLimits:
    """The limits of a server, and all its connections."""

    def __init__(self, most: int, headers: int, tls: ssl.SSLContext | None) -> None:
        """`most` connections; `headers` is their largest size in bytes."""
        self.headers = headers
        self.waiting: dict[LimitedConnection, None] = {}  # the longest waiting first
        self._most = most
        self._tls = tls
        self._handshakes: set[asyncio.Task[None]] = set()

    async def accept(self, listener: socket.socket, server: uvicorn.Server) -> None:
        """Accepts connections for the server until it is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            for number in itertools.count(1):
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)  # a socket that has somebody waiting does not yield
                try:
                    accepted, _ = await loop.sock_accept(listener)
                except OSError as problem:  # no descriptors are left
                    log.warning("a connection could not be accepted", extra={"why": str(problem)})
                    self._end_longest()
                    await asyncio.sleep(PAUSE)
                    continue
                if len(self._handshakes) + len(server.server_state.connections) >= self._most and not self._end_longest():
                    accepted.close()
                    continue
                connection = LimitedConnection(self, server)
                task = connection.handshake = loop.create_task(self._begin(connection, accepted))
                self._handshakes.add(task)
                task.add_done_callback(self._handshakes.discard)
                connection.wait(GRACE)
        finally:
            for task in self._handshakes:
                task.cancel()

    async def _begin(self, connection: LimitedConnection, accepted: socket.socket) -> None:
        """Begins a connection with its TLS handshake."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted, ssl=self._tls)
        except OSError as problem:
            log.debug("no TLS handshake", extra={"why": str(problem)})
            connection.abort()

    def _end_longest(self) -> bool:
        """Ends the connection that has waited longest; false when none waits."""
        longest = next(iter(self.waiting), None)
        if longest is not None:
            longest.abort()
        return longest is not None


class LimitedConnection(asyncio.Protocol):
    """One connection, from its TLS handshake until it closes or becomes a WebSocket. Stands before uvicorn's protocol."""

    def __init__(self, limits: ConnectionLimits, server: uvicorn.Server) -> None:
        self.handshake: asyncio.Task[None] | None = None
        self.certificate: Any = None
        self.size = 0  # bytes of the next request's headers, so far
        self.counting = True  # bytes that come are headers
        self._limits = limits
        self._http = HttpToolsProtocol(server.config, server.server_state, {_CONNECTION: self})
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = self._reader_deadline = math.inf
        self._requests = 0  # under way
        self._begun: Any = None  # the last request whose headers are complete
        self._ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.set_write_buffer_limits(high=ROOM)
        self.certificate = transport.get_extra_info("peercert")
        self._http.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.counting and self.size > self._limits.headers:
            self._refuse()
            return
        if self.counting:
            self.size += len(data)
        if not self._requests:
            self._deadline = min(self._deadline, self._loop.time() + GRACE)
        self._http.data_received(data)
        if self._http.cycle is not self._begun:  # a request's headers are complete, and its task has not begun yet
            self._begun, self.counting = self._http.cycle, False
        upgraded: Any = self._transport.get_protocol() if self._transport else self
        if upgraded is not self:  # uvicorn gave it to its WebSocket protocol
            self._end()
            if upgraded.conn.handshake_exc is not None:  # it takes shorter lines than HTTP does, and would never answer
                self._refuse()

    def eof_received(self) -> bool | None:
        return self._http.eof_received()

    def pause_writing(self) -> None:
        self._reader_deadline = self._loop.time() + GRACE
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._reader_deadline = math.inf
        self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._http.connection_lost(exc)

    def begin_request(self) -> None:
        self._requests += 1
        self.work()

    def end_request(self) -> None:
        self._requests -= 1
        if not self._requests:
            self.counting = True
            self.wait(KEEP_ALIVE)

    def wait(self, seconds: float) -> None:
        """The client has so long to send something."""
        if self._ended:
            return
        self._limits.waiting.pop(self, None)
        self._limits.waiting[self] = None
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()

    def work(self) -> None:
        """The gateway has to do something now, the client may wait."""
        self._limits.waiting.pop(self, None)
        self._deadline = math.inf

    def abort(self) -> None:
        self._end()
        if self._transport:
            self._transport.abort()
        elif self.handshake:
            self.handshake.cancel()

    def _refuse(self) -> None:
        """The headers have no end. While an answer is under way, nothing else can be said."""
        if self._transport is None:
            return
        if not self._requests:
            body = problems.encode(_TOO_LARGE, "")
            head = (f"content-type: {problems.MEDIA_TYPE}", f"content-length: {len(body)}", "connection: close")
            self._transport.write("\r\n".join(("HTTP/1.1 431 ", *head, "", "")).encode() + body)
        self._transport.close()

    def _set_timer(self) -> None:
        """Sets a timer at most GRACE ahead, so that most deadlines that are set later need no other timer."""
        if self._timer:
            self._timer.cancel()
        due = min(self._deadline, self._reader_deadline, self._loop.time() + GRACE)
        self._timer = self._loop.call_at(due, self._check)

    def _check(self) -> None:
        if self._loop.time() >= min(self._deadline, self._reader_deadline):
            self.abort()
        else:
            self._set_timer()

    def _end(self) -> None:
        self._ended = True
        self._limits.waiting.pop(self, None)
        if self._timer:
            self._timer.cancel()


_TOO_LARGE = Problem("headers-too-large", "the address and the headers are too large together", "send fewer or shorter headers")


class LimitedRequests:
    """ASGI around the application: says whether a connection waits for its client or the gateway works for it.

    What the handler leaves of a body is read before the answer begins, so that the bytes behind it are the next request's.
    """

    def __init__(self, app: ASGIApp, headers: int) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state: dict[str, Any] = scope["state"]
        connection: LimitedConnection = state.pop(_CONNECTION)
        if connection.certificate:
            extensions: Any = scope.setdefault("extensions", {})  # type: ignore[typeddict-item]
            extensions["tls"] = {"client_certificate": connection.certificate}
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size, connection.size = connection.size, 0
        body = _Body(connection, receive, complete=not _has_body(scope))
        connection.begin_request()
        try:
            if size > self._headers and _size_of_headers(scope) > self._headers:
                await problems.send_to(send, _TOO_LARGE, "")
            else:
                await self._app(scope, body.receive, partial(_send, body, send))
        finally:
            connection.end_request()


class _Body:
    """Receives a request's body in the time that the client has for it. The time that the handler takes does not count."""

    def __init__(self, connection: LimitedConnection, receive: Receive, *, complete: bool) -> None:
        self.complete = connection.counting = complete
        self._connection = connection
        self._receive = receive
        self._left = GRACE

    async def receive(self) -> Any:
        if self.complete:
            return await self._receive()
        began = time.monotonic()
        self._connection.wait(self._left)
        try:
            message: Any = await self._receive()
        finally:
            self._connection.work()
        self._left += began - time.monotonic() + len(message.get("body", b"")) / PACE
        self.complete = self._connection.counting = not message.get("more_body", False)
        return message


async def _send(body: _Body, send: Send, message: Message) -> None:
    """Hands a long answer over in pieces: a client who does not read one has not been sent the others."""
    while not body.complete:
        await body.receive()
    content = message.get("body", b"") if message["type"] == "http.response.body" else b""
    if len(content) <= ROOM:
        await send(message)
        return
    view = memoryview(content)
    for start in range(0, len(view), ROOM):
        more = bool(message.get("more_body")) or start + ROOM < len(view)
        piece: Any = {"type": "http.response.body", "body": view[start : start + ROOM], "more_body": more}
        await send(piece)


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _size_of_headers(scope: Any) -> int:
    return (
        len(scope["raw_path"])
        + len(scope["query_string"])
        + sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    )

"""Speaks HTTP to one API server: sessions, sockets, credentials, and failures turned into our own errors.

Requests and watches have separate pools, because a watch holds its connection for minutes and must not use up the connections
for requests.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, cast

import aiohttp
from yarl import URL

from pincompute.kube.api_errors import RequestInfo, Unauthorized, Unreachable, refusal
from pincompute.kube.circuit_breaker import CircuitBreaker
from pincompute.kube.clock import Clock
from pincompute.kube.credentials import ApiCredentials
from pincompute.kube.kubeconfig import ClusterConfig, ConfigError
from pincompute.kube.stream_connector import StreamConnector

CONNECT_DEADLINE = 5.0  # seconds for TCP and TLS
HANDSHAKE_DEADLINE = 20.0  # seconds until a WebSocket is open, which includes the way to the node
IN_FLIGHT = 64  # requests at the same time; more wait for a free connection
KEEP_ALIVE = 75.0  # seconds an idle connection is kept
READ_BUFFER = 1 << 20  # bytes; lists come in megabytes
LARGEST_MESSAGE = 1 << 20  # bytes of one WebSocket message; a kubelet sends 32 KiB at most

_QUIET = 5  # seconds without traffic before the kernel probes the peer
_ASK_EVERY = 2
_ASK_TIMES = 3


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One HTTP request."""

    request: RequestInfo
    query: Mapping[str, str] | Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(slots=True)
class HttpConnection:
    """The pools and credentials of one cluster."""

    config: ClusterConfig
    cluster: str
    user_agent: str
    clock: Clock
    breaker: CircuitBreaker
    _credentials: ApiCredentials = field(init=False)
    _requests: aiohttp.ClientSession | None = field(default=None, init=False)
    _streams: aiohttp.ClientSession | None = field(default=None, init=False)
    _date: tuple[str, float] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._credentials = ApiCredentials(self.config, self.clock)

    def use(self, config: ClusterConfig) -> None:
        """Uses new credentials for the same server; open streams go on."""
        self.config = config
        self._credentials = ApiCredentials(config, self.clock)

    async def close(self) -> None:
        sessions, self._requests, self._streams = (self._requests, self._streams), None, None
        for session in sessions:
            if session is not None:
                await session.close()

    def now(self) -> datetime | None:
        """Returns the server's time, to about a second, by its last answer; None before the first."""
        if self._date is None:
            return None
        text, received_at = self._date
        shown = _moment(text)
        return shown + timedelta(seconds=self.clock.monotonic() - received_at) if shown is not None else None

    async def exchange(self, call: ApiCall, seconds: float) -> bytes:
        """Returns the body of a successful answer."""
        if self._requests is None:
            self._requests = self._session(aiohttp.TCPConnector, IN_FLIGHT)
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_DEADLINE)
        async with self._answer(self._requests, call, limits) as response:
            try:
                return await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.breaker.silent()
                raise _unreachable(call.request, error) from error

    @asynccontextmanager
    async def stream(self, call: ApiCall, inactivity: float) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Yields an endless answer in pieces; after `inactivity` seconds without a byte it counts as broken."""
        if self._streams is None:
            self._streams = self._session(StreamConnector, 0)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE, sock_read=inactivity)
        async with self._answer(self._streams, call, limits) as response:
            yield self._pieces(call.request, response)

    @asynccontextmanager
    async def websocket(self, call: ApiCall, protocol: str) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
        """Opens a WebSocket that speaks `protocol` and closes it when the block ends."""
        if self._streams is None:
            self._streams = self._session(StreamConnector, 0)
        socket = await self._upgrade(self._streams, call, protocol)
        async with socket:
            self.breaker.answered()
            if socket.protocol != protocol:
                raise Unreachable(call.request, f"does not speak {protocol}, which Kubernetes 1.30 and later do")
            yield socket

    async def _upgrade(self, session: aiohttp.ClientSession, call: ApiCall, protocol: str) -> aiohttp.ClientWebSocketResponse:
        options = await self._identify(call)
        try:
            async with asyncio.timeout(HANDSHAKE_DEADLINE):
                opened: Any = await cast("Any", session).ws_connect(  # its overloads do not fit options in a dict
                    URL(self.config.server + call.request.path).with_query(call.query),
                    protocols=(protocol,),
                    autoping=False,  # see streams.websocket_messages
                    max_msg_size=LARGEST_MESSAGE,
                    proxy=self.config.proxy or None,
                    **options,
                )
                return opened
        except aiohttp.WSServerHandshakeError as error:
            self.breaker.answered()
            if error.status == 401:
                self._credentials.refused()
            raise refusal(call.request, error.status, b"the stream was not opened") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.breaker.silent()
            raise _unreachable(call.request, error) from error

    async def _pieces(self, request: RequestInfo, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for piece in response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(request, error) from error

    @asynccontextmanager
    async def _answer(
        self, session: aiohttp.ClientSession, call: ApiCall, limits: aiohttp.ClientTimeout
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Returns the answer once its head has arrived and reports success."""
        response = await self._send(session, call, limits)
        async with response:
            self.breaker.answered()
            if date := response.headers.get("Date"):
                self._date = date, self.clock.monotonic()
            if response.status < 300:
                yield response
                return
            body = await _rest(call.request, response)
            error = refusal(call.request, response.status, body, response.headers.get("Retry-After", ""))
            if isinstance(error, Unauthorized):
                self._credentials.refused()
            raise error

    async def _send(
        self, session: aiohttp.ClientSession, call: ApiCall, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        options = await self._identify(call)
        try:
            return await session.request(
                call.request.verb,
                URL(self.config.server + call.request.path),
                params=call.query,
                data=call.body,
                timeout=limits,
                allow_redirects=False,  # a redirect would carry the credentials elsewhere
                proxy=self.config.proxy or None,
                **options,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.breaker.silent()
            raise _unreachable(call.request, error) from error

    async def _identify(self, call: ApiCall) -> dict[str, Any]:
        try:
            identity = await self._credentials.identity()
        except ConfigError as error:
            raise Unreachable(call.request, str(error), sent=False) from error
        headers = dict(call.headers)
        if identity.authorization:
            headers["Authorization"] = identity.authorization
        options: dict[str, Any] = {"headers": headers}
        if identity.context is not None:
            options["ssl"] = identity.context
        if self.config.server_name:
            options["server_hostname"] = self.config.server_name
        return options

    def _session(self, connector: type[aiohttp.TCPConnector], limit: int) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector(limit=limit, keepalive_timeout=KEEP_ALIVE, socket_factory=_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self.user_agent},
            read_bufsize=READ_BUFFER,
        )


async def _rest(request: RequestInfo, response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _unreachable(request, error) from error


@lru_cache(maxsize=64)  # asked for with every request that the gateway answers, told anew once a second at most
def _moment(date: str) -> datetime | None:
    """Returns the time in a Date header, or None."""
    try:
        return parsedate_to_datetime(date)
    except ValueError:
        return None


def _unreachable(request: RequestInfo, error: Exception) -> Unreachable:
    """Returns the error; `sent` is false where the failure shows that no byte of the request reached the server."""
    sent = not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return Unreachable(request, _why(error), sent=sent)


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {error.host}:{error.port} is not accepted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror or error.os_error}"
    return str(error) or "no answer within the deadline"


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """Returns a socket on which the kernel notices within seconds that the peer vanished (half-open TCP)."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _QUIET)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _ASK_EVERY)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _ASK_TIMES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * (_QUIET + _ASK_EVERY * _ASK_TIMES))
    return made

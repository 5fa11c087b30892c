"""Runs an exchange over httpx2, synchronously or asynchronously. Calls use the network only here.

Both drivers differ only in `await`; `exchange` makes all decisions.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import httpx2

from pincompute_sdk.core.exchange import ClientSession, Exchange, Renew, Send, Sleep, exchange
from pincompute_sdk.core.http_messages import HttpRequest, HttpResponse, NoResponse, Outcome

CONNECT = 5.0  # seconds for a connection
CONNECTIONS = httpx2.Limits(max_connections=20, max_keepalive_connections=10)


class Dropped(Exception):  # noqa: N818 - not an error of its own: whoever follows a stream resumes it
    """A stream ended without the server's end event."""


@dataclass(slots=True)
class SyncDriver:
    """Runs the calls of a client in the thread that makes them."""

    session: ClientSession
    http: httpx2.Client

    def call(self, request: HttpRequest) -> HttpResponse:
        return self._run(exchange(self.session, request), self._send)

    def open(self, request: HttpRequest) -> SyncStream:
        """A stream whose head was answered well; the caller closes it."""
        opened: list[httpx2.Response] = []

        def begin(wanted: HttpRequest) -> Outcome:
            try:
                response = self.http.send(self._build(wanted), stream=True)
            except httpx2.HTTPError as error:
                return failed(error)
            if response.status_code >= 400:
                return _whole(response)
            opened.append(response)
            return HttpResponse(response.status_code, _lower(response.headers))

        answer = self._run(exchange(self.session, request), begin)
        return SyncStream(answer, opened[-1])

    def close(self) -> None:
        self.http.close()

    def _run(self, steps: Exchange, send: Callable[[HttpRequest], Outcome]) -> HttpResponse:
        try:
            step = next(steps)
            while True:
                step = steps.send(self._act(step, send))
        except StopIteration as done:
            return done.value

    def _act(self, step: Send | Sleep | Renew, send: Callable[[HttpRequest], Outcome]) -> Outcome | None:
        match step:
            case Send(request):
                return send(request)
            case Sleep(seconds):
                time.sleep(seconds)
            case Renew(token):
                self.session.renew(token)
        return None

    def _send(self, request: HttpRequest) -> Outcome:
        try:
            response = self.http.send(self._build(request))
        except httpx2.HTTPError as error:
            return failed(error)
        return HttpResponse(response.status_code, _lower(response.headers), response.content)

    def _build(self, request: HttpRequest) -> httpx2.Request:
        return self.http.build_request(
            request.method,
            request.path,
            params=request.query or None,
            headers=dict(request.headers),
            content=request.body,
            timeout=httpx2.Timeout(request.timeout, connect=min(CONNECT, request.timeout)),
        )


@dataclass(slots=True)
class AsyncDriver:
    """As SyncDriver; a renewal runs in a thread because it waits for the configuration's lock and for the issuer."""

    session: ClientSession
    http: httpx2.AsyncClient

    async def call(self, request: HttpRequest) -> HttpResponse:
        steps = exchange(self.session, request)
        try:
            step = next(steps)
            while True:
                step = steps.send(await self._act(step, None))
        except StopIteration as done:
            return done.value

    async def open(self, request: HttpRequest) -> AsyncStream:
        opened: list[httpx2.Response] = []
        steps = exchange(self.session, request)
        try:
            step = next(steps)
            while True:
                step = steps.send(await self._act(step, opened))
        except StopIteration as done:
            return AsyncStream(done.value, opened[-1])

    async def close(self) -> None:
        await self.http.aclose()

    async def _act(self, step: Send | Sleep | Renew, opened: list[httpx2.Response] | None) -> Outcome | None:
        match step:
            case Send(request):
                return await self._send(request, opened)
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Renew(token):
                await asyncio.to_thread(self.session.renew, token)
        return None

    async def _send(self, request: HttpRequest, opened: list[httpx2.Response] | None) -> Outcome:
        """The whole answer, or, where `opened` collects streams, its head."""
        try:
            response = await self.http.send(self._build(request), stream=opened is not None)
            if opened is not None and response.status_code < 400:
                opened.append(response)
                return HttpResponse(response.status_code, _lower(response.headers))
            body = await response.aread()
        except httpx2.HTTPError as error:
            return failed(error)
        return HttpResponse(response.status_code, _lower(response.headers), body)

    def _build(self, request: HttpRequest) -> httpx2.Request:
        return self.http.build_request(
            request.method,
            request.path,
            params=request.query or None,
            headers=dict(request.headers),
            content=request.body,
            timeout=httpx2.Timeout(request.timeout, connect=min(CONNECT, request.timeout)),
        )


@dataclass(frozen=True, slots=True)
class SyncStream:
    """The body of an open answer, piece by piece. A clean end ends the iteration; anything else raises Dropped."""

    answer: HttpResponse
    response: httpx2.Response

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self.response.iter_bytes()
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise Dropped(str(error) or type(error).__name__) from error

    def close(self) -> None:
        self.response.close()


@dataclass(frozen=True, slots=True)
class AsyncStream:
    answer: HttpResponse
    response: httpx2.Response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self.response.aiter_bytes():
                yield piece
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise Dropped(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        await self.response.aclose()


def failed(error: BaseException) -> NoResponse:
    """The kind of failure, from the chain of causes: httpx2 wraps the socket's error."""
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return NoResponse("untrusted", cause.verify_message or str(cause), of_certificate=True)
            case ssl.SSLError():
                return NoResponse("untrusted", _handshake(cause))
            case socket.gaierror():
                return NoResponse("unresolved", cause.strerror or str(cause))
            case ConnectionRefusedError():
                return NoResponse("refused", "connection refused")
            case _:
                continue
    message = str(error) or type(error).__name__
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return NoResponse("timeout", message)
    if isinstance(error, httpx2.ConnectError) and "refused" in message.lower():
        return NoResponse("refused", message)
    if isinstance(error, httpx2.ConnectError) and "all connection attempts failed" in message.lower():
        return NoResponse("refused", "no address of it accepts connections")
    if isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError):
        return NoResponse("dropped", message)
    return NoResponse("network", message)


def _handshake(error: ssl.SSLError) -> str:
    if "WRONG_VERSION_NUMBER" in str(error) or "record layer" in str(error).lower():
        return "it does not speak TLS (is the address http:// instead of https://?)"
    return error.reason or str(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__


def _whole(response: httpx2.Response) -> Outcome:
    try:
        body = response.read()
    except httpx2.HTTPError as error:
        return failed(error)
    finally:
        response.close()
    return HttpResponse(response.status_code, _lower(response.headers), body)


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}

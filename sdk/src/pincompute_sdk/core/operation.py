"""Describes operations of the interface as data, and calls them. The generated code consists of operations and thin methods."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote

import msgspec

from pincompute_sdk.core import error_mapping
from pincompute_sdk.core.drivers import AsyncDriver, AsyncStream, Dropped, SyncDriver, SyncStream
from pincompute_sdk.core.errors import ConfigurationError, StreamEndedError, UnavailableError, UnreachableError
from pincompute_sdk.core.events import Resuming, ServerEvent
from pincompute_sdk.core.exchange import idempotency_key
from pincompute_sdk.core.http_messages import HttpRequest, HttpResponse

T = TypeVar("T")
PERCENT_ENCODED = frozenset({"Pincompute-Reason"})  # headers
PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
END = "end"  # the event with which a server says that a stream is complete
AWAY = (UnreachableError, UnavailableError)  # what a stream that has begun outlives: a server that restarts
Query = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """`keyed` calls carry an idempotency key, so that they may be repeated; `accept` and `content` are media types."""

    method: str
    route: str
    result: type[T]
    keyed: bool = False
    content: str = "application/json"
    accept: str = "application/json"


@dataclass(frozen=True, slots=True)
class Input:
    """What one call adds to its operation."""

    path: Mapping[str, str]
    query: Query
    headers: Query
    body: object = None
    timeout: float = 30.0


def request(operation: Operation[Any], given: Input) -> HttpRequest:
    headers = {name: _header(name, value) for name, value in given.headers.items() if value not in (None, "")}
    headers["Accept"] = operation.accept
    if operation.keyed:
        headers.setdefault("Idempotency-Key", idempotency_key())
    body = _body(given.body)
    if body is not None:
        headers.setdefault("Content-Type", operation.content)
    return HttpRequest(
        operation.method, _path(operation.route, given.path), operation.route, _query(given.query), headers, body, given.timeout
    )


def decode(operation: Operation[T], answer: HttpResponse, server_version: str) -> T:
    if operation.result is bytes:
        return answer.body  # type: ignore[return-value]
    if operation.result is str:
        return answer.body.decode("utf-8", "replace")  # type: ignore[return-value]
    if operation.result is type(None):
        return None  # type: ignore[return-value]
    try:
        return msgspec.json.decode(answer.body, type=operation.result)
    except msgspec.MsgspecError as error:
        what = f"{operation.method} {operation.route}"
        raise error_mapping.undecodable(server_version, what, str(error), answer.request_id) from error


@dataclass(frozen=True, slots=True)
class SyncCaller:
    """Makes the calls of the synchronous client's generated resources."""

    driver: SyncDriver

    def call(self, operation: Operation[T], given: Input) -> T:
        answer = self.driver.call(request(operation, given))
        return decode(operation, answer, self.driver.session.server_version)

    def open(self, operation: Operation[Any], given: Input) -> SyncStream:
        return self.driver.open(request(operation, given))

    def lines(self, operation: Operation[T], given: Input) -> Iterator[T]:
        """Yields one value for each line. A stream that breaks off raises an error."""
        stream = self.open(operation, given)
        pending = b""
        try:
            for piece in stream:
                *whole, pending = (pending + piece).split(b"\n")
                yield from (_line(self, operation, line) for line in whole if line)
        except Dropped as error:
            raise _broken(operation, error) from error
        finally:
            stream.close()
        if pending:
            yield _line(self, operation, pending)

    def pages(self, operation: Operation[T], given: Input) -> Iterator[T]:
        """Yields page after page."""
        cursor = ""
        while True:
            page = self.call(operation, _at(given, cursor))
            yield page
            cursor = getattr(page, "cursor", "") or ""
            if not cursor:
                return

    def follow(self, operation: Operation[Any], given: Input) -> Iterator[ServerEvent]:
        """Yields events until the server's `end` event, and resumes after the last one when the connection is lost."""
        state = Resuming(request(operation, given))
        while True:
            try:
                stream = self.driver.open(state.next())
            except AWAY:
                if not state.begun:
                    raise
                time.sleep(_patience(state))
                continue
            try:
                for piece in stream:
                    for event in state.parser.feed(piece):
                        if event.name == END:
                            return
                        yield event
                        state.handed(event)
            except Dropped:
                pass
            finally:
                stream.close()
            time.sleep(_patience(state))


@dataclass(frozen=True, slots=True)
class AsyncCaller:
    """Makes the calls of the asynchronous client's generated resources."""

    driver: AsyncDriver

    async def call(self, operation: Operation[T], given: Input) -> T:
        answer = await self.driver.call(request(operation, given))
        return decode(operation, answer, self.driver.session.server_version)

    async def open(self, operation: Operation[Any], given: Input) -> AsyncStream:
        return await self.driver.open(request(operation, given))

    async def lines(self, operation: Operation[T], given: Input) -> AsyncIterator[T]:
        stream = await self.open(operation, given)
        pending = b""
        try:
            async for piece in stream:
                *whole, pending = (pending + piece).split(b"\n")
                for line in whole:
                    if line:
                        yield _line(self, operation, line)
        except Dropped as error:
            raise _broken(operation, error) from error
        finally:
            await stream.close()
        if pending:
            yield _line(self, operation, pending)

    async def pages(self, operation: Operation[T], given: Input) -> AsyncIterator[T]:
        cursor = ""
        while True:
            page = await self.call(operation, _at(given, cursor))
            yield page
            cursor = getattr(page, "cursor", "") or ""
            if not cursor:
                return

    async def follow(self, operation: Operation[Any], given: Input) -> AsyncIterator[ServerEvent]:
        state = Resuming(request(operation, given))
        while True:
            try:
                stream = await self.driver.open(state.next())
            except AWAY:
                if not state.begun:
                    raise
                await asyncio.sleep(_patience(state))
                continue
            try:
                async for piece in stream:
                    for event in state.parser.feed(piece):
                        if event.name == END:
                            return
                        yield event
                        state.handed(event)
            except Dropped:
                pass
            finally:
                await stream.close()
            await asyncio.sleep(_patience(state))


def _line(caller: SyncCaller | AsyncCaller, operation: Operation[T], line: bytes) -> T:
    return decode(operation, HttpResponse(200, {}, line), caller.driver.session.server_version)


def _broken(operation: Operation[Any], error: Dropped) -> StreamEndedError:
    what = operation.route.rpartition("/")[2]
    return StreamEndedError(
        f"the {what} broke off", reason=str(error), remedy="ask again from where they ended, or follow them"
    )


def _patience(state: Resuming) -> float:
    wait = state.wait()
    if wait is None:
        raise StreamEndedError(
            "the stream ends again and again before anything comes",
            reason=f"{state.failures - 1} attempts to resume it brought nothing",
            remedy="look whether the server or a proxy between cuts long connections",
        )
    return wait


def _at(given: Input, cursor: str) -> Input:
    return Input(given.path, {**given.query, "cursor": cursor or None}, given.headers, given.body, given.timeout)


def _path(route: str, values: Mapping[str, str]) -> str:
    filled = route
    for name, value in values.items():
        if not value:
            remedy = "`pin project use NAME`, --project or PINCOMPUTE_PROJECT" if name == "project" else f"name the {name}"
            raise ConfigurationError(f"no {name} is named", remedy=remedy)
        filled = filled.replace("{" + name + "}", quote(value, safe=""))
    return filled


def _query(values: Query) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if value in (None, ""):
            continue
        several = cast("list[Any]", value) if isinstance(value, list | tuple) else [value]
        pairs += [(name, _text(one)) for one in several]
    return tuple(pairs)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _header(name: str, value: Any) -> str:
    """The value of a header. Headers hold ASCII only, so free text is percent-encoded."""
    return quote(_text(value), safe=PRINTABLE) if name in PERCENT_ENCODED else _text(value)


def _body(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return msgspec.json.encode(value)

"""Streams the body of a response. It ends when the stream ends, or when the client disconnects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from litestar import Litestar, Response
from litestar.connection import Request
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

from pincompute.gateway.operation.task_groups import first_of

Write: TypeAlias = Callable[[bytes], Awaitable[None]]
Produce: TypeAlias = Callable[[Write], Awaitable[None]]
"""Writes the body, piece by piece. An exception makes the server close the connection, which a client takes for a failure."""


class StreamedResponse(Response[bytes]):
    """What a route returns."""

    def __init__(self, produce: Produce, media_type: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(b"", media_type=media_type, headers=headers)
        self._body = _StreamedBody(produce, media_type, headers)

    def to_asgi_response(self, app: Litestar | None, request: Request[Any, Any, Any], **_: Any) -> ASGIResponse:  # noqa: ARG002
        return self._body


class _StreamedBody(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, produce: Produce, media_type: str, headers: dict[str, str] | None) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self._produce = produce

    async def send_body(self, send: Send, receive: Receive) -> None:
        async def write(piece: bytes) -> None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

        async def body() -> None:
            await self._produce(write)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await first_of(body(), _disconnected(receive))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue

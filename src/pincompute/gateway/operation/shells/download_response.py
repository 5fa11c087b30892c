"""A download as an answer: it begins when the first bytes are there, and breaks off when the rest does not come."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from litestar import Litestar, Response
from litestar.connection import Request
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

from pincompute.gateway.call_context import Call
from pincompute.gateway.operation.shells.file_copy import CopyBroken, Download
from pincompute.gateway.operation.stream_permissions import StreamPermissions

TAR = "application/x-tar"


class _DownloadBody(ASGIResponse):
    _should_set_content_length = False

    def __init__(self, download: Download, opened: AsyncExitStack, call: Call, rights: StreamPermissions) -> None:
        super().__init__(media_type=TAR)
        self._download = download
        self._opened = opened
        self._call = call
        self._rights = rights

    async def send_body(self, send: Send, receive: Receive) -> None:
        """An exception on the way makes the server close the connection, which a client takes for a failure."""
        async with self._opened, asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in (self._write(send), self._guard(), _gone(receive))]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.body", "body": self._download.first, "more_body": True})
        async for piece in self._download.rest():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _guard(self) -> None:
        raise CopyBroken(await self._rights.until_ended(self._call))


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


class DownloadResponse(Response[bytes]):
    """What a route returns. `opened` is closed when the body has been sent."""

    def __init__(self, download: Download, opened: AsyncExitStack, call: Call, rights: StreamPermissions) -> None:
        super().__init__(b"", media_type=TAR)
        self._parts = (download, opened, call, rights)

    def to_asgi_response(self, app: Litestar | None, request: Request[Any, Any, Any], **_: Any) -> ASGIResponse:  # noqa: ARG002
        return _DownloadBody(*self._parts)

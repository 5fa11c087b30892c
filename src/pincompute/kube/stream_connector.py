"""Connects streams so that their last bytes arrive: logs, programs in containers, and forwarded ports.

When a server closes a TLS connection, uvloop drops what has arrived and is still unread (uvloop, pull request 661). A stream
with a slow reader would lose its end, so the TLS of streams is Python's own, on uvloop's transport.
"""

from __future__ import annotations

import asyncio
from asyncio import sslproto
from collections.abc import Callable
from typing import Any, cast

import aiohttp


class StreamConnector(aiohttp.TCPConnector):
    """Opens connections as its base class does, with Python's TLS, in the method by which aiohttp opens all."""

    async def _wrap_create_connection(self, factory: Callable[[], Any], *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        context, hostname = kwargs.pop("ssl", None), kwargs.pop("server_hostname", None)
        base = cast("Any", super())
        if context is None:
            return await base._wrap_create_connection(factory, *args, **kwargs)  # noqa: SLF001 - aiohttp and asyncio have no public way
        loop = asyncio.get_running_loop()
        handshake: asyncio.Future[None] = loop.create_future()

        def protocol() -> Any:
            return sslproto.SSLProtocol(loop, factory(), context, handshake, server_hostname=hostname)

        transport, layer = await base._wrap_create_connection(protocol, *args, **kwargs)  # noqa: SLF001 - aiohttp and asyncio have no public way
        try:
            await handshake
        except BaseException:
            transport.abort()
            raise
        return layer._app_transport, layer._app_protocol  # noqa: SLF001 - aiohttp and asyncio have no public way

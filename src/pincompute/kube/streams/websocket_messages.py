"""Receives the messages of a WebSocket to an API server, and answers pings itself.

It does not leave pings to aiohttp, which drops everything it has read when the other side closes right after a ping, and with
it the end of every large answer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp

from pincompute.kube.http_connection import SILENCE


async def receive(socket: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMessage:
    while True:
        try:
            async with asyncio.timeout(SILENCE):
                message = await socket.receive()
        except TimeoutError:
            silence = TimeoutError(f"no sign of life for {SILENCE:.0f} s")
            return aiohttp.WSMessage(aiohttp.WSMsgType.ERROR, silence, None)
        if message.type is aiohttp.WSMsgType.PING:
            with suppress(ConnectionError):
                await socket.pong(message.data)
        elif message.type is not aiohttp.WSMsgType.PONG:
            return message

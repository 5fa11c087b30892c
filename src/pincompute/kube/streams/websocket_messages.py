"""Receives the messages of a WebSocket to an API server, and sends and answers pings itself.

It leaves no pings to aiohttp, which drops everything it has read when a ping fails. It sends a ping only when nothing arrives:
a server that closes while a ping of ours is unread resets the connection, and with it goes what is still on its way to us.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp

PING_EVERY = 30.0  # seconds without a message after which the server is pinged, so that proxies do not take the stream for idle
SILENCE = 60.0  # seconds without a message, an answer to a ping included, after which a WebSocket is taken for broken


async def receive(socket: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMessage:
    silent = 0.0
    while True:
        try:
            async with asyncio.timeout(PING_EVERY):
                message = await socket.receive()
        except TimeoutError:
            silent += PING_EVERY
            if silent >= SILENCE:
                silence = TimeoutError(f"no sign of life for {SILENCE:.0f} s")
                return aiohttp.WSMessage(aiohttp.WSMsgType.ERROR, silence, None)
            with suppress(ConnectionError):
                await socket.ping()
            continue
        silent = 0.0
        if message.type is aiohttp.WSMsgType.PING:
            with suppress(ConnectionError):
                await socket.pong(message.data)
        elif message.type is not aiohttp.WSMsgType.PONG:
            return message

"""One connection to a port of a replica, as a WebSocket of binary messages: what one side says the other hears.

It ends when either side ends, and when the right to it is withdrawn.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from litestar.exceptions import WebSocketDisconnect

from pincompute.gateway.calls import Call
from pincompute.gateway.operation import sockets
from pincompute.gateway.operation.backend import Tunnel
from pincompute.gateway.operation.rights import Rights
from pincompute.gateway.operation.shells.sessions import End
from pincompute.gateway.operation.sockets import Socket
from pincompute.kube.errors import KubeError


async def run(socket: Socket, tunnel: Tunnel, call: Call, rights: Rights) -> End:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_in(socket, tunnel)),
            group.create_task(_out(socket, tunnel)),
            group.create_task(_guard(call, rights)),
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    end = next(iter(done)).result()
    with suppress(WebSocketDisconnect, RuntimeError, ConnectionError):
        await socket.close(end.code, sockets.reason(end.why))
    return end


async def _in(socket: Socket, tunnel: Tunnel) -> End:
    while True:
        try:
            message = await socket.receive()
            if message["type"] != "websocket.receive":
                return End(1001, "the user has gone")
            data = message.get("bytes")
            if data is None:
                return End(sockets.NOT_UNDERSTOOD, "messages must be binary")
            await tunnel.write(data)
        except WebSocketDisconnect:
            return End(1001, "the user has gone")
        except KubeError as error:
            return End(sockets.UPSTREAM, error.message)


async def _out(socket: Socket, tunnel: Tunnel) -> End:
    try:
        async for piece in tunnel.pieces():
            await socket.send_bytes(piece)
    except WebSocketDisconnect:
        return End(1001, "the user has gone")
    except KubeError as error:
        return End(sockets.UPSTREAM, error.message)
    return End(sockets.UPSTREAM, tunnel.trouble) if tunnel.trouble else End(1000)


async def _guard(call: Call, rights: Rights) -> End:
    return End(sockets.WITHDRAWN, await rights.until_ended(call))

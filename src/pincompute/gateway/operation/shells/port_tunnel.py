"""Connects a client's WebSocket to a port of a replica.

The connection ends when either side ends it, and when the caller's permission ends.
"""

from __future__ import annotations

from contextlib import suppress

from litestar.exceptions import WebSocketDisconnect

from pincompute.gateway.call_context import Call
from pincompute.gateway.middleware import close_reason
from pincompute.gateway.operation import user_websockets
from pincompute.gateway.operation.shells.shell_session import SessionEnd
from pincompute.gateway.operation.stream_permissions import StreamPermissions
from pincompute.gateway.operation.task_groups import first_of
from pincompute.gateway.operation.user_websockets import UserSocket
from pincompute.kube.api_errors import KubeError
from pincompute.kube.streams.pod_port_forward import PortForward


async def run(socket: UserSocket, tunnel: PortForward, call: Call, permissions: StreamPermissions) -> SessionEnd:
    end = await first_of(_in(socket, tunnel), _out(socket, tunnel), _until_permission_ends(call, permissions))
    with suppress(WebSocketDisconnect, RuntimeError, ConnectionError):
        await socket.close(end.code, close_reason(end.why))
    return end


async def _in(socket: UserSocket, tunnel: PortForward) -> SessionEnd:
    while True:
        try:
            message = await socket.receive()
            if message["type"] != "websocket.receive":
                return SessionEnd(1001, "the user has gone")
            data = message.get("bytes")
            if data is None:
                return SessionEnd(user_websockets.NOT_UNDERSTOOD, "messages must be binary")
            await tunnel.write(data)
        except WebSocketDisconnect:
            return SessionEnd(1001, "the user has gone")
        except KubeError as error:
            return SessionEnd(user_websockets.UPSTREAM, error.message)


async def _out(socket: UserSocket, tunnel: PortForward) -> SessionEnd:
    try:
        async for piece in tunnel.pieces():
            await socket.send_bytes(piece)
    except WebSocketDisconnect:
        return SessionEnd(1001, "the user has gone")
    except KubeError as error:
        return SessionEnd(user_websockets.UPSTREAM, error.message)
    return SessionEnd(user_websockets.UPSTREAM, tunnel.trouble) if tunnel.trouble else SessionEnd(1000)


async def _until_permission_ends(call: Call, permissions: StreamPermissions) -> SessionEnd:
    return SessionEnd(user_websockets.WITHDRAWN, await permissions.until_ended(call))

"""Connects a client's WebSocket to a port of a replica.

The connection ends when either side ends it, and when the caller's permission ends.
"""

from __future__ import annotations

from contextlib import suppress

from litestar.exceptions import WebSocketDisconnect

from pincompute.gateway.call_context import Call, ReplicaStream
from pincompute.gateway.middleware import close_reason
from pincompute.gateway.operation import user_websockets
from pincompute.gateway.operation.replica_streams import stream_record
from pincompute.gateway.operation.replica_streams.shell_session import GONE, SessionEnd, first_end, permission_end
from pincompute.gateway.operation.stream_permissions import StreamPermissions
from pincompute.gateway.operation.user_websockets import UserSocket
from pincompute.kube.streams.pod_port_forward import PortForward


async def run(socket: UserSocket, tunnel: PortForward, call: Call, permissions: StreamPermissions) -> SessionEnd:
    stream = call.stream
    async with stream_record.recorded_end(call, permissions):
        end = await first_end(_in(socket, tunnel, stream), _out(socket, tunnel, stream), permission_end(call, permissions))
        stream.ended = end.record
    with suppress(WebSocketDisconnect, RuntimeError, ConnectionError):
        await socket.close(end.code, close_reason(end.why))
    return end


async def _in(socket: UserSocket, tunnel: PortForward, stream: ReplicaStream) -> SessionEnd:
    while (message := await socket.receive())["type"] == "websocket.receive":
        data = message.get("bytes")
        if data is None:
            return SessionEnd(user_websockets.NOT_UNDERSTOOD, "messages must be binary")
        await tunnel.write(data)
        stream.bytes_in += len(data)
    return GONE


async def _out(socket: UserSocket, tunnel: PortForward, stream: ReplicaStream) -> SessionEnd:
    async for piece in tunnel.pieces():
        await socket.send_bytes(piece)
        stream.bytes_out += len(piece)
    return SessionEnd(user_websockets.UPSTREAM, unreached(tunnel.trouble, stream)) if tunnel.trouble else SessionEnd(1000)


def unreached(trouble: str, stream: ReplicaStream) -> str:
    """Returns why the port does not answer. A close frame is short, and the node's text begins with names of its machine."""
    if "refused" in trouble:
        return f"nothing listens on port {stream.port} of the replica"
    return trouble.rpartition(": ")[2] or trouble

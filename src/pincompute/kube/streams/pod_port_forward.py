"""Opens one connection to a port of a pod over `pods/portforward`.

Kubernetes' WebSocket protocol forwards one connection at a time and has no half-closed ones: when one side ends, both end.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp

from pincompute.api.builtin import PODS
from pincompute.api.meta import Key
from pincompute.kube.api_client import ApiClient
from pincompute.kube.streams import websocket_messages

PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_PORT = struct.Struct("<H")  # the first message of either channel repeats the port


@dataclass(slots=True)
class PortForward:
    """One forwarded connection. `trouble` is what the node said when it could not reach the port."""

    _socket: aiohttp.ClientWebSocketResponse
    trouble: str = field(default="", init=False)

    async def write(self, piece: bytes) -> None:
        """Sends bytes. What is written to a port that has just closed, or never was open, is lost, and `pieces` ends."""
        with suppress(ConnectionError):
            await self._socket.send_bytes(bytes((_DATA,)) + piece)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yields what the port sends, until either side ends."""
        greeted = set[int]()
        while True:
            message = await websocket_messages.receive(self._socket)
            if message.type is not aiohttp.WSMsgType.BINARY:
                return
            data: bytes = message.data
            if not data:
                continue
            channel = data[0]
            if channel not in greeted and len(data) == 1 + _PORT.size:
                greeted.add(channel)
            elif channel == _DATA and len(data) > 1:
                yield data[1:]
            elif channel == _ERROR:
                self.trouble += data[1:].decode(errors="replace")


@asynccontextmanager
async def open_port(client: ApiClient, pod: Key, port: int) -> AsyncGenerator[PortForward]:
    """Opens the connection. Raises a KubeError when the stream cannot be opened."""
    path = PODS.path(pod.namespace, pod.name, "portforward")
    async with client.websocket(path, [("ports", str(port))], PROTOCOL) as socket:
        yield PortForward(socket)

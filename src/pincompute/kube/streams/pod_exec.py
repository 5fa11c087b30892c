"""Runs a program in a container over `pods/exec`: input, output, terminal size and exit status.

async with pod_exec.run(client, key, ExecCommand(("sh",), container="web", tty=True)) as process:
    await process.write(b"ls\\n")
    async for channel, piece in process.output(): ...
    process.exit
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp

from pincompute.api.builtin import PODS
from pincompute.api.meta import Key
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import RequestInfo, Unreachable
from pincompute.kube.streams import channel_protocol, websocket_messages
from pincompute.kube.streams.channel_protocol import Channel, ExitStatus, TerminalSize


@dataclass(frozen=True, slots=True)
class ExecCommand:
    """A program with its arguments. With a `tty`, its error output comes as output as well."""

    argv: tuple[str, ...]
    container: str
    stdin: bool = False
    tty: bool = False


@dataclass(slots=True)
class ExecProcess:
    """A running program. `exit` is known once `output` has ended."""

    _socket: aiohttp.ClientWebSocketResponse
    _request: RequestInfo
    exit: ExitStatus = field(default=ExitStatus(None, "it has not ended"), init=False)

    async def write(self, piece: bytes) -> None:
        await self._send(channel_protocol.frame(Channel.STDIN, piece))

    async def end_input(self) -> None:
        await self._send(channel_protocol.end_of_input())

    async def resize(self, size: TerminalSize) -> None:
        await self._send(channel_protocol.resize(size))

    async def output(self) -> AsyncIterator[tuple[Channel, bytes]]:
        """Yields pieces of STDOUT and STDERR until the program has ended. Raises Unreachable when the stream breaks before."""
        self.exit = ExitStatus(None, "the stream ended before the program's status came")
        while True:
            message = await websocket_messages.receive(self._socket)
            if message.type is not aiohttp.WSMsgType.BINARY:
                self._ended(message)
                return
            data: bytes = message.data
            if not data or data[0] == Channel.CLOSE:
                continue
            if data[0] == Channel.STATUS:
                self.exit = channel_protocol.exit_of(data[1:])
                return
            if len(data) > 1:
                yield Channel(data[0]), data[1:]

    def _ended(self, message: aiohttp.WSMessage) -> None:
        """Ends the output. An orderly end without a status leaves `exit` unknown."""
        if message.type is aiohttp.WSMsgType.ERROR or self._socket.close_code not in (1000, 1001, 1005, None):
            why = self._socket.exception() or message.data or self._socket.close_code
            raise Unreachable(self._request, f"the stream broke: {why}")

    async def _send(self, data: bytes) -> None:
        """Sends bytes. What is written to a program that has just ended, or over a stream that broke, is lost: `output` gives
        what can still be read, and says how it ended.
        """
        with suppress(ConnectionError):
            await self._socket.send_bytes(data)


@asynccontextmanager
async def run(client: ApiClient, pod: Key, command: ExecCommand) -> AsyncGenerator[ExecProcess]:
    """Runs the program. Raises a KubeError when the stream cannot be opened; when the program cannot be started, its exit
    says so.
    """
    path = PODS.path(pod.namespace, pod.name, "exec")
    query = [
        ("container", command.container),
        ("stdin", _flag(command.stdin)),
        ("stdout", "true"),
        ("stderr", _flag(not command.tty)),
        ("tty", _flag(command.tty)),
        *(("command", part) for part in command.argv),
    ]
    async with client.websocket(path, query, channel_protocol.PROTOCOL) as socket:
        yield ExecProcess(socket, RequestInfo(client.name, "GET", path))


def _flag(value: bool) -> str:
    return "true" if value else "false"

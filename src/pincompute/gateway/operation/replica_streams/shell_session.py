"""Runs one shell from the first byte to the last, between the client's WebSocket and the program.

It ends when the program ends, when the client disconnects, when both sides are idle for too long, and within seconds of the
moment at which the permission ends (S-255, S-257).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from litestar.exceptions import WebSocketDisconnect

from pincompute.gateway.call_context import Call
from pincompute.gateway.middleware import close_reason
from pincompute.gateway.operation import user_websockets
from pincompute.gateway.operation.replica_streams import command_execution, stream_record
from pincompute.gateway.operation.replica_streams.shell_transcript import Transcript, TranscriptLost
from pincompute.gateway.operation.stream_permissions import StreamPermissions
from pincompute.gateway.operation.task_groups import first_of
from pincompute.gateway.operation.user_websockets import UserSocket
from pincompute.kube.api_errors import KubeError
from pincompute.kube.streams import channel_protocol
from pincompute.kube.streams.channel_protocol import Channel, ExitStatus, TerminalSize
from pincompute.kube.streams.pod_exec import ExecCommand, ExecProcess

LARGEST_SIDE = 1000  # characters of a terminal
IDLE_CHECK = 5.0  # seconds between two checks for idleness


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """Why a session ended: the close code, a sentence, and the program's exit when it ended by itself."""

    code: int
    why: str = ""
    exit: ExitStatus | None = None

    @property
    def record(self) -> str:
        """How the audit record and the transcript say it."""
        if self.code in (user_websockets.WITHDRAWN, user_websockets.RESTARTING):
            return f"cut: {self.why}"
        if self.exit is not None and self.exit.code is not None:
            return f"exit code {self.exit.code}"
        return self.why or (self.exit.message if self.exit is not None else "") or "the other side closed it"


GONE = SessionEnd(1001, stream_record.GONE)


async def first_end(*parts: Coroutine[Any, Any, SessionEnd]) -> SessionEnd:
    """Run the parts of a session until one ends. A client that disconnects and a replica that breaks off are ends too."""
    try:
        return await first_of(*parts)
    except WebSocketDisconnect:
        return GONE
    except KubeError as error:
        return SessionEnd(user_websockets.UPSTREAM, error.message)


async def permission_end(call: Call, permissions: StreamPermissions) -> SessionEnd:
    why = await permissions.until_cut(call)
    return SessionEnd(user_websockets.RESTARTING if permissions.stopping.is_set() else user_websockets.WITHDRAWN, why)


@dataclass(slots=True)
class ShellSession:
    """One shell. `idle` is in seconds. The first of its tasks that ends decides how the session ends."""

    socket: UserSocket
    process: ExecProcess
    command: ExecCommand
    call: Call
    permissions: StreamPermissions
    idle: float
    monotonic: Callable[[], float]
    transcript: Transcript | None = None
    _last_activity: float = field(init=False)

    def __post_init__(self) -> None:
        self._last_activity = self.monotonic()

    async def run(self) -> SessionEnd:
        parts = [self._input(), self._output(), permission_end(self.call, self.permissions), self._idle()]
        if self.transcript is not None:
            parts.append(self._record(self.transcript))
        async with stream_record.recorded_end(self.call, self.permissions, self.transcript):
            end = await first_end(*parts)
            self.call.stream.ended = end.record
            self.call.stream.exit_code = end.exit.code if end.exit is not None else None
        await self._close(end)
        return end

    async def _input(self) -> SessionEnd:
        while (message := await self.socket.receive())["type"] == "websocket.receive":
            self._last_activity = self.monotonic()
            end = await self._take(message.get("bytes"))
            if end is not None:
                return end
        return GONE

    async def _take(self, data: bytes | None) -> SessionEnd | None:
        if data is None:
            return SessionEnd(
                user_websockets.NOT_UNDERSTOOD, "messages must be binary, and begin with the byte of their channel"
            )
        if len(data) > user_websockets.LARGEST:
            return SessionEnd(user_websockets.TOO_LARGE, f"a message may have {user_websockets.LARGEST} bytes")
        return await self._pass_on(data)

    async def _pass_on(self, data: bytes) -> SessionEnd | None:
        match data[:1]:
            case b"":
                return None
            case b"\x00":
                await self.process.write(data[1:])
                self.call.stream.bytes_in += len(data) - 1
            case b"\x04":
                return await self._resize(data[1:])
            case b"\xff" if data[1:] == b"\x00":
                await self.process.end_input()
            case _:
                return SessionEnd(user_websockets.NOT_UNDERSTOOD, f"channel {data[0]} takes nothing from a client")
        return None

    async def _resize(self, payload: bytes) -> SessionEnd | None:
        try:
            size = msgspec.json.decode(payload, type=TerminalSize)
        except (msgspec.MsgspecError, RecursionError) as error:
            return SessionEnd(user_websockets.NOT_UNDERSTOOD, f"the size of the terminal: {error}")
        if not (0 < size.width <= LARGEST_SIDE and 0 < size.height <= LARGEST_SIDE):
            return SessionEnd(user_websockets.NOT_UNDERSTOOD, f"a terminal has 1 to {LARGEST_SIDE} columns and rows")
        await self.process.resize(size)
        if self.transcript is not None:
            self.transcript.resized(size)
        return None

    async def _output(self) -> SessionEnd:
        async for channel, piece in self.process.output():
            self._last_activity = self.monotonic()
            self.call.stream.bytes_out += len(piece)
            if self.transcript is not None:
                await self.transcript.output(piece)
            await self.socket.send_bytes(channel_protocol.frame(channel, piece))
        ended = self.process.exit
        words = command_execution.explained(ended, self.command.argv, self.command.container)
        return SessionEnd(1000, exit=ExitStatus(ended.code, words or ended.message))

    async def _idle(self) -> SessionEnd:
        while True:
            left = self._last_activity + self.idle - self.monotonic()
            if left <= 0:
                return SessionEnd(user_websockets.IDLE, f"nothing was said for {self.idle:.0f} s")
            await asyncio.sleep(min(IDLE_CHECK, left))

    async def _record(self, transcript: Transcript) -> SessionEnd:
        try:
            await transcript.run()
        except TranscriptLost as lost:
            return SessionEnd(user_websockets.FAILED, str(lost))
        raise AssertionError  # it runs until it is cancelled

    async def _close(self, end: SessionEnd) -> None:
        """Send the exit and close the socket, unless the client is already gone."""
        ended = end.exit or ExitStatus(None, end.why)
        with suppress(WebSocketDisconnect, RuntimeError, ConnectionError):
            await self.socket.send_bytes(channel_protocol.frame(Channel.STATUS, channel_protocol.status_of(ended)))
            await self.socket.close(end.code, close_reason(end.why))

"""One shell from the first byte to the last: the user's WebSocket on one side, the program on the other.

It ends when the program ends, when the user goes, when nothing was said for too long, and within seconds of the moment at
which the right to it is withdrawn (S-255, S-257).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from litestar.exceptions import WebSocketDisconnect

from pincompute.gateway.calls import Call
from pincompute.gateway.operation import sockets
from pincompute.gateway.operation.backend import Channel, Command, Exit, Process, Size
from pincompute.gateway.operation.rights import Rights
from pincompute.gateway.operation.shells import commands
from pincompute.gateway.operation.shells.transcripts import Transcript, TranscriptLost
from pincompute.gateway.operation.sockets import Socket
from pincompute.kube.errors import KubeError
from pincompute.kube.streams import channels

LARGEST_SIDE = 1000  # characters of a terminal
LOOK = 5.0  # seconds between looks at how long nothing was said


@dataclass(frozen=True, slots=True)
class End:
    """Why a session is over: the close code and a sentence; the program's exit when it ended by itself."""

    code: int
    why: str = ""
    exit: Exit | None = None


@dataclass(slots=True)
class Session:
    """`idle` is in seconds. An End is the result of the first of its parts to come to one."""

    socket: Socket
    process: Process
    command: Command
    call: Call
    rights: Rights
    idle: float
    monotonic: Callable[[], float]
    transcript: Transcript | None = None
    _heard: float = field(init=False)

    def __post_init__(self) -> None:
        self._heard = self.monotonic()

    async def run(self) -> End:
        parts = [self._input(), self._output(), self._guard(), self._idle()]
        if self.transcript is not None:
            parts.append(self._record(self.transcript))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        end = next(iter(done)).result()
        await self._close(end)
        return end

    async def _input(self) -> End:
        while True:
            try:
                message = await self.socket.receive()
            except WebSocketDisconnect:
                return End(1001, "the user has gone")
            if message["type"] != "websocket.receive":
                return End(1001, "the user has gone")
            self._heard = self.monotonic()
            end = await self._take(message.get("bytes"))
            if end is not None:
                return end

    async def _take(self, data: bytes | None) -> End | None:
        if data is None:
            return End(sockets.NOT_UNDERSTOOD, "messages must be binary, and begin with the byte of their channel")
        if len(data) > sockets.LARGEST:
            return End(sockets.TOO_LARGE, f"a message may have {sockets.LARGEST} bytes")
        try:
            return await self._pass_on(data)
        except KubeError as error:
            return End(sockets.UPSTREAM, error.message)

    async def _pass_on(self, data: bytes) -> End | None:
        match data[:1]:
            case b"":
                return None
            case b"\x00":
                await self.process.write(data[1:])
            case b"\x04":
                return await self._resize(data[1:])
            case b"\xff" if data[1:] == b"\x00":
                await self.process.end_input()
            case _:
                return End(sockets.NOT_UNDERSTOOD, f"channel {data[0]} takes nothing from a client")
        return None

    async def _resize(self, payload: bytes) -> End | None:
        try:
            size = msgspec.json.decode(payload, type=Size)
        except msgspec.MsgspecError as error:
            return End(sockets.NOT_UNDERSTOOD, f"the size of the terminal: {error}")
        if not (0 < size.width <= LARGEST_SIDE and 0 < size.height <= LARGEST_SIDE):
            return End(sockets.NOT_UNDERSTOOD, f"a terminal has 1 to {LARGEST_SIDE} columns and rows")
        await self.process.resize(size)
        if self.transcript is not None:
            self.transcript.resized(size)
        return None

    async def _output(self) -> End:
        try:
            async for channel, piece in self.process.output():
                self._heard = self.monotonic()
                if self.transcript is not None:
                    await self.transcript.output(piece)
                await self.socket.send_bytes(channels.frame(channel, piece))
        except KubeError as error:
            return End(sockets.UPSTREAM, error.message)
        except WebSocketDisconnect:
            return End(1001, "the user has gone")
        ended = self.process.exit
        words = commands.explained(ended, self.command.argv, self.command.container)
        return End(1000, exit=Exit(ended.code, words or ended.message))

    async def _guard(self) -> End:
        return End(sockets.WITHDRAWN, await self.rights.until_ended(self.call))

    async def _idle(self) -> End:
        while True:
            left = self._heard + self.idle - self.monotonic()
            if left <= 0:
                return End(sockets.IDLE, f"nothing was said for {self.idle:.0f} s")
            await asyncio.sleep(min(LOOK, left))

    async def _record(self, transcript: Transcript) -> End:
        try:
            await transcript.run()
        except TranscriptLost as lost:
            return End(sockets.FAILED, str(lost))
        raise AssertionError  # it runs until it is cancelled

    async def _close(self, end: End) -> None:
        """The user may have gone first; then there is nobody to be told."""
        ended = end.exit or Exit(None, end.why)
        if self.transcript is not None:
            self.transcript.ended(end.why or f"exit code {ended.code}")
            with suppress(TranscriptLost):
                await self.transcript.finish()
        with suppress(WebSocketDisconnect, RuntimeError, ConnectionError):
            await self.socket.send_bytes(channels.frame(Channel.STATUS, channels.status_of(ended)))
            await self.socket.close(end.code, sockets.reason(end.why))

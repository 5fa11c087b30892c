"""Attaches this terminal to a program in a replica: it sends keys and size, shows output, and returns the exit code.

It always restores the terminal's modes, also after a lost connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Generator
from typing import TYPE_CHECKING

from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import FAILURE
from pincompute_sdk.cli.output import terminal as screen
from pincompute_sdk.core import websocket
from pincompute_sdk.core.websocket import ProgramExit, ShellChannel, Socket

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from pincompute_sdk.async_client import AsyncClient

NO_PROGRAM = "name a program that is in the image; `pin logs` and `pin open` need none"
PIECE = 32 * 1024  # bytes read from our input at once
CLOSING = 5.0  # seconds for the server to say how it closes


async def run(using: AsyncClient, wanted: Socket, *, terminal: bool, reading: bool) -> int:
    """Until the program ends. Raises CommandError when the connection is lost or cut."""
    from websockets.exceptions import ConnectionClosed

    async with using:
        connection = await websocket.connect(using.state, using.context.ca, wanted)
        async with connection:
            if not reading:
                with contextlib.suppress(ConnectionClosed):  # what it said before is still read
                    await connection.send(websocket.end_of_input())
            with _raw() if terminal and sys.stdin.isatty() else contextlib.nullcontext():
                ended = await _attend(connection, terminal=terminal, reading=reading)
    return _code(ended)


async def _attend(connection: ClientConnection, *, terminal: bool, reading: bool) -> ProgramExit:
    """Input goes beside the output; when the output ends, input is not waited for. No task group: it would wrap errors."""
    beside = [asyncio.create_task(_input(connection))] if reading else []
    beside += [asyncio.create_task(_resizing(connection))] if terminal else []
    try:
        return await _output(connection)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _output(connection: ClientConnection) -> ProgramExit:
    from websockets.exceptions import ConnectionClosed

    streams = {ShellChannel.STDOUT: sys.stdout.buffer, ShellChannel.STDERR: sys.stderr.buffer}
    try:
        async for message in connection:
            unpacked = websocket.unpacked(message)
            if unpacked is None:
                continue
            channel, payload = unpacked
            if channel is ShellChannel.STATUS:
                return await _ended(connection, websocket.exit_of(payload))
            if channel in streams:
                streams[channel].write(payload)
                streams[channel].flush()
    except ConnectionClosed as error:
        raise _cut(error.rcvd.reason if error.rcvd else "") from error
    raise _cut(connection.close_reason or "")


async def _ended(connection: ClientConnection, ended: ProgramExit) -> ProgramExit:
    """A session that was cut has a status but no exit code; how it is closed tells it from a command that never began."""
    if ended.code is None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await connection.wait_closed()
        if connection.close_code not in (None, 1000):
            raise _cut(ended.message)
    return ended


async def _input(connection: ClientConnection) -> None:
    """Our input as it comes, one piece after another: the next is read when the connection has taken the one before."""
    from websockets.exceptions import ConnectionClosed

    descriptor = sys.stdin.fileno()
    with contextlib.suppress(ConnectionClosed):
        while piece := await _read(descriptor):
            await connection.send(websocket.frame(ShellChannel.STDIN, piece))
        await connection.send(websocket.end_of_input())


async def _read(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:  # a regular file or a device is always readable and cannot be waited for
        await asyncio.sleep(0)
        return os.read(descriptor, PIECE)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, PIECE)


async def _resizing(connection: ClientConnection) -> None:
    """The program learns the size at once, and whenever the window changes."""
    from websockets.exceptions import ConnectionClosed

    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        with contextlib.suppress(ConnectionClosed):
            while True:
                size = screen.size()
                await connection.send(websocket.size(size.columns, size.lines))
                await changed.wait()
                changed.clear()
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


@contextlib.contextmanager
def _raw() -> Generator[None]:
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)  # what was typed ahead is for the program
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _code(ended: ProgramExit) -> int:
    if ended.code is not None:
        return ended.code
    remedy = NO_PROGRAM if "has no program" in ended.message else "`pin status` shows whether the replica runs"
    raise CommandError("the command could not be run", reason=ended.message, remedy=remedy, code=FAILURE)


def _cut(reason: str) -> CommandError:
    why = reason or "the connection was closed"
    return CommandError(
        "the session was cut", reason=why, remedy="connect again; `pin whoami` shows whether you still have access"
    )

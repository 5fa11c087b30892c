"""Sends a command to a region's supervisor and reads its state: one JSON line each way over `<home>/supervisor.sock`.

The socket is reached through a descriptor of the home, because a socket's path may have 107 characters only.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from pincompute.region.process.program_runner import ProgramState

SOCKET = "supervisor.sock"
PROGRAMS = "programs.json"
STATE = "state.json"


Command: TypeAlias = Literal["status", "probe", "reload", "stop"]


class SupervisorCommand(msgspec.Struct, frozen=True):
    """`status` answers what is known. `probe` first asks every ready program whether it answers now. `reload` reads the wanted
    programs again and answers when what is not wanted has ended; `stop` answers when all has.
    """

    command: Command


class SupervisorState(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to every command, and the content of `<home>/state.json`."""

    pid: int
    programs: tuple[ProgramState, ...]
    error: str = ""


class NotRunning(Exception):  # noqa: N818 - a state of the world, not a fault
    """No supervisor answers for this home."""


@contextmanager
def socket_path(home: Path) -> Generator[str, None, None]:
    """A short path of the socket, valid inside the block."""
    descriptor = os.open(home, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def ask(home: Path, command: Command, deadline: float = 60.0) -> SupervisorState:
    """Send one command and wait for the answer."""
    try:
        with socket_path(home) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(deadline)
            connection.connect(path)
            connection.sendall(msgspec.json.encode(SupervisorCommand(command)) + b"\n")
            with connection.makefile("rb") as answer:
                line = answer.readline()
    except (FileNotFoundError, ConnectionError) as error:
        raise NotRunning(str(home)) from error
    if not line:
        raise NotRunning(str(home))
    return msgspec.json.decode(line, type=SupervisorState)

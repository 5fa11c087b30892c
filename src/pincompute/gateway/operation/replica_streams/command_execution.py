"""Runs one command in a replica to its end and returns its output and exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from pincompute.gateway import problems
from pincompute.gateway.operation.replica_access import ReplicaAccess, ReplicaPlace
from pincompute.gateway.operation.task_groups import single
from pincompute.gateway.problems import FieldError, Problem
from pincompute.kube.streams.channel_protocol import Channel, ExitStatus
from pincompute.kube.streams.pod_exec import ExecCommand, ExecProcess

LARGEST_OUTPUT = 1 << 20  # bytes kept of output, and of errors
LARGEST_INPUT = 1 << 20
MOST_WORDS = 1000
PIECE = 32 * 1024  # bytes written at a time
DEADLINE = 60.0  # seconds, unless the caller says otherwise
LONGEST = 3600.0

SHELL = ("/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash || exec sh")


class CommandResult(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`exitCode` is absent when the program could not be started; `message` then says why.

    Bytes of the output that are no text are replaced.
    """

    replica: str
    container: str
    stdout: str
    stderr: str
    exit_code: int | None = None
    message: str = ""
    truncated: bool = False


@dataclass(slots=True)
class CappedOutput:
    """The beginning of a program's output, and whether there was more."""

    limit: int = LARGEST_OUTPUT
    data: bytearray = field(default_factory=bytearray)
    truncated: bool = False

    def add(self, piece: bytes) -> None:
        room = self.limit - len(self.data)
        self.data += piece[:room]
        self.truncated = self.truncated or len(piece) > room

    @property
    def text(self) -> str:
        return self.data.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class CommandOutput:
    stdout: CappedOutput
    stderr: CappedOutput
    exit: ExitStatus


async def run(
    access: ReplicaAccess,
    place: ReplicaPlace,
    command: ExecCommand,
    given: bytes,
    seconds: float,
    passes: Callable[[bytes], Awaitable[None]],
) -> CommandOutput:
    """Run a command, and give every piece of its output to `passes` as it comes.

    Raises Problem when it takes longer, and the program then goes on alone. Raises KubeError.
    """
    stdout, stderr = CappedOutput(), CappedOutput()
    try:
        async with asyncio.timeout(seconds), access.exec(place, command) as process:
            with single():
                async with asyncio.TaskGroup() as group:
                    writing = group.create_task(_write(process, given))
                    async for channel, piece in process.output():
                        (stdout if channel is Channel.STDOUT else stderr).add(piece)
                        await passes(piece)
                    writing.cancel()
    except TimeoutError:
        said = f"; it said: {stdout.text[-200:]}" if stdout.data else ""
        raise Problem(
            "timeout", f"the command did not end within {seconds:.0f} s{said}", "give it more time, or open a shell"
        ) from None
    return CommandOutput(stdout, stderr, process.exit)


async def _write(process: ExecProcess, given: bytes) -> None:
    for start in range(0, len(given), PIECE):
        await process.write(given[start : start + PIECE])
    if given:
        await process.end_input()


def check(argv: tuple[str, ...], given: str, seconds: float) -> None:
    """Raises Problem."""
    wrong: list[FieldError] = []
    if not argv or not argv[0] or len(argv) > MOST_WORDS or any("\0" in word for word in argv):
        wrong.append(FieldError("command", f"a program and its arguments, at most {MOST_WORDS}", "is not a command"))
    if len(given.encode()) > LARGEST_INPUT:
        wrong.append(FieldError("stdin", f"at most {LARGEST_INPUT} bytes", "is larger; copy a file instead"))
    if not 0 < seconds <= LONGEST:
        wrong.append(FieldError("timeoutSeconds", f"more than 0 and at most {LONGEST:.0f}", f"is {seconds}"))
    if wrong:
        raise problems.invalid(*wrong)


def explained(ended: ExitStatus, argv: tuple[str, ...], container: str) -> str:
    """Why a program did not start, in shorter words than the runtime's."""
    if ended.code is None and is_missing(ended):
        return f"the image of container {container} has no program {argv[0]}"
    return "" if ended.code is not None else ended.message


def is_missing(ended: ExitStatus) -> bool:
    """Whether the program is missing in the image: runtimes say so in words, shells by exit code 127."""
    words = ("executable file not found", "no such file or directory")
    return ended.code == 127 or (ended.code in (None, 126) and any(word in ended.message for word in words))

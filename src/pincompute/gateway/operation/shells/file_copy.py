"""Files out of and into a replica, as tar streams through `tar` in its container.

The surprising rule: an answer begins only when the first bytes are there, so that "there is no tar" and "no such file" are
problems and not broken downloads; what goes wrong later breaks the transfer off, so that nobody takes a part for the whole.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pincompute.gateway import problems
from pincompute.gateway.operation.exception_groups import single
from pincompute.gateway.operation.replica_access import (
    Channel,
    ExecCommand,
    ExitStatus,
    ReplicaAccess,
    ReplicaPlace,
    ReplicaProcess,
)
from pincompute.gateway.operation.shells import command_execution, tar_streams
from pincompute.gateway.operation.shells.command_execution import CappedOutput
from pincompute.gateway.problems import FieldError, Problem

LONGEST_PATH = 4096
PACK = 'tar -c -f - -C "$1" -- "$2" && { read -r _; true; }'
"""The surprising end: a connection that its other side closes may lose what was not read yet, so the reader says when."""
LINGER = 10.0  # seconds in which the rest of a body is read that nobody wants any more
SILENCE = 60.0  # seconds without a byte after which a copy has failed


class Copied(msgspec.Struct, frozen=True, rename="camel"):
    """What was copied in: to which replica and folder, and how many bytes of the tar stream."""

    replica: str
    container: str
    path: str
    bytes: int


class CopyBroken(Exception):  # noqa: N818 - the transfer is over
    """What was sent is not all there is."""


def check_path(path: str) -> str:
    """Raises Problem for one that is not absolute, or climbs."""
    normal = posixpath.normpath(path) if path else ""
    if not path.startswith("/") or len(path) > LONGEST_PATH or "\0" in path or ".." in path.split("/"):
        raise problems.invalid((FieldError("path", "an absolute path without ..", f"{path[:200]!r} is not one"),))
    return "/" + normal.lstrip("/")


@dataclass(slots=True)
class Download:
    """`first` is there; the rest comes with `rest`, which raises CopyBroken when it is not all that there should be."""

    first: bytes
    _pieces: AsyncIterator[bytes]

    async def rest(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece


@asynccontextmanager
async def out_of(
    access: ReplicaAccess, place: ReplicaPlace, container: str, path: str, limit: int = tar_streams.LARGEST
) -> AsyncGenerator[Download]:
    """A tar stream of the file or folder. Raises Problem, KubeError."""
    folder, name = posixpath.split(path)
    argv = ("sh", "-c", PACK, "sh", folder, name or ".")
    async with access.exec(place, ExecCommand(argv, container, stdin=True)) as process:
        told = _TarOutput(process, container)
        pieces = told.pieces(tar_streams.Archive(limit))
        try:
            first = await anext(pieces, b"")
        except CopyBroken:
            first = b""
        if first and not first.strip(b"\0"):  # tar ends an archive of nothing with zeros
            await told.drain()
            first = b""
        if not first:
            raise told.problem(path)
        yield Download(first, pieces)


async def into(
    access: ReplicaAccess,
    place: ReplicaPlace,
    container: str,
    path: str,
    body: AsyncIterator[bytes],
    limit: int = tar_streams.LARGEST,
) -> int:
    """Unpacks a tar stream under the folder; gives its size. Raises Problem, KubeError. What came before a problem is there."""
    check = tar_streams.Incoming(limit)
    argv = ("tar", "-x", "-m", "-f", "-", "-C", path)
    async with access.exec(place, ExecCommand(argv, container, stdin=True)) as process:
        told = _TarOutput(process, container)
        with single():
            async with asyncio.TaskGroup() as group:
                ended = group.create_task(told.drain())
                sending = group.create_task(_send(process, check, body, ended))
                await asyncio.wait((ended, sending), return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait((sending,), timeout=LINGER)
                sending.cancel()
    if process.exit.code != 0:
        raise told.problem(path)
    return check.size


async def _send(
    process: ReplicaProcess, check: tar_streams.Incoming, body: AsyncIterator[bytes], ended: asyncio.Task[None]
) -> None:
    """What comes after tar has ended is read and left: a user who is still writing would not read why."""
    async for piece in body:
        check.feed(piece)
        for start in range(0, len(piece), command_execution.PIECE):
            await _unless(ended, process.write(piece[start : start + command_execution.PIECE]))
    if not ended.done():
        check.end()
        await process.end_input()


async def _unless(ended: asyncio.Task[None], write: Coroutine[Any, Any, None]) -> None:
    """Nobody reads what is written to a program that has ended, so the write would wait for ever."""
    if ended.done():
        write.close()
        return
    writing = asyncio.ensure_future(write)
    try:
        await asyncio.wait((writing, ended), return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            await writing
    finally:
        writing.cancel()


@dataclass(slots=True)
class _TarOutput:
    """What tar says while it works, and what that means."""

    process: ReplicaProcess
    container: str
    errors: CappedOutput = field(default_factory=lambda: CappedOutput(4096))

    async def pieces(self, archive: tar_streams.Archive) -> AsyncGenerator[bytes]:
        """All of the archive; tar's shell waits for the end of its input, which it gets when the archive is here."""
        output = self.process.output()
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    channel, piece = await anext(output)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise CopyBroken(f"nothing came for {SILENCE:.0f} s") from None
            if channel is not Channel.STDOUT:
                self.errors.add(piece)
                continue
            before = archive.whole
            archive.feed(piece)
            if archive.whole and not before:
                await self.process.end_input()
            yield piece
        if not archive.whole:
            raise CopyBroken(self.errors.text or self.process.exit.message)
        if self.process.exit.code != 0 and self.errors.data:
            raise CopyBroken(self.errors.text)

    async def drain(self) -> None:
        async for channel, piece in self.process.output():
            if channel is not Channel.STDOUT:
                self.errors.add(piece)

    def problem(self, path: str) -> Problem:
        return explained(self.process.exit, self.errors.text, self.container, path)


def explained(ended: ExitStatus, words: str, container: str, path: str) -> Problem:
    """Why tar did not do it."""
    if command_execution.is_missing(ended):
        return problems.wrong_state(
            f"the image of container {container} has no tar, through which files are copied",
            "use an image with tar, or put the files on a volume",
        )
    said = " ".join((words or ended.message).split())[:400]
    if "No such file" in said or "can't change directory" in said:
        return problems.not_found(f"file {path} in container {container} ({said})")
    return problems.wrong_state(f"tar in container {container} did not do it: {said}", "check the path and its permissions")

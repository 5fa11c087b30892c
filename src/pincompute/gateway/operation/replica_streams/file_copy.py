"""Copies files out of and into a replica as tar streams, through `tar` in its container.

A download begins only when its first bytes are there, so that a missing `tar` or file is a problem document and not a broken
download. A later failure breaks the transfer off, so that nobody takes a part for the whole.
"""

from __future__ import annotations

import asyncio
import posixpath
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pincompute.gateway import problems
from pincompute.gateway.operation.replica_access import ReplicaAccess, ReplicaPlace
from pincompute.gateway.operation.replica_streams import command_execution, tar_streams
from pincompute.gateway.operation.replica_streams.command_execution import CappedOutput
from pincompute.gateway.operation.task_groups import single
from pincompute.gateway.problems import FieldError, Problem
from pincompute.kube.streams.channel_protocol import Channel, ExitStatus
from pincompute.kube.streams.pod_exec import ExecCommand, ExecProcess

LONGEST_PATH = 4096
PACK = 'tar -c -f - -C "$1" -- "$2" && printf %s "$3" && { read -r _; true; }'
"""A trailer follows the archive. The shell then waits for the end of its input, because a connection that closes may lose
what was not read yet."""
LINGER = 10.0  # seconds in which the rest of a body is read that `tar` does not take any more
SILENCE = 60.0  # seconds without a byte after which a copy has failed


class CopyResult(msgspec.Struct, frozen=True, rename="camel"):
    """What was copied in: to which replica and folder, and how many bytes of the tar stream."""

    replica: str
    container: str
    path: str
    bytes: int


class CopyBroken(Exception):  # noqa: N818 - the transfer is over
    """What was sent is not all there is."""


def check_path(path: str) -> str:
    """Normalize a path. Raise Problem for one that is not absolute or contains `..`."""
    normal = posixpath.normpath(path) if path else ""
    if not path.startswith("/") or len(path) > LONGEST_PATH or "\0" in path or ".." in path.split("/"):
        raise problems.invalid(FieldError("path", "an absolute path without ..", f"{path[:200]!r} is not one"))
    return "/" + normal.lstrip("/")


@dataclass(slots=True)
class Download:
    """`first` is there; `rest` raises CopyBroken when it is not all that there should be."""

    first: bytes
    rest: AsyncIterator[bytes]


@asynccontextmanager
async def download(
    access: ReplicaAccess, place: ReplicaPlace, container: str, path: str, limit: int = tar_streams.LARGEST
) -> AsyncGenerator[Download]:
    """A tar stream of the file or folder. Raise Problem, KubeError."""
    folder, name = posixpath.split(path)
    trailer = make_trailer()
    argv = ("sh", "-c", PACK, "sh", folder, name or ".", trailer)
    async with access.exec(place, ExecCommand(argv, container, stdin=True)) as process:
        tar = _Tar(process, container)
        pieces = tar.archive(trailer.encode(), limit)
        try:
            first = await anext(pieces, b"")
        except CopyBroken:
            first = b""
        if first and not first.strip(b"\0"):  # tar ends an archive of nothing with zeros
            await tar.end()
            first = b""
        if not first:
            raise tar.problem(path)
        yield Download(first, pieces)


def make_trailer() -> str:
    """A text that no archive contains."""
    return secrets.token_hex()


async def upload(
    access: ReplicaAccess,
    place: ReplicaPlace,
    container: str,
    path: str,
    body: AsyncIterator[bytes],
    limit: int = tar_streams.LARGEST,
) -> int:
    """Unpack a tar stream under the folder; return its size. Raise Problem, KubeError. What came before a problem stays."""
    argv = ("tar", "-x", "-m", "-f", "-", "-C", path)
    async with access.exec(place, ExecCommand(argv, container, stdin=True)) as process:
        tar = _Tar(process, container)
        with single():
            async with asyncio.TaskGroup() as group:
                ended = group.create_task(tar.end())
                sending = group.create_task(tar.send(body, limit, ended))
                await asyncio.wait((ended, sending), return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait((sending,), timeout=LINGER)
                sending.cancel()
    if process.exit.code != 0:
        raise tar.problem(path)
    return sending.result()


@dataclass(slots=True)
class _Tar:
    """`tar` in a container: its archive, its errors, and what they mean."""

    process: ExecProcess
    container: str
    errors: CappedOutput = field(default_factory=lambda: CappedOutput(4096))

    async def archive(self, trailer: bytes, limit: int) -> AsyncGenerator[bytes]:
        """The output up to the trailer."""
        held, size, whole = b"", 0, False
        async for piece in self._stdout():
            size += len(piece)
            if size > limit:
                raise Problem("too-large", f"a copy may have {limit} bytes", "copy it in parts")
            held += piece
            whole = held.endswith(trailer)
            passed, held = held[: -len(trailer)], held[-len(trailer) :]
            if whole:
                await self.process.end_input()
            if passed:
                yield passed
        if not whole or (self.process.exit.code != 0 and self.errors.data):
            raise CopyBroken(self.errors.text or self.process.exit.message)

    async def send(self, body: AsyncIterator[bytes], limit: int, ended: asyncio.Task[None]) -> int:
        """Return the size of the body, which is read to its end although `tar` may have ended."""

        async def write(block: bytes) -> None:
            for start in range(0, len(block), command_execution.PIECE):
                await _unless(ended, self.process.write(block[start : start + command_execution.PIECE]))

        size = await tar_streams.repack(body, write, limit)
        if not ended.done():
            await self.process.end_input()
        return size

    async def end(self) -> None:
        async for channel, piece in self.process.output():
            if channel is not Channel.STDOUT:
                self.errors.add(piece)

    async def _stdout(self) -> AsyncIterator[bytes]:
        output = self.process.output()
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    channel, piece = await anext(output)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise CopyBroken(f"nothing came for {SILENCE:.0f} s") from None
            if channel is Channel.STDOUT:
                yield piece
            else:
                self.errors.add(piece)

    def problem(self, path: str) -> Problem:
        return _explain(self.process.exit, self.errors.text, self.container, path)


async def _unless(ended: asyncio.Task[None], write: Coroutine[Any, Any, None]) -> None:
    """A program that has ended reads nothing, so the write would never return."""
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


def _explain(ended: ExitStatus, words: str, container: str, path: str) -> Problem:
    if command_execution.is_missing(ended):
        return problems.wrong_state(
            f"the image of container {container} has no tar, through which files are copied",
            "use an image with tar, or put the files on a volume",
        )
    said = " ".join((words or ended.message).split())[:400]
    if "No such file" in said or "can't change directory" in said:
        return problems.not_found(f"file {path} in container {container} ({said})")
    return problems.wrong_state(f"tar in container {container} failed: {said}", "check the path and its permissions")

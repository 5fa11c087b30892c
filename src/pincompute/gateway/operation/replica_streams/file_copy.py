"""Copies files out of and into a replica as tar streams, through `tar` in its container.

A download begins only when its first bytes are there, so that a missing `tar` or file is a problem document and not a broken
download. A later failure breaks the transfer off, so that nobody takes a part for the whole.
"""

from __future__ import annotations

import asyncio
import posixpath
import re
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
PACK = (
    'h=; [ ! -h "$1/$2" ] || { [ -d "$1/$2" ] && set -- "$1" "$2/." "$3"; } || h=-h; '
    'tar -c $h -f - -C "$1" -- "$2" && printf %s "$3" && { read -r _; true; }'
)
"""A link that is named itself is followed, and links in a folder are not. A trailer follows the archive. The shell then waits
for the end of its input, because a connection that closes may lose what was not read yet."""
EPILOGUE = re.compile(r"Exiting with failure status due to previous errors|Error is not recoverable: exiting now")
UNPACK = ("tar", "-x", "-m", "-o", "-f", "-", "-C")
"""The files get the time of the copy, and belong to the container's own user, who may lack the right to give files away."""
IS_FOLDER = '[ -d "$1" ]'
KEPT = re.compile(r"Cannot (?:change mode|change ownership|utime)|Exiting with failure status due to previous errors")
"""What GNU tar says of a folder of another user that was there before: its files are copied, the folder stays as it is."""
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
        raise problems.invalid(FieldError("path", "an absolute path without ..", f"{path[:200]!r} is no absolute path"))
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
        pieces = tar.checked(tar_streams.named(name or "."), trailer.encode(), limit)
        try:
            first = await anext(pieces, b"")
        except CopyBroken:
            first = b""
        if not first.strip(b"\0"):  # tar ends an archive of nothing with zeros
            raise tar.problem(path)
        yield Download(first, pieces)


def make_trailer() -> str:
    """A text that no archive contains."""
    return secrets.token_hex()


@dataclass(frozen=True, slots=True)
class CopyTarget:
    """Where a copy goes: below a folder, and under another name of its top if `top` says one."""

    folder: str
    top: str = ""

    @property
    def path(self) -> str:
        return posixpath.join(self.folder, self.top)


async def target_of(access: ReplicaAccess, place: ReplicaPlace, container: str, path: str) -> CopyTarget:
    """The target of a file that is to be at a path: a folder that is there gets it inside. Raise KubeError, Problem."""
    argv = ("sh", "-c", IS_FOLDER, "sh", path)
    try:
        async with asyncio.timeout(SILENCE), access.exec(place, ExecCommand(argv, container)) as process:
            async for _ in process.output():
                pass
    except TimeoutError:
        raise stuck(container) from None
    return CopyTarget(path) if process.exit.code == 0 else CopyTarget(*posixpath.split(path))


async def upload(
    access: ReplicaAccess,
    place: ReplicaPlace,
    container: str,
    target: CopyTarget,
    body: AsyncIterator[bytes],
    limit: int = tar_streams.LARGEST,
) -> int:
    """Unpack a tar stream at the target; return its size. Raise Problem, KubeError. What came before a problem stays."""
    async with access.exec(place, ExecCommand((*UNPACK, target.folder), container, stdin=True)) as process:
        tar = _Tar(process, container)
        with single():
            async with asyncio.TaskGroup() as group:
                ended = group.create_task(tar.end())
                sending = group.create_task(tar.send(_alive(body), tar_streams.Passage(limit, target.top), ended))
                await asyncio.wait((ended, sending), return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait((sending,), timeout=LINGER)
                sending.cancel()
                await asyncio.wait((ended,), timeout=LINGER if tar.errors.data else SILENCE)
                unended = not ended.done()
                ended.cancel()  # the status of a program that ended before its input did may never come
    if unended and not tar.errors.data:
        raise stuck(container)
    if process.exit.code != 0 and not tar.kept_folders():
        raise tar.problem(target.path)
    return sending.result()


def stuck(container: str) -> Problem:
    detail = f"nothing moved for {SILENCE:.0f} s: a program in container {container} neither reads, nor writes, nor ends"
    return Problem("timeout", detail, "look at the disk and the processes of the replica; a part of the copy may be there")


async def _alive(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body of a client that goes on. Raise Problem when nothing comes for too long."""
    while True:
        try:
            async with asyncio.timeout(SILENCE):
                piece = await anext(body, None)
        except TimeoutError:
            remedy = "copy again; a part of the copy may be there"
            raise Problem("timeout", f"nothing of the archive came for {SILENCE:.0f} s", remedy) from None
        if piece is None:
            return
        yield piece


@dataclass(slots=True)
class _Tar:
    """`tar` in a container: its archive, its errors, and what they mean."""

    process: ExecProcess
    container: str
    errors: CappedOutput = field(default_factory=lambda: CappedOutput(4096))

    async def checked(self, check: tar_streams.Check, trailer: bytes, limit: int) -> AsyncGenerator[bytes]:
        """The archive, if it is a plain one of what was asked for. Raise CopyBroken, or Problem before its first piece."""
        begun = False
        try:
            async for piece in tar_streams.checked(self._archive(trailer, limit), check):
                yield piece
                begun = True
        except tar_streams.BadArchive as error:
            said = f"tar in container {self.container} did not write a plain archive: {error}"
            if begun:
                raise CopyBroken(said) from error
            raise problems.wrong_state(said, "look at the image's tar") from error

    async def _archive(self, trailer: bytes, limit: int) -> AsyncGenerator[bytes]:
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

    async def send(self, body: AsyncIterator[bytes], passage: tar_streams.Passage, ended: asyncio.Task[None]) -> int:
        """Return the size of the body, which is read to its end although `tar` may have ended. Raise Problem."""

        async def write(block: bytes) -> None:
            for start in range(0, len(block), command_execution.PIECE):
                writing = self.process.write(block[start : start + command_execution.PIECE])
                if not await _unless(ended, writing):
                    raise stuck(self.container)

        size = await tar_streams.repack(body, write, passage)
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

    def kept_folders(self) -> bool:
        """Whether all files are there, and only the mode of a folder of another user stays as it was."""
        lines = self.errors.text.splitlines()
        return bool(lines) and not self.errors.truncated and all(KEPT.search(line) for line in lines)

    def problem(self, path: str) -> Problem:
        return _explain(self.process.exit, self.errors.text, self.container, path)


async def _unless(ended: asyncio.Task[None], write: Coroutine[Any, Any, None]) -> bool:
    """Write unless the program has ended, because it reads nothing then; false when it does neither in time."""
    if ended.done():
        write.close()
        return True
    writing = asyncio.ensure_future(write)
    try:
        done, _ = await asyncio.wait((writing, ended), timeout=SILENCE, return_when=asyncio.FIRST_COMPLETED)
        if writing.done():
            await writing
        return bool(done)
    finally:
        writing.cancel()


def _explain(ended: ExitStatus, words: str, container: str, path: str) -> Problem:
    if command_execution.is_missing(ended):
        return problems.wrong_state(
            f"the image of container {container} has no tar, through which files are copied",
            "use an image with tar, or put the files on a volume",
        )
    lines = [line for line in (words or ended.message).splitlines() if not EPILOGUE.search(line)]
    said = " ".join(" ".join(lines).split())[:400]
    if "No such file" in said or "can't change directory" in said:
        remedy = "`pin exec NAME -- ls -l FOLDER` shows what is there; `pin exec NAME -- mkdir -p FOLDER` makes a folder"
        return Problem("no-such-file", f"{path} is not in container {container}, or its folder is not: {said}", remedy)
    if "Permission denied" in said or "Read-only file system" in said:
        remedy = "name a place that the user of the container may use, such as a volume"
        return problems.wrong_state(f"the user of container {container} may not use {path}: {said}", remedy)
    return problems.wrong_state(f"tar in container {container} failed: {said}", "check the path and its permissions")

"""Rewrites uploaded tar streams with `tarfile`, so that a replica gets only files and folders below the target.

`tarfile` works on files that block. It runs in a thread of its own, which awaits every block on the event loop.
"""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, Any, Self, TypeAlias, TypeVar, cast

from pincompute.gateway import problems
from pincompute.gateway.problems import Problem

LARGEST = 1 << 30  # bytes of one copy
LARGEST_HEADER = 1 << 20  # bytes between two members, which `tarfile` holds in memory: long names, extended headers
BLOCK = 256 * 1024  # bytes read and written at a time

T = TypeVar("T")
Write: TypeAlias = Callable[[bytes], Coroutine[Any, Any, None]]


async def repack(body: AsyncIterator[bytes], write: Write, limit: int = LARGEST) -> int:
    """Read the body to its end and write the checked archive; return the body's size. Raise Problem for a bad archive."""
    loop = asyncio.get_running_loop()
    stream = _BlockingStream(loop, body, write, limit)
    thread = ThreadPoolExecutor(1, "tar")  # the default pool has few threads, and a slow body would occupy one
    try:
        await loop.run_in_executor(thread, _repack, stream)
    finally:
        stream.cancel()
        thread.shutdown(wait=False)
    return stream.size


def _repack(stream: _BlockingStream) -> None:
    file = cast("IO[bytes]", stream)
    try:
        with (
            tarfile.open(fileobj=file, mode="r|", bufsize=BLOCK, tarinfo=_Member) as given,
            tarfile.open(fileobj=file, mode="w|", bufsize=BLOCK, format=tarfile.GNU_FORMAT) as checked,
        ):
            while (member := _next(given, stream)) is not None:
                _check(member)
                checked.addfile(member, given.extractfile(member))
                for archive in (given, checked):
                    archive.members.clear()  # type: ignore[attr-defined]  # it grows with every member
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        raise problems.malformed(f"the body is not a whole tar stream: {error}", "send what `tar -c` makes") from error
    while stream.read(BLOCK):  # a client that is still writing does not read the response
        pass


def _next(given: tarfile.TarFile, stream: _BlockingStream) -> tarfile.TarInfo | None:
    stream.room = LARGEST_HEADER
    member = given.next()
    stream.room = None
    return member


def _check(member: tarfile.TarInfo) -> None:
    name = member.name
    if name.startswith("/") or ".." in name.split("/") or not name:
        raise problems.malformed(f"{name[:200]!r} in the tar stream leads out of the folder it is copied to")
    if member.issparse() or not (member.isreg() or member.isdir()):
        raise problems.malformed(
            f"{name[:200]} is a link or a device; only files and folders are copied", "copy what it points to"
        )
    if member.isdir():
        member.size = 0  # another `tar` would skip so many bytes


class _Member(tarfile.TarInfo):
    """`tarfile` takes a broken header for the end of the archive. Here it is an error."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except _BROKEN as error:
            raise _ReadError(str(error)) from None


_tarfile: Any = tarfile
_BROKEN = (_tarfile.InvalidHeaderError, _tarfile.TruncatedHeaderError)
_ReadError = tarfile.ReadError


@dataclass(slots=True)
class _BlockingStream:
    """The file object of both archives. `room` limits what may be read now; None is without a limit."""

    loop: asyncio.AbstractEventLoop
    body: AsyncIterator[bytes]
    send: Write
    limit: int
    room: int | None = LARGEST_HEADER
    size: int = 0
    _rest: bytearray = field(default_factory=bytearray, init=False)
    _pending: Future[Any] | None = field(default=None, init=False)
    _cancelled: bool = field(default=False, init=False)

    def read(self, count: int) -> bytes:
        if self.room is not None:
            self.room -= count
            if self.room < 0:
                raise tarfile.ReadError(f"a header has more than {LARGEST_HEADER} bytes")
        while len(self._rest) < count and (piece := self._wait(self._piece())) is not None:
            self._rest += piece
        taken = bytes(self._rest[:count])
        del self._rest[:count]
        return taken

    def write(self, piece: bytes) -> int:
        self._wait(self.send(piece))
        return len(piece)

    def cancel(self) -> None:
        """End the thread, which would wait for a body or a replica that is gone."""
        self._cancelled = True
        if self._pending is not None:
            self._pending.cancel()

    async def _piece(self) -> bytes | None:
        piece = await anext(self.body, None)
        self.size += len(piece or b"")
        if self.size > self.limit:
            raise Problem("too-large", f"a copy may have {self.limit} bytes", "copy it in parts")
        return piece

    def _wait(self, step: Coroutine[Any, Any, T]) -> T:
        pending = self._pending = asyncio.run_coroutine_threadsafe(step, self.loop)
        if self._cancelled:
            pending.cancel()
        return pending.result()

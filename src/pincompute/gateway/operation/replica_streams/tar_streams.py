"""Checks tar streams on their way into and out of a replica, and writes them anew, so that both ends read the same archive.

Either end may be hostile. A stream is read header by header with bounded work, because `tarfile` holds and copies whatever
extended headers say. Compression, global headers and sparse files are refused.
"""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pincompute.gateway import problems
from pincompute.gateway.problems import Problem

LARGEST = 1 << 30  # bytes of one copy
MOST_MEMBERS = 100_000  # files and folders of one copy
LARGEST_EXTENSION = 64 * 1024  # bytes of the long names and extended headers of one member
MOST_EXTENSIONS = 16  # long names and extended headers of one member
PIECE = 256 * 1024  # bytes written at a time
HEADERS_AT_ONCE = 100  # headers read before other tasks get the event loop

LONG_NAME, LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
EXTENSIONS = (LONG_NAME, LONG_LINK, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
OTHERS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)

Write: TypeAlias = Callable[[bytes], Coroutine[Any, Any, None]]
Check: TypeAlias = Callable[[tarfile.TarInfo], None]
"""Raises BadArchive or Problem for a member that may not pass."""


class BadArchive(Exception):  # noqa: N818 - an answer
    """The stream is no plain tar archive, or has a member that may not pass. The message says what is wrong with it."""


def _files_below(member: tarfile.TarInfo) -> None:
    """Check of an upload: only files and folders below the target. Raise Problem."""
    name = member.name
    if name.startswith("/") or ".." in name.split("/") or not name:
        raise problems.malformed(f"{name[:200]!r} in the tar stream leads out of the folder it is copied to")
    if member.type in OTHERS:
        raise problems.malformed(
            f"{name[:200]} is a link or a device; only files and folders are copied", "copy what it points to"
        )


def named(root: str) -> Check:
    """Check of a download: only what was asked for, and what is below."""

    def check(member: tarfile.TarInfo) -> None:
        parts = [part for part in member.name.split("/") if part != "."]
        if member.name.startswith("/") or ".." in parts or (root != "." and parts[:1] != [root]):
            raise BadArchive(f"it holds {member.name[:200]!r}, which is not {root!r} or below it")

    return check


@dataclass(frozen=True, slots=True)
class Passage:
    """What an upload may hold, and the new name of its top; empty keeps the name."""

    limit: int = LARGEST
    top: str = ""

    def check(self, member: tarfile.TarInfo) -> None:
        """Check and rename a member. Raise Problem."""
        _files_below(member)
        if self.top:
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            member.name = "/".join((self.top, *parts[1:]))


async def repack(body: AsyncIterator[bytes], write: Write, passage: Passage = Passage()) -> int:
    """Read the body to its end and write the checked archive; return the body's size. Raise Problem for a bad archive."""
    stream = _Stream(body, passage.limit)
    try:
        async for piece in _checked(stream, passage.check):
            await write(piece)
    except BadArchive as error:
        raise problems.malformed(f"the body is not a plain tar stream: {error}", "send what `tar -c` makes") from error
    return stream.size


async def checked(body: AsyncIterator[bytes], check: Check) -> AsyncIterator[bytes]:
    """The archive, written anew. Raise BadArchive."""
    async for piece in _checked(_Stream(body), check):
        yield piece


async def _checked(stream: _Stream, check: Check) -> AsyncIterator[bytes]:
    """The archive in GNU format. Its first member comes at once, the rest in pieces."""
    made, size, enough = bytearray(), 0, 1
    async for member in _members(stream):
        check(member)
        made += member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        padded = member.size + -member.size % tarfile.BLOCKSIZE
        for start in range(0, padded or 1, PIECE):
            made += await stream.take(min(PIECE, padded - start))
            if len(made) >= enough:
                yield bytes(made)
                size, enough = size + len(made), PIECE
                made.clear()
    made += bytes(2 * tarfile.BLOCKSIZE)
    yield bytes(made) + bytes(-(size + len(made)) % tarfile.RECORDSIZE)


async def _members(stream: _Stream) -> AsyncIterator[tarfile.TarInfo]:
    """Each member; the caller takes its content and the padding behind it from the stream."""
    count, extension = 0, _Extension()
    while (member := await _header(stream)) is not None:
        if member.type in EXTENSIONS:
            content = await stream.take(extension.allow(member.size))
            await stream.take(-member.size % tarfile.BLOCKSIZE)
            extension.read(member.type, content)
            await asyncio.sleep(0)  # a large one takes milliseconds
            continue
        count += 1
        if count > MOST_MEMBERS:
            raise Problem("too-large", f"a copy may have {MOST_MEMBERS} files and folders", "copy it in parts")
        extension.apply(member)
        extension = _Extension()
        yield member


async def _header(stream: _Stream) -> tarfile.TarInfo | None:
    """The next header; None at the end of the archive, with the stream read to its end."""
    block = await stream.take(tarfile.BLOCKSIZE)
    if not block.strip(b"\0"):
        await stream.drain()
        return None
    stream.headers += 1
    if stream.headers % HEADERS_AT_ONCE == 0:
        await asyncio.sleep(0)
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise BadArchive(str(error)) from error
    if member.type not in (*EXTENSIONS, *FILES, *OTHERS, tarfile.DIRTYPE):
        raise BadArchive(f"it has a global header, a sparse file or another {member.type!r}")
    return member


@dataclass(slots=True)
class _Extension:
    """What long names and extended headers say about the next member."""

    name: str = ""
    link: str = ""
    size: int | None = None
    _count: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)

    def allow(self, size: int) -> int:
        """Check the size of a header before it is read."""
        self._count += 1
        self._bytes += size
        if size < 0 or self._count > MOST_EXTENSIONS or self._bytes > LARGEST_EXTENSION:
            raise BadArchive(f"a header has more than {LARGEST_EXTENSION} bytes or {MOST_EXTENSIONS} extensions")
        return size

    def read(self, kind: bytes, content: bytes) -> None:
        if kind == LONG_NAME:
            self.name = _text(content.partition(b"\0")[0])
        elif kind == LONG_LINK:
            self.link = _text(content.partition(b"\0")[0])
        else:
            for key, value in _records(content):
                self._record(key, value)

    def _record(self, key: bytes, value: bytes) -> None:
        if key.startswith(b"GNU.sparse"):
            raise BadArchive("it has a sparse file")
        if key == b"path":
            self.name = _text(value)
        elif key == b"linkpath":
            self.link = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > 12:
                raise BadArchive(f"a file has {_text(value[:20])!r} bytes")
            self.size = int(value)

    def apply(self, member: tarfile.TarInfo) -> None:
        """Complete the member's header; only a file has content, for which another `tar` might look behind a folder."""
        member.name = (self.name or member.name).rstrip("/") or member.name
        member.linkname = self.link or member.linkname
        size = member.size if self.size is None else self.size
        member.size = size if member.type in FILES else 0
        if size < 0 or "\0" in member.name or "\0" in member.linkname:
            raise BadArchive("a header is broken")


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of an extended header, `LENGTH KEY=VALUE` and a newline each."""
    at = 0
    while at < len(content) and content[at]:
        length = content[at : at + 6].partition(b" ")[0]
        end = at + int(length) if length.isdigit() and len(length) < 6 else 0
        key, equals, value = content[at + len(length) + 1 : end - 1].partition(b"=")
        if not at < end <= len(content) or not equals or content[end - 1 : end] != b"\n":
            raise BadArchive("an extended header is broken")
        yield key, value
        at = end


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


@dataclass(slots=True)
class _Stream:
    """The bytes that come; `size` counts them, `headers` what was read of them."""

    body: AsyncIterator[bytes]
    limit: int | None = None
    size: int = 0
    headers: int = 0
    _rest: bytearray = field(default_factory=bytearray, init=False)

    async def take(self, count: int) -> bytes:
        while len(self._rest) < count:
            if not await self._more():
                raise BadArchive("it is cut off")
        taken = bytes(self._rest[:count])
        del self._rest[:count]
        return taken

    async def drain(self) -> None:
        """A client that is still writing does not read the response."""
        self._rest.clear()
        while await self._more():
            self._rest.clear()

    async def _more(self) -> bool:
        piece = await anext(self.body, None)
        self.size += len(piece or b"")
        if self.limit is not None and self.size > self.limit:
            raise Problem("too-large", f"a copy may have {self.limit} bytes", "copy it in parts")
        self._rest += piece or b""
        return piece is not None

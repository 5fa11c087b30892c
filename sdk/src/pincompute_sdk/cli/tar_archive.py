"""Reads a tar archive that a container wrote, and unpacks the files and folders at and below one name.

The container may be hostile, so the archive is read header by header with bounded work. Compression, global headers and sparse
files are refused. Links are never made, and a file is written only below the destination.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

LARGEST = 1 << 30  # bytes of all files of an archive
MOST = 100_000  # members of an archive
LARGEST_EXTENSION = 64 * 1024  # bytes of the long names and extended headers of one member
MOST_EXTENSIONS = 16  # long names and extended headers of one member
BLOCK = 512
EXTENSIONS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
LEFT_OUT = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)


class ArchiveError(Exception):
    """The archive cannot be unpacked safely."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file, a folder, or what is left out; only a file has content."""

    name: str
    header: tarfile.TarInfo
    content: memoryview


def unpack(packed: bytes, name: str, top: Path) -> list[str]:
    """Write what the archive has as `name` to `top`, and what is below to below; return what was left out.

    Nothing is written before the whole archive is checked.
    """
    found = [(member, _below(member.name, name)) for member in members(packed)]
    left_out = [member.name for member, _ in found if member.header.type in LEFT_OUT]
    if len(found) == len(left_out):
        raise ArchiveError("it has no file or folder")
    top = top.resolve()
    for member, parts in found:
        place = _inside(top, top.joinpath(*parts))
        if member.header.isdir():
            place.mkdir(parents=True, exist_ok=True)
        elif member.header.type in FILES:
            _write(member, place)
    return left_out


def _below(name: str, root: str) -> tuple[str, ...]:
    """The parts of the name behind the root, which is empty for a whole file system."""
    parts = PurePosixPath(name).parts
    wanted = (root,) if root else ()
    if name.startswith("/") or "\0" in name or ".." in parts or parts[: len(wanted)] != wanted:
        raise ArchiveError(f"it holds {name[:200]!r}, which is not {root!r} or below it")
    return parts[len(wanted) :]


def _inside(top: Path, place: Path) -> Path:
    """The place, unless a link that was here before leads out."""
    if place != top and not place.parent.resolve().is_relative_to(top):
        raise ArchiveError(f"a link leads {place} out of {top}")
    return place


def _write(member: Member, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    mode = member.header.mode & 0o755 | 0o600
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb") as file:
        file.write(member.content)
    with contextlib.suppress(OverflowError, OSError):  # a time that this file system does not know
        os.utime(place, (member.header.mtime, member.header.mtime))


def members(packed: bytes) -> Iterator[Member]:
    """Raise ArchiveError for what is no plain archive, is cut off, or is too large."""
    archive, extension = _Bytes(memoryview(packed)), _Extension()
    total, count = 0, 0
    while (header := archive.header()) is not None:
        if header.type in EXTENSIONS:
            extension.add(header.type, archive.take(header.size, LARGEST_EXTENSION))
            continue
        size = extension.size if extension.size is not None else header.size
        count, total = count + 1, total + size
        if count > MOST or total > LARGEST:
            raise ArchiveError(f"it has more than {MOST} members or more than {LARGEST} bytes")
        if header.type not in (*FILES, *LEFT_OUT, tarfile.DIRTYPE):
            raise ArchiveError(f"it has a member of type {header.type!r}, which is no file, folder or link")
        content = archive.take(size, LARGEST) if header.type in FILES else memoryview(b"")
        yield Member(extension.name or header.name, header, content)
        extension = _Extension()


@dataclass(slots=True)
class _Bytes:
    view: memoryview
    at: int = 0

    def header(self) -> tarfile.TarInfo | None:
        """The next header; None at the end of the archive."""
        block = bytes(self.take(BLOCK, BLOCK))
        if not block.strip(b"\0"):
            return None
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise ArchiveError(f"it is no plain tar archive: {error}") from error
        return header

    def take(self, size: int, limit: int) -> memoryview:
        """So many bytes; the padding behind them is skipped."""
        if not 0 <= size <= limit:
            raise ArchiveError(f"it has a part of {size} bytes; {limit} are allowed")
        taken = self.view[self.at : self.at + size]
        if len(taken) < size:
            raise ArchiveError("it is cut off")
        self.at += -(-size // BLOCK) * BLOCK
        return taken


@dataclass(slots=True)
class _Extension:
    """What long names and extended headers say about the next member."""

    name: str = ""
    size: int | None = None
    _count: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)

    def add(self, kind: bytes, content: memoryview) -> None:
        self._count += 1
        self._bytes += len(content)
        if self._count > MOST_EXTENSIONS or self._bytes > LARGEST_EXTENSION:
            raise ArchiveError("it has a member with too many or too large extended headers")
        if kind == tarfile.GNUTYPE_LONGNAME:
            self.name = _text(bytes(content).partition(b"\0")[0]).rstrip("/")
        elif kind != tarfile.GNUTYPE_LONGLINK:
            for key, value in records(bytes(content)):
                self._record(key, value)

    def _record(self, key: bytes, value: bytes) -> None:
        if key.startswith(b"GNU.sparse"):
            raise ArchiveError("it has a sparse file")
        if key == b"path":
            self.name = _text(value).rstrip("/")
        elif key == b"size":
            if not value.isdigit() or len(value) > 12:
                raise ArchiveError(f"it has a file of {_text(value[:20])!r} bytes")
            self.size = int(value)


def records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of an extended header, `LENGTH KEY=VALUE` and a newline each."""
    at = 0
    while at < len(content) and content[at]:
        length = content[at : at + 6].partition(b" ")[0]
        end = at + int(length) if length.isdigit() and len(length) < 6 else 0
        key, equals, value = content[at + len(length) + 1 : end - 1].partition(b"=")
        if not at < end <= len(content) or not equals or content[end - 1 : end] != b"\n":
            raise ArchiveError("it has a broken extended header")
        yield key, value
        at = end


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")

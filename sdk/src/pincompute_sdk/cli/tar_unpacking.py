"""Reads a tar archive that a container wrote, and unpacks the files and folders at and below one name.

The container may be hostile, so the archive is read header by header with bounded work. Compression, global headers and sparse
files are refused. Links are never made, and a file is written only below the destination. A second name of a file in the same
archive, a hard link, becomes a file of its own.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pincompute_sdk.core import tar_headers
from pincompute_sdk.core.tar_headers import BLOCK, EXTENSIONS, FILES, LARGEST_EXTENSION, ArchiveError, Extension

LARGEST = 1 << 30  # bytes of all files of an archive
MOST = 100_000  # members of an archive
LEFT_OUT = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)


@dataclass(frozen=True, slots=True)
class Member:
    """A file, a folder, or what is left out; only a file has content, and only a link leads somewhere."""

    name: str
    header: tarfile.TarInfo
    content: memoryview
    link: str = ""


def unpack(packed: bytes, name: str, top: Path) -> list[str]:
    """Write what the archive has as `name` to `top`, and what is below to below; return what was left out.

    Nothing is written before the whole archive is checked.
    """
    found = [(member, _below(member.name, name)) for member in members(packed)]
    contents = _contents(found, name)
    left_out = [member.name for at, (member, _) in enumerate(found) if at not in contents and not member.header.isdir()]
    if len(found) == len(left_out):
        raise ArchiveError("it has no file or folder")
    top = top.resolve()
    for at, (member, parts) in enumerate(found):
        place = _inside(top, top.joinpath(*parts))
        if at in contents:
            _write(member, contents[at], place)
        elif member.header.isdir():
            place.mkdir(parents=True, exist_ok=True)
    return left_out


def _contents(found: Sequence[tuple[Member, tuple[str, ...]]], name: str) -> dict[int, memoryview]:
    """The content of each file by its position; a hard link has that of a file before it. Raises ArchiveError."""
    files, contents, total = dict[tuple[str, ...], memoryview](), dict[int, memoryview](), 0
    for at, (member, parts) in enumerate(found):
        content = member.content if member.header.type in FILES else _linked(member, name, files)
        if content is None:
            continue
        files[parts] = contents[at] = content
        total += len(content)
        if total > LARGEST:
            raise ArchiveError(f"it has files of more than {LARGEST} bytes, counted once for each name")
    return contents


def _linked(member: Member, name: str, files: Mapping[tuple[str, ...], memoryview]) -> memoryview | None:
    if member.header.type != tarfile.LNKTYPE:
        return None
    try:
        return files.get(_below(member.link, name))
    except ArchiveError:
        return None


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


def _write(member: Member, content: memoryview, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    mode = member.header.mode & 0o755 | 0o600
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb") as file:
        file.write(content)
    with contextlib.suppress(OverflowError, OSError):  # a time that this file system does not know
        os.utime(place, (member.header.mtime, member.header.mtime))


def members(packed: bytes) -> Iterator[Member]:
    """Raise ArchiveError for what is no plain archive, is cut off, or is too large."""
    archive, extension = _Bytes(memoryview(packed)), Extension()
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
        yield Member(extension.name or header.name, header, content, extension.link or header.linkname)
        extension = Extension()


@dataclass(slots=True)
class _Bytes:
    view: memoryview
    at: int = 0

    def header(self) -> tarfile.TarInfo | None:
        """The next header; None at the end of the archive."""
        return tar_headers.parse(bytes(self.take(BLOCK, BLOCK)))

    def take(self, size: int, limit: int) -> memoryview:
        """So many bytes; the padding behind them is skipped."""
        if not 0 <= size <= limit:
            raise ArchiveError(f"it has a part of {size} bytes; {limit} are allowed")
        taken = self.view[self.at : self.at + size]
        if len(taken) < size:
            raise ArchiveError("it is cut off")
        self.at += -(-size // BLOCK) * BLOCK
        return taken

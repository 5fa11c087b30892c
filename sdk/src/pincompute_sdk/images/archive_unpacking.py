"""Unpacks an archive of somebody else into a folder: regular files, folders, and links to files inside the archive.

The archive may be hostile. It is read header by header with bounded work, plain or compressed with gzip or bzip2. No link is
made on the disk before all files are there, and then only to one of these files, so no name leads out of the folder.
"""

from __future__ import annotations

import bz2
import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from pincompute_sdk.core import tar_headers
from pincompute_sdk.core.tar_headers import BLOCK, EXTENSIONS, FILES, LARGEST_EXTENSION, ArchiveError, Extension
from pincompute_sdk.images.image_errors import ImageError

MOST_BYTES = 64 << 30  # of all files together
MOST_MEMBERS = 100_000
ROOM = 0.9  # part of the free disk that an archive may take
_DEEPEST = 40  # links to links
_PIECE = 1 << 20
CUT_OFF = "it is cut off"
_REMEDY = "do not import an archive that you do not trust; otherwise save the image again"


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """What the archive has as `name`. `size` is that of a file."""

    name: str
    kind: bytes
    size: int
    link: str


@dataclass(slots=True)
class ArchiveStream:
    """An archive that is read once from its beginning."""

    source: BinaryIO
    _left: int = field(default=0, init=False)  # bytes of the present file that nobody has read, with its padding

    def members(self) -> Iterator[ArchiveMember]:
        """Raises ArchiveError."""
        extension = Extension()
        while (header := tar_headers.parse(self._take(BLOCK))) is not None:
            if header.type in EXTENSIONS:
                if not 0 <= header.size <= LARGEST_EXTENSION:
                    raise ArchiveError(f"it has a header of {header.size} bytes; {LARGEST_EXTENSION} are allowed")
                extension.add(header.type, memoryview(self._take(_padded(header.size))[: header.size]))
                continue
            size = extension.size if extension.size is not None else header.size
            if size < 0:
                raise ArchiveError(f"it has a file of {size} bytes")
            self._left = _padded(size) if header.type in (*FILES, tarfile.XGLTYPE) else 0
            if header.type != tarfile.XGLTYPE:  # what one says of all members means nothing here
                yield ArchiveMember(extension.name or header.name, header.type, size, extension.link or header.linkname)
            self._skip()
            extension = Extension()

    def copy(self, size: int, target: BinaryIO) -> None:
        """Writes the file of the member that came last."""
        while size:
            piece = self._take(min(size, _PIECE))
            target.write(piece)
            size, self._left = size - len(piece), self._left - len(piece)

    def _skip(self) -> None:
        while self._left:
            self._left -= len(self._take(min(self._left, _PIECE)))

    def _take(self, size: int) -> bytes:
        found = self.source.read(size)
        if len(found) < size:
            raise ArchiveError(CUT_OFF)
        return found


@dataclass(slots=True)
class ArchiveUnpacking:
    """One archive into the folder `target`, which is empty."""

    target: Path
    _files: set[PurePosixPath] = field(default_factory=set[PurePosixPath])
    _links: dict[PurePosixPath, PurePosixPath] = field(default_factory=dict[PurePosixPath, PurePosixPath])

    def run(self, archive: ArchiveStream) -> None:
        """Raises ImageError, ArchiveError for an archive that cannot be read, or what its compression raises."""
        for member in _bounded(archive, min(MOST_BYTES, int(shutil.disk_usage(self.target).free * ROOM))):
            path = _inside(PurePosixPath(), member.name, member.name)
            try:
                self._place(archive, member, path)
            except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
                raise ImageError(f"the archive has {member.name[:80]!r} twice", remedy=_REMEDY) from error
            except OSError as error:
                raise ImageError(
                    f"{member.name[:80]!r} in the archive cannot be written", reason=error.strerror or "", remedy=_REMEDY
                ) from error
        for path in self._links:
            self._link(path)

    def _place(self, archive: ArchiveStream, member: ArchiveMember, path: PurePosixPath) -> None:
        place = self.target / path
        if member.kind == tarfile.DIRTYPE or (member.kind in FILES and member.name.endswith("/")):
            place.mkdir(parents=True, exist_ok=True)
        elif member.kind == tarfile.SYMTYPE:
            self._links[path] = _inside(path.parent, member.link, member.name)
        elif member.kind == tarfile.LNKTYPE:
            self._links[path] = _inside(PurePosixPath(), member.link, member.name)
        elif member.kind in FILES:
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as written:
                archive.copy(member.size, written)
            self._files.add(path)
        else:
            raise ImageError(f"the archive has a device, a pipe or a sparse file, {member.name[:80]!r}", remedy=_REMEDY)

    def _link(self, path: PurePosixPath) -> None:
        """A second name of the file. A link to what is no file of the archive is left out, as nothing of an image needs it."""
        found = path
        for _ in range(_DEEPEST):
            if found not in self._links:
                break
            found = self._links[found]
        if found in self._files and path not in self._files:
            place = self.target / path
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.target / found, place)


def unpack(file: Path, target: Path) -> None:
    """Raises ImageError, ArchiveError for what is no archive, or what reading and decompressing raises."""
    with _opened(file) as source:
        ArchiveUnpacking(target).run(ArchiveStream(source))


def first_bytes(file: Path) -> tuple[bytes, str]:
    """The first block of what is in the file, as far as it can be read, and the name of its compression."""
    with suppress(EOFError, OSError, zlib.error), _opened(file) as source:
        return source.read(BLOCK), _compression(file)
    return b"", _compression(file)


def _compression(file: Path) -> str:
    with file.open("rb") as start:
        begin = start.read(3)
    return "gzip" if begin[:2] == b"\x1f\x8b" else "bzip2" if begin == b"BZh" else ""


def _opened(file: Path) -> BinaryIO:
    match _compression(file):
        case "gzip":
            return cast("BinaryIO", gzip.open(file))
        case "bzip2":
            return cast("BinaryIO", bz2.open(file))
        case _:
            return file.open("rb")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _bounded(archive: ArchiveStream, most: int) -> Iterator[ArchiveMember]:
    total = 0
    for number, member in enumerate(archive.members()):
        total += member.size if member.kind in FILES else 0
        if total > most or number >= MOST_MEMBERS:
            raise ImageError(
                f"the archive holds more than {most >> 20} MiB or {MOST_MEMBERS} files",
                remedy="free space on the disk, or save one image at a time",
            )
        yield member


def _inside(folder: PurePosixPath, name: str, shown: str) -> PurePosixPath:
    """The path below the archive's root."""
    parts = list(folder.parts)
    for part in name.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part == "..":
            raise _outside(shown)
        elif part not in ("", "."):
            parts.append(part)
    if name.startswith("/") or "\0" in name:
        raise _outside(shown)
    return PurePosixPath(*parts)


def _outside(name: str) -> ImageError:
    return ImageError(f"{name[:80]!r} in the archive leads out of it", remedy=_REMEDY)

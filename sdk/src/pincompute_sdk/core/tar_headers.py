"""Reads the headers of a tar archive of somebody else with bounded work: sizes, names and extended headers.

tarfile reads a long name or an extended header of any size into memory, and builds the map of a sparse file number by number.
So whoever unpacks what others packed reads the headers with this module, member by member.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

LARGEST_EXTENSION = 64 * 1024  # bytes of the long names and extended headers of one member
MOST_EXTENSIONS = 16  # long names and extended headers of one member
BLOCK = 512
EXTENSIONS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


class ArchiveError(Exception):
    """The archive cannot be unpacked safely."""


def parse(block: bytes) -> tarfile.TarInfo | None:
    """Returns the header in a block; None at the end of the archive. Raises ArchiveError."""
    if not block.strip(b"\0"):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise ArchiveError(f"it is no plain tar archive: {error}") from error


@dataclass(slots=True)
class Extension:
    """What long names and extended headers say about the next member."""

    name: str = ""
    link: str = ""
    size: int | None = None
    _count: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)

    def add(self, kind: bytes, content: memoryview) -> None:
        self._count += 1
        self._bytes += len(content)
        if self._count > MOST_EXTENSIONS or self._bytes > LARGEST_EXTENSION:
            raise ArchiveError("it has a member with too many or too large extended headers")
        if kind == tarfile.GNUTYPE_LONGNAME:
            self.name = text(bytes(content).partition(b"\0")[0]).rstrip("/")
        elif kind == tarfile.GNUTYPE_LONGLINK:
            self.link = text(bytes(content).partition(b"\0")[0])
        else:
            for key, value in records(bytes(content)):
                self._record(key, value)

    def _record(self, key: bytes, value: bytes) -> None:
        if key.startswith(b"GNU.sparse"):
            raise ArchiveError("it has a sparse file")
        if key == b"path":
            self.name = text(value).rstrip("/")
        elif key == b"linkpath":
            self.link = text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > 12:
                raise ArchiveError(f"it has a file of {text(value[:20])!r} bytes")
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


def text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")

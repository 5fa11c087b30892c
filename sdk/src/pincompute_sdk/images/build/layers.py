"""Writes layers of images. The same content gives the same bytes, whatever the times of the files and the machine's user."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, TypeAlias, cast

from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_manifest import LAYER, Descriptor

Kind: TypeAlias = Literal["file", "folder", "link"]
Owner: TypeAlias = tuple[int, int]  # user and group
ROOT: Owner = (0, 0)
TYPES = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
LEVEL = 6  # of compression


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """One file, folder or symbolic link. `path` is that in the image; `source` is the file here, whose bytes it gets."""

    path: PurePosixPath
    kind: Kind
    mode: int
    owner: Owner = ROOT
    source: Path | None = None
    target: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A compressed layer on this disk. `content` is the digest of its tar file before compression."""

    file: Path
    descriptor: Descriptor
    content: str


def entry(source: Path, path: PurePosixPath, owner: Owner | None = None) -> LayerEntry | None:
    """What is at `source`, as it is; links are not followed. None for a device, a socket or a pipe.

    Owners are kept, except that what belongs to the user who builds belongs to root: only there it would be another number.
    """
    found = source.lstat()
    belongs = owner or (_owner(found.st_uid, os.getuid()), _owner(found.st_gid, os.getgid()))
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return LayerEntry(path, "link", 0o777, belongs, target=str(source.readlink()))
    if stat.S_ISDIR(found.st_mode):
        return LayerEntry(path, "folder", mode, belongs)
    if stat.S_ISREG(found.st_mode):
        return LayerEntry(path, "file", mode, belongs, source=source)
    return None


def _owner(found: int, builder: int) -> int:
    return 0 if found == builder else found


def link(path: str, target: str) -> LayerEntry:
    return LayerEntry(PurePosixPath(path), "link", 0o777, target=target)


def write(target: Path, entries: Iterable[LayerEntry]) -> Layer:
    """A layer of these entries and of the folders above them; of two at one path, the later. Raises ImageError."""
    with target.open("wb") as file:
        return _compressed(target, file, lambda stream: _archive(stream, _complete(entries)))


def compress(archive: Path, target: Path) -> Layer:
    """A layer of a tar file."""
    with archive.open("rb") as source, target.open("wb") as file:
        return _compressed(target, file, lambda stream: _copy(source, stream))


class _Hashed:
    """Hashes what is written to a file."""

    def __init__(self, file: BinaryIO | gzip.GzipFile) -> None:
        self._file, self._hash, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _compressed(target: Path, file: BinaryIO, fill: Callable[[_Hashed], None]) -> Layer:
    packed = _Hashed(file)
    with gzip.GzipFile(filename="", mode="wb", fileobj=cast("BinaryIO", packed), mtime=0, compresslevel=LEVEL) as stream:
        plain = _Hashed(stream)
        fill(plain)
    return Layer(target, Descriptor(media_type=LAYER, digest=packed.digest, size=packed.size), plain.digest)


def _copy(source: BinaryIO, target: _Hashed) -> None:
    while piece := source.read(1 << 20):
        target.write(piece)


def _archive(stream: _Hashed, entries: list[LayerEntry]) -> None:
    with tarfile.open(fileobj=cast("BinaryIO", stream), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for each in entries:
            header = tarfile.TarInfo(str(each.path).lstrip("/"))
            header.type, header.mode, header.linkname = TYPES[each.kind], each.mode, each.target
            header.uid, header.gid = each.owner
            if each.source is None:
                archive.addfile(header)
                continue
            with each.source.open("rb") as data:
                header.size = os.fstat(data.fileno()).st_size
                archive.addfile(header, data)


def _complete(entries: Iterable[LayerEntry]) -> list[LayerEntry]:
    """Sorted, so that a folder stands before what is in it; folders that nobody describes belong to root."""
    found: dict[PurePosixPath, LayerEntry] = {}
    for each in entries:
        absolute = replace(each, path=PurePosixPath("/") / each.path)
        if absolute.path.name:
            found[absolute.path] = absolute
    for path in list(found):
        for parent in path.parents:
            above = found.get(parent)
            if above is not None and above.kind != "folder":
                raise ImageError(f"{path} cannot be in the image: {parent} is a {above.kind} there")
            if parent.name and above is None:
                found[parent] = LayerEntry(parent, "folder", 0o755)
    return [found[path] for path in sorted(found)]

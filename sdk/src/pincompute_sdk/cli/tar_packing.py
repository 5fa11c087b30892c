"""Packs a file or folder of this machine into a tar archive for `pin cp`.

A link that is named itself is followed. Links, pipes, sockets and devices in a folder are left out and returned by name.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from pincompute_sdk.cli import tar_unpacking
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive, and the names of what it lacks."""

    archive: bytes
    left_out: tuple[str, ...]


def pack(source: Path, name: str) -> Packed:
    """Pack the source under the name. Raises CommandError for what cannot be copied, OSError for what cannot be read."""
    made, allowance, left_out = io.BytesIO(), _PackingAllowance(), list[str]()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT, dereference=True) as archive:
        if source.is_dir():
            for folder, names, others in os.walk(source, onerror=_raise):
                names.sort()
                inside = name / Path(folder).relative_to(source)
                archive.addfile(allowance.take(archive.gettarinfo(folder, str(inside))))
                for child in sorted((*others, *(each for each in names if Path(folder, each).is_symlink()))):
                    if stat.S_ISREG(Path(folder, child).lstat().st_mode):
                        _add(archive, Path(folder, child), str(inside / child), allowance)
                    else:
                        left_out.append(str(Path(folder, child)))
        elif source.is_file():
            _add(archive, source, name, allowance)
        else:
            raise CommandError(f"{source} is no file or folder", remedy="copy a regular file or a folder", code=USAGE)
    return Packed(made.getvalue(), tuple(left_out))


def _add(archive: tarfile.TarFile, source: Path, name: str, allowance: _PackingAllowance) -> None:
    with source.open("rb") as file:
        member = allowance.take(archive.gettarinfo(arcname=name, fileobj=file))
        try:
            archive.addfile(member, file)
        except OSError as error:
            if error.filename is not None or error.errno is not None:
                raise
            raise CommandError(f"{source} changed while it was read", remedy="copy it again when nobody writes it") from error


def _raise(error: OSError) -> None:
    raise error


@dataclass(slots=True)
class _PackingAllowance:
    """What one copy may still hold, so that a large folder is refused before it is read."""

    count: int = field(default_factory=lambda: tar_unpacking.MOST)
    size: int = field(default_factory=lambda: tar_unpacking.LARGEST)

    def take(self, member: tarfile.TarInfo) -> tarfile.TarInfo:
        self.count, self.size = self.count - 1, self.size - member.size
        if self.count < 0 or self.size < 0:
            limits = f"{tar_unpacking.MOST} files and {tar_unpacking.LARGEST} bytes"
            raise CommandError(f"one copy has at most {limits}", remedy="copy it in parts", code=USAGE)
        return member

"""Writes layers of images: the same bytes for the same content, with the shared libraries that a program needs."""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

SECONDS = 10.0
LIBRARY = re.compile(r"^\s*(?:(?P<name>\S+) => )?(?P<path>/\S+|not found)")


class MissingLibrary(ValueError):  # noqa: N818 - reads as what it is
    """A program needs a shared library this machine does not have."""


def tree(source: Path, target: str) -> Iterator[tuple[str, Path]]:
    """The files that copying `source` to `target` puts into an image: path in the image, file here."""
    if not source.is_dir():
        yield target, source
        return
    for file in sorted(source.rglob("*")):
        if file.is_file():
            yield str(PurePosixPath(target) / file.relative_to(source).as_posix()), file


def identity(program: Path) -> bytes:
    """Changes when an installed program does, without reading it."""
    facts = program.stat()
    return f"{program} {facts.st_size} {facts.st_mtime_ns}\n".encode()


def libraries(program: Path) -> dict[str, Path]:
    """The shared libraries and the loader of a program; none for a static one or a script."""
    done = subprocess.run(("ldd", str(program)), capture_output=True, text=True, timeout=SECONDS, check=False)
    found: dict[str, Path] = {}
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        match = LIBRARY.match(line)
        if match is None:
            continue
        if match["path"] == "not found":
            raise MissingLibrary(f"{program} needs {match['name']}, which this machine does not have")
        found[match["path"]] = Path(match["path"])
    return found


def write(target: Path, content: Mapping[str, Path], links: Mapping[str, str]) -> Path:
    """A tar file with every file, link and folder in between, all owned by root and without times."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for folder in sorted({parent for path in (*content, *links) for parent in PurePosixPath(path).parents if parent.name}):
            archive.addfile(_entry(folder, tarfile.DIRTYPE, 0o755))
        for path, file in sorted(content.items()):
            entry = _entry(PurePosixPath(path), tarfile.REGTYPE, file.stat().st_mode & 0o777)
            entry.size = file.stat().st_size
            with file.open("rb") as data:
                archive.addfile(entry, data)
        for path, destination in sorted(links.items()):
            entry = _entry(PurePosixPath(path), tarfile.SYMTYPE, 0o777)
            entry.linkname = destination
            archive.addfile(entry)
    return target


def _entry(path: PurePosixPath, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(str(path).lstrip("/"))
    entry.type, entry.mode = kind, mode
    return entry

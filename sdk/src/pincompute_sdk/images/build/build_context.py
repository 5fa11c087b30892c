"""Reads the files of a folder that go into an image: without those that `.dockerignore` names, and never through a link.

A folder may come from somebody else. A link stays a link, so that nothing outside the folder gets into an image.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pincompute_sdk.images.build import ignore_rules
from pincompute_sdk.images.build.ignore_rules import IgnoreRules
from pincompute_sdk.images.image_errors import ImageError

LARGEST = 2 << 30  # bytes of all files, unless the user allows more
MOST = 200_000  # files
EVERY = 2_000  # files between two reports
UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
HERE = PurePosixPath()


@dataclass(frozen=True, slots=True)
class ContextFile:
    """A file, folder or link; `path` is relative to the folder."""

    path: PurePosixPath
    source: Path


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What of a folder goes into an image. `warnings` are sentences for the user."""

    folder: Path
    files: tuple[ContextFile, ...]
    size: int
    warnings: tuple[str, ...] = ()


def rules(folder: Path, before: Iterable[str] = ()) -> IgnoreRules:
    """Those of the folder's `.dockerignore`, after `before`."""
    file = folder / ignore_rules.FILE
    return ignore_rules.parse(file.read_text("utf-8", "replace") if file.is_file() else "", before)


def read(
    folder: Path,
    ignored: IgnoreRules,
    largest: int = LARGEST,
    progress: Callable[[int, int], None] = lambda _files, _size: None,
    start: PurePosixPath = HERE,
) -> BuildContext:
    """What is in the folder, or in `start` below it. `progress` learns the number of files and their bytes.

    Raises ImageError for a folder that is too large.
    """
    found: list[ContextFile] = []
    sizes: dict[str, int] = {}
    warnings: list[str] = []
    for each in _walk(folder, start, ignored):
        kept, warning = _judged(folder, each)
        warnings += [warning] if warning else []
        if kept:
            found.append(each)
            top = each.path.parts[0]
            sizes[top] = sizes.get(top, 0) + _size(each.source)
        if len(found) % EVERY == 0:
            progress(len(found), sum(sizes.values()))
    size = sum(sizes.values())
    progress(len(found), size)
    check_size(folder, len(found), sizes, largest)
    return BuildContext(folder, tuple(found), size, tuple(warnings))


def check_size(folder: Path, count: int, sizes: Mapping[str, int], largest: int) -> None:
    """Raises ImageError for more files or bytes than an image may have. `sizes` are the bytes of each part."""
    size = sum(sizes.values())
    if size > largest or count > MOST:
        raise _too_large(folder, count, size, largest, sizes)


def counted(files: int) -> str:
    """Returns `1 file` or `3 files`."""
    return f"{files} file{'' if files == 1 else 's'}"


def megabytes(size: int) -> str:
    """Returns `, 3.4 MB` for the end of a sentence about files; nothing for what rounds to 0.0."""
    return f", {size / 1e6:.1f} MB" if size >= 50_000 else ""


def inside(folder: Path, source: Path) -> Path:
    """The file that a name stands for, when it is in the folder. Raises ImageError for one outside, also by a link."""
    real = source.resolve()
    if not real.is_relative_to(folder.resolve()):
        raise ImageError(
            f"{source} is outside {folder}", remedy="copy it into the folder: an image is made of its folder alone"
        )
    return real


def _walk(folder: Path, path: PurePosixPath, ignored: IgnoreRules) -> Iterator[ContextFile]:
    """A folder before what is in it, sorted by name. A folder that is kept only for a file in it comes with that file."""
    with os.scandir(folder / path) as listing:
        names = sorted((each.name, each.is_dir(follow_symlinks=False)) for each in listing)
    for name, is_folder in names:
        at = path / name
        if not ignored.ignores(at):
            yield ContextFile(at, folder / at)
        if is_folder and not ignored.prunes(at):
            yield from _walk(folder, at, ignored)


def _judged(folder: Path, each: ContextFile) -> tuple[bool, str]:
    """Whether it goes into the image, and what to tell the user."""
    source = each.source
    if source.is_symlink():
        target = source.readlink()
        leads = Path(os.path.normpath(source.parent / target))
        if target.is_absolute() or not leads.is_relative_to(folder):
            return True, f"{each.path} is a link to {target}, outside the folder: the image gets the link, not the file"
        return True, ""
    if not (source.is_file() or source.is_dir()):
        return False, f"{each.path} is left out: it is neither a file, a folder nor a link"
    return True, ""


def _size(source: Path) -> int:
    return 0 if source.is_symlink() or source.is_dir() else source.stat().st_size


def _too_large(folder: Path, count: int, size: int, largest: int, sizes: Mapping[str, int]) -> ImageError:
    top = sorted(sizes, key=lambda name: -sizes[name])[:3]
    most = ", ".join(f"{name} ({_shown(sizes[name])})" for name in top)
    allowed = f"at most {MOST} files with {_shown(largest)} are allowed"
    reason = f"it has {counted(count)} with {_shown(size)}; {allowed}; the largest: {most}"
    remedy = f"name what the image does not need in {folder / ignore_rules.FILE}, or allow more with --max-size"
    return ImageError(f"{folder} is too large for an image", reason=reason, remedy=remedy)


def _shown(size: int) -> str:
    """Returns bytes in the unit that leaves a number before the point."""
    unit, name = next((each for each in UNITS if size >= each[0]), (1, "bytes"))
    return f"{size / unit:.1f} {name}" if unit > 1 else f"{size} {name}"

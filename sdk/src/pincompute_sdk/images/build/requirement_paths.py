"""Finds the files and folders that requirements name, and refuses those outside the project's folder, with the line.

pip runs inside the base and sees the project alone. What lies elsewhere on this machine would be missing there, and must not
get into an image unnoticed. A list at an address could change without the cache of dependencies knowing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pincompute_sdk.images.image_errors import ImageError

REMEDY = "copy it into the project's folder and name it there, relative to the folder"
_CONTINUED = re.compile(r"\\\n")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_OPTION = re.compile(
    r"(?:-(?P<short>[rcef])\s*=?|--(?P<long>requirement|constraint|editable|find-links)(?:\s+|=))\s*(?P<place>\S+)"
)
_LISTS = frozenset({"r", "c", "requirement", "constraint"})
_DIRECT = re.compile(r"^[\w.\-]+\s*(?:\[[^\]]*\])?\s*@\s*(?P<place>\S+)")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
_ADDRESS = re.compile(r"^(?:[a-z]+\+)?[a-z][a-z0-9]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NamedPlace:
    """A place that a line names. `is_list`: it is another list of requirements."""

    line: str
    place: str
    is_list: bool = False


def lists(folder: Path, file: str, text: str) -> Iterator[str]:
    """Yields the lists of requirements that a list includes, relative to the folder. Raises ImageError for what is outside."""
    for number, found in _named(text):
        start = Path(file).parent if found.is_list else Path()
        if (found.is_list and _is_remote(found.place)) or not _is_inside(folder, start, found.place):
            raise _outside(f"{file}, line {number}", found.line)
        if found.is_list:
            yield str(start / _path(found.place))


def local(text: str) -> Iterator[str]:
    """Yields the files and folders of the project from which the lines install, relative to its folder."""
    for _, found in _named(text):
        if not found.is_list and not _is_remote(found.place):
            yield os.path.normpath(_path(found.place))


def check(folder: Path, where: str, requirements: Iterable[str]) -> None:
    """Raises ImageError for a requirement that is outside the folder; `where` says where it stands."""
    for requirement in requirements:
        for _, found in _named(requirement):
            if not _is_inside(folder, Path(), found.place):
                raise _outside(where, found.line)


def _named(text: str) -> Iterator[tuple[int, NamedPlace]]:
    """Yields the number of each line that names a place. Lines that end in a backslash go on."""
    number = 1
    for joined in re.split(r"(?<!\\)\n", text):
        line = _COMMENT.sub("", _CONTINUED.sub(" ", joined)).strip()
        if found := _place(line):
            yield number, found
        number += joined.count("\n") + 1


def _place(line: str) -> NamedPlace | None:
    if option := _OPTION.match(line):
        return NamedPlace(line, _plain(option["place"]), (option["short"] or option["long"]) in _LISTS)
    if line.startswith("-"):
        return None
    place = _plain(direct["place"] if (direct := _DIRECT.match(line)) else line.partition(";")[0].split(" ", 1)[0])
    is_path = place.startswith((".", "~", "file:")) or "/" in place or place.endswith(_ARCHIVES)
    return NamedPlace(line, place) if is_path else None


def _plain(place: str) -> str:
    """The place without quotes, extras, and what follows a hash."""
    return place.strip("\"'").partition("#")[0].partition("[")[0]


def _is_remote(place: str) -> bool:
    return _ADDRESS.match(place) is not None and not place.startswith("file:")


def _is_inside(folder: Path, start: Path, place: str) -> bool:
    """Tells whether it is in the folder, also by links, or elsewhere in the network. A path from the root is not: there is
    another root where pip runs.
    """
    if _is_remote(place):
        return True
    path = _path(place)
    if path.is_absolute() or place.startswith("~"):
        return False
    return (folder / start / path).resolve().is_relative_to(folder.resolve())


def _path(place: str) -> Path:
    return Path(unquote(urlsplit(place).path) if place.startswith("file:") else place)


def _outside(where: str, line: str) -> ImageError:
    return ImageError(f"{where}: `{line}` is not in the project's folder", remedy=REMEDY)

"""Understands the names that kubelet and the container runtime give to folders and files of logs. It does no I/O.

    <namespace>_<pod>_<uid>/<container>/<restart>.log                   what is written now
    <namespace>_<pod>_<uid>/<container>/<restart>.log.<time>[.gz]       what was rotated; the time sorts
    <namespace>_<pod>_<uid>/<container>/<restart>.log.<number>          what logrotate rotated; the greatest is the oldest

Only names of these forms are read: others are not from kubelet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_POD = re.compile(
    rf"(?P<namespace>{_LABEL})_(?P<pod>[a-z0-9](?:[-a-z0-9.]{{0,251}}[a-z0-9])?)_(?P<uid>[0-9a-zA-Z](?:[0-9a-zA-Z-]{{0,63}}))"
)
_CONTAINER = re.compile(_LABEL)
_LOG_FILE = re.compile(r"(?P<restart>\d{1,9})\.log(?:\.(?P<rotated>\d{1,3}|\d{8}-\d{6})(?P<zip>\.gz)?)?")


@dataclass(frozen=True, slots=True)
class PodFolder:
    """The folder of a pod's logs. The project is the namespace, because a project's namespace has its name."""

    project: str
    pod: str
    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class LogFileName:
    """A file of a container's log."""

    name: str
    restart: int
    order: tuple[int, int, str]
    zipped: bool

    @property
    def rotated(self) -> bool:
        return self.order[0] != _NOW

    @property
    def complete(self) -> bool:
        """Returns whether nothing is written to it any more. A runtime writes on to a renamed file until it opens another."""
        return self.zipped or self.order[0] == _NUMBERED


_NUMBERED, _TIMED, _NOW = range(3)


def pod_folder(name: str) -> PodFolder | None:
    """Returns whose folder it is; None for a name that kubelet would not give."""
    found = _POD.fullmatch(name)
    return None if found is None else PodFolder(found["namespace"], found["pod"], found["uid"], name)


def is_container(name: str) -> bool:
    return _CONTAINER.fullmatch(name) is not None


def log_files(names: Iterable[str]) -> list[LogFileName]:
    """Returns the files of a container's log, the oldest first."""
    found = (_log_file(name) for name in names)
    return sorted((each for each in found if each is not None), key=lambda each: (each.restart, each.order))


def _log_file(name: str) -> LogFileName | None:
    found = _LOG_FILE.fullmatch(name)
    if found is None:
        return None
    rotated = found["rotated"]
    if rotated is None:
        order = (_NOW, 0, "")
    elif "-" in rotated:
        order = (_TIMED, 0, rotated)
    else:
        order = (_NUMBERED, -int(rotated), "")
    return LogFileName(name, int(found["restart"]), order, found["zip"] is not None)

"""Writes the logs of containers to a folder for each project, in numbered files, and drops the oldest where there are too many.

    <project>/<pod>_<uid>/<container>/<number>.log
    <project>/absent                                  since its time, no container of the project is on the node

Limits hold for each container, for each project and for all together, in bytes and in containers. What is beyond the limit of
all goes from the project that takes most, so no project displaces another that takes less. Every file counts at least one block
and every container its folders and its position, so that those that are nearly empty are bounded as well.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pincompute.daemons.log_shipper import container_position
from pincompute.daemons.log_shipper.container_position import ContainerPosition

POSITION = "position.json"
NEW_POSITION = "position.json.new"
ABSENT = "absent"
BLOCK = 4096  # bytes that a file takes at least
CONTAINER = 4 * BLOCK  # bytes that a container takes beside its files: the folders of its pod and its own, and two positions
MIN_FREE_INODES = 10_000  # or 5 % of a file system that has few
MODE = 0o640

_NUMBER = re.compile(r"(\d{8})\.log")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class OutputFull(OSError):  # noqa: N818 - it says what the output is
    """The output takes no more now: the disk is full or refuses."""


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """Bounds of the output, in bytes but for the last two, which count the containers that are kept of a project and in all.

    `file` is the size of one file; `min_free` is what the file system keeps free for others.
    """

    file: int = 10 << 20
    container: int = 50 << 20
    project: int = 200 << 20
    total: int = 1 << 30
    min_free: int = 256 << 20
    project_containers: int = 1000
    containers: int = 4000


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """What a file system has left. `inodes_needed` is 0 where it has no bound on them."""

    size: int
    inodes: int
    inodes_needed: int

    def missing(self, min_free: int) -> str:
        """Returns what the output lacks, in words; empty when it has room."""
        if self.size < min_free:
            return f"the disk has {self.size} bytes free, and --min-free keeps {min_free}"
        if self.inodes < self.inodes_needed:
            return f"the disk has {self.inodes} inodes free, and {self.inodes_needed} are kept"
        return ""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file of the output, by its container's folder below the root and its number."""

    folder: PurePosixPath
    number: int

    @property
    def project(self) -> str:
        return self.folder.parts[0]

    @property
    def path(self) -> PurePosixPath:
        return self.folder / f"{self.number:08d}.log"


@dataclass(slots=True)
class _Container:
    """Sizes of a container's files by their numbers, the oldest first."""

    files: dict[int, int] = field(default_factory=dict[int, int])
    size: int = 0


@dataclass(slots=True)
class _Project:
    """What is kept of a project: its containers and its files, those that were written longest ago first."""

    containers: OrderedDict[PurePosixPath, _Container] = field(default_factory=OrderedDict[PurePosixPath, _Container])
    files: OrderedDict[OutputFile, None] = field(default_factory=OrderedDict[OutputFile, None])
    size: int = 0

    def oldest(self) -> OutputFile | None:
        return next(iter(self.files), None)


Dropped = Callable[[str, str, int], None]
"""Is told what was dropped: the project, the limit, and the bytes."""


@dataclass(slots=True)
class OutputStore:
    """The output below `root`. The position of a container that is not on the node any more goes with its last file."""

    root: Path
    limits: OutputLimits
    dropped: Dropped
    total: int = 0
    absent: dict[str, float] = field(default_factory=dict[str, float])
    _live: AbstractSet[PurePosixPath] = frozenset()
    _count: int = 0
    _projects: dict[str, _Project] = field(default_factory=dict[str, _Project])

    def recover(self, live: AbstractSet[PurePosixPath]) -> None:
        """Takes stock of what is there, also of what was written after a position was kept: the next append takes it back.

        It takes a project after the other and drops what is beyond the limits, so its memory is bounded whatever is there.
        """
        self._live = live
        for project in sorted(path.name for path in self.root.iterdir() if path.is_dir()):
            for folder in _containers(self.root, project):
                self._kept(folder)
                self._drop_containers(project)
            if (kept := self._projects.get(project)) is None:
                continue
            for file, size in _by_age(self.root, kept.containers):
                self._put(file, size)
            with contextlib.suppress(OSError):
                self.absent[project] = self._mark(project).stat().st_mtime
            self._drop_bytes(project)

    def see(self, live: AbstractSet[PurePosixPath], now: float) -> None:
        """Is told which containers are on the node. It forgets those that are gone and have no file left."""
        self._live = live
        here = {folder.parts[0] for folder in live}
        for name, project in list(self._projects.items()):
            for folder in [folder for folder, held in project.containers.items() if not held.files and folder not in live]:
                self._forget(folder)
            if name in here and self.absent.pop(name, None) is not None:
                with contextlib.suppress(OSError):
                    self._mark(name).unlink(missing_ok=True)
            if name in self._projects and name not in here and name not in self.absent:
                self.absent[name] = now
                with contextlib.suppress(OSError):
                    self._mark(name).touch(MODE)

    def drop_absent(self, before: float) -> None:
        """Drops projects that have no container on the node since before this time: another one may get the name."""
        for name in [name for name, since in self.absent.items() if since < before]:
            for folder in list(self._projects[name].containers):
                self._drop_container(folder, "absent")

    def position(self, folder: PurePosixPath) -> ContainerPosition:
        """Returns the kept position of a container; the beginning when there is none. A damaged one keeps what is written."""
        try:
            text = (self.root / folder / POSITION).read_bytes()
        except OSError:
            return ContainerPosition()
        found = container_position.decode(text)
        last = max((file.number for file in _files(self.root / folder, folder)), default=0)
        return ContainerPosition(number=last + 1) if found is None else found

    def keep(self, folder: PurePosixPath, position: ContainerPosition) -> None:
        """Keeps a position in place of the one before, whole or not at all. Raises OutputFull."""
        at = self.root / folder
        self._kept(folder)
        try:
            at.mkdir(parents=True, exist_ok=True, mode=0o750)
            (at / NEW_POSITION).write_bytes(container_position.encode(position))
            (at / NEW_POSITION).rename(at / POSITION)
        except OSError as error:
            raise OutputFull(str(error)) from error
        self._drop_beyond(folder)

    def append(self, folder: PurePosixPath, data: bytes, number: int, size: int) -> tuple[int, int]:
        """Writes lines behind `size` bytes of the file `number`, or to files after it; returns where they end.

        Raises OutputFull. After that the output is as it was, or longer, and the next call with the same arguments repairs it.
        """
        held = self._kept(folder)
        for later in [each for each in reversed(held.files) if each > number]:
            self._take_back(OutputFile(folder, later))
        if size and number not in held.files:
            number, size = number + 1, 0  # it was dropped
        for part in split(data, self.limits.file, size):
            if size and size + len(part) > self.limits.file:
                number, size = number + 1, 0
            file = OutputFile(folder, number)
            _write(self.root / file.path, part, size)
            size += len(part)
            self._put(file, size)
        self._drop_beyond(folder)
        return number, size

    def missing_room(self) -> str:
        """Returns what the output lacks to take more, in words. Nothing is dropped for it: others may fill the disk again."""
        return _free(self.root).missing(self.limits.min_free)

    def _mark(self, project: str) -> Path:
        return self.root / project / ABSENT

    def _take_back(self, file: OutputFile) -> None:
        """Removes a file that a shipper wrote which was killed before it kept its position: its lines come again."""
        (self.root / file.path).unlink(missing_ok=True)
        self._remove(file)

    def _kept(self, folder: PurePosixPath) -> _Container:
        """Returns what is kept of a container, which counts from now on."""
        project = self._projects.setdefault(folder.parts[0], _Project())
        if folder not in project.containers:
            project.containers[folder] = _Container()
            project.size += CONTAINER
            self.total += CONTAINER
            self._count += 1
        project.containers.move_to_end(folder)
        return project.containers[folder]

    def _put(self, file: OutputFile, size: int) -> None:
        self._resize(file, max(BLOCK, size))
        files = self._projects[file.project].files
        files[file] = None
        files.move_to_end(file)

    def _remove(self, file: OutputFile) -> None:
        self._resize(file, 0)
        project = self._projects[file.project]
        del project.files[file], project.containers[file.folder].files[file.number]

    def _resize(self, file: OutputFile, size: int) -> None:
        project = self._projects[file.project]
        container = project.containers[file.folder]
        more = size - container.files.get(file.number, 0)
        container.files[file.number] = size
        container.size += more
        project.size += more
        self.total += more

    def _drop_beyond(self, folder: PurePosixPath) -> None:
        project = folder.parts[0]
        held = self._projects[project].containers[folder]
        while held.size > self.limits.container:
            self._drop(OutputFile(folder, next(iter(held.files))), "container")
        self._drop_containers(project)
        self._drop_bytes(project)

    def _drop_bytes(self, name: str) -> None:
        project = self._projects.get(name)
        while project is not None and project.size > self.limits.project and (oldest := project.oldest()) is not None:
            self._drop(oldest, "project")
        while self.total > self.limits.total and (oldest := self._oldest_of_most()) is not None:
            self._drop(oldest, "total")

    def _oldest_of_most(self) -> OutputFile | None:
        """Returns the oldest file of the project that takes most. A node has few projects, and few files go."""
        return max(
            (each for each in self._projects.values() if each.files), key=lambda each: each.size, default=_Project()
        ).oldest()

    def _drop_containers(self, name: str) -> None:
        """Drops containers that ended where too many are kept: of the project, and of those that have most of all."""
        if (project := self._projects.get(name)) is not None and len(project.containers) > self.limits.project_containers:
            self._drop_ended([project])
        if self._count > self.limits.containers:
            self._drop_ended(sorted(self._projects.values(), key=lambda each: -len(each.containers)))

    def _drop_ended(self, projects: Iterable[_Project]) -> None:
        ended = (folder for project in projects for folder in project.containers if folder not in self._live)
        if (oldest := next(ended, None)) is not None:
            self._drop_container(oldest, "containers")

    def _drop_container(self, folder: PurePosixPath, limit: str) -> None:
        """Drops what is kept of a container that is not on the node, also files that were not counted yet."""
        for file in list(_files(self.root / folder, folder)):
            self._unlink(file, limit)
        held = self._projects[folder.parts[0]].containers[folder]
        for number in list(held.files):
            self._remove(OutputFile(folder, number))
        self._forget(folder)

    def _drop(self, file: OutputFile, limit: str) -> None:
        self._unlink(file, limit)
        self._remove(file)
        if not self._projects[file.project].containers[file.folder].files and file.folder not in self._live:
            self._forget(file.folder)

    def _unlink(self, file: OutputFile, limit: str) -> None:
        path = self.root / file.path
        with contextlib.suppress(OSError):
            size = path.lstat().st_size
            path.unlink()
            self.dropped(file.project, limit, size)

    def _forget(self, folder: PurePosixPath) -> None:
        """Removes the folder of a container that is gone, and those above it that are empty then."""
        name = folder.parts[0]
        project = self._projects[name]
        del project.containers[folder]
        project.size -= CONTAINER
        self.total -= CONTAINER
        self._count -= 1
        if not project.containers:
            del self._projects[name]
            self.absent.pop(name, None)
        with contextlib.suppress(OSError):
            for position in (POSITION, NEW_POSITION):
                (self.root / folder / position).unlink(missing_ok=True)
            if not project.containers:
                self._mark(name).unlink(missing_ok=True)
            for above in (folder, *list(folder.parents)[:-1]):
                (self.root / above).rmdir()  # refuses a folder that is not empty


def _containers(root: Path, project: str) -> list[PurePosixPath]:
    """Returns the folders of a project's containers, the one whose position was kept longest ago first."""
    found = ((folder.stat().st_mtime_ns, str(folder.relative_to(root))) for folder in (root / project).glob("*/*/"))
    return [PurePosixPath(folder) for _, folder in sorted(found)]


def _by_age(root: Path, folders: Iterable[PurePosixPath]) -> list[tuple[OutputFile, int]]:
    """Returns the files in folders with their sizes, the one written longest ago first."""
    files = (file for folder in folders for file in _files(root / folder, folder))
    found = [(status.st_mtime_ns, file, status.st_size) for file in files for status in ((root / file.path).lstat(),)]
    return [(file, size) for _, file, size in sorted(found, key=lambda each: (each[0], each[1].number))]


def split(data: bytes, most: int, size: int) -> Iterator[bytes]:
    """Yields the lines in parts that fit in files of `most` bytes, the first in what is left of one that has `size` bytes."""
    begin, room = 0, max(0, most - size)
    while begin < len(data):
        end = len(data) if len(data) - begin <= room else data.rfind(b"\n", begin, begin + room) + 1
        if end <= begin and room < most:
            room = most
            continue
        if end <= begin:  # a line that is longer than a file
            end = data.find(b"\n", begin) + 1 or len(data)
        yield data[begin:end]
        begin, room = end, most


def _files(folder: Path, at: PurePosixPath) -> Iterator[OutputFile]:
    for entry in sorted(folder.iterdir()):
        found = _NUMBER.fullmatch(entry.name)
        if found is not None:
            yield OutputFile(at, int(found[1]))


def _write(path: Path, data: bytes, size: int) -> None:
    """Writes `data` behind `size` bytes, and takes away what a write that was refused left there. Raises OutputFull."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        file = os.open(path, _NEW, MODE)
        try:
            if os.fstat(file).st_size > size:
                os.ftruncate(file, size)
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
        finally:
            os.close(file)
    except OSError as error:
        raise OutputFull(str(error)) from error


def _free(root: Path) -> FreeSpace:
    found = os.statvfs(root)
    return FreeSpace(found.f_bavail * found.f_frsize, found.f_favail, min(MIN_FREE_INODES, found.f_files // 20))

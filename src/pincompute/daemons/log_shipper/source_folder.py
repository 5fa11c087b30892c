"""Reads the log files of one container. It opens regular files below the log folder alone and follows no link.

Whoever runs on the node might plant links or pipes there: every folder and file is opened relative to the one above it, and the
shipper looks at what it opened, not at what a name said before.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from pincompute.daemons.log_shipper import log_file_names
from pincompute.daemons.log_shipper.log_file_names import LogFileName

HEAD = 256  # bytes of the first line by which a file is known
MOST_FILES = 64  # of one container: kubelet keeps 5 and those of the container before
LARGEST_ZIP = 1 << 30  # bytes of a compressed file when it is unpacked
TRIES = 3

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of the log as it was listed. `head` is empty while its first line is not whole."""

    name: LogFileName
    inode: int
    size: int
    head: str


@dataclass(slots=True)
class SourceFolder:
    """The folder of one container's logs. Heads are kept for files that did not change."""

    root: Path
    pod: str
    container: str
    refused: int = 0
    _heads: dict[tuple[str, int, int, int], str] = field(default_factory=dict[tuple[str, int, int, int], str])

    def changed_at(self, last: str) -> tuple[int, ...]:
        """Returns what differs when there is something to read: the folder's time, and inode, size and time of the last file.

        It is a hint, taken with two calls. Raises OSError when the folder is gone.
        """
        folder = self.root / self.pod / self.container
        found = os.lstat(folder).st_mtime_ns
        try:
            file = os.lstat(folder / last)
        except OSError:
            return (found,)
        return found, file.st_ino, file.st_size, file.st_mtime_ns

    def listing(self) -> list[LogFile] | None:
        """Returns the files, the oldest first; None when they change too fast to be listed. Raises OSError."""
        with self._open() as folder:
            for _ in range(TRIES):
                before = os.fstat(folder).st_mtime_ns
                found = self._log_files(folder)
                if os.fstat(folder).st_mtime_ns == before:
                    return found
        return None

    def read(self, log: LogFile, start: int, most: int) -> bytes | None:
        """Returns up to `most` bytes from `start`; None when the name leads to another file by now. Raises OSError."""
        with self._open() as folder, _opened(folder, log.name.name) as file:
            if os.fstat(file).st_ino != log.inode:
                return None
            if log.name.zipped:
                return _unpacked(file, start, most)
            data = os.pread(file, most, start)
            return data if _head(file, zipped=False, whole=True) == log.head else None

    @contextlib.contextmanager
    def _open(self) -> Generator[int]:
        with (
            _closing(os.open(self.root, _FOLDER & ~os.O_NOFOLLOW)) as root,
            _closing(os.open(self.pod, _FOLDER, dir_fd=root)) as pod,
            _closing(os.open(self.container, _FOLDER, dir_fd=pod)) as folder,
        ):
            yield folder

    def _log_files(self, folder: int) -> list[LogFile]:
        self.refused = 0
        heads: dict[tuple[str, int, int, int], str] = {}
        found: list[LogFile] = []
        names = log_file_names.log_files(os.listdir(folder))
        self.refused += max(0, len(names) - MOST_FILES)
        for name in names[-MOST_FILES:]:
            ended = name.rotated or name.restart < names[-1].restart
            try:
                with _opened(folder, name.name) as file:
                    found.append(self._log_file(file, name, heads, ended=ended))
            except OSError:
                self.refused += 1
        self._heads = heads
        return found

    def _log_file(self, file: int, name: LogFileName, heads: dict[tuple[str, int, int, int], str], *, ended: bool) -> LogFile:
        status = os.fstat(file)
        key = (name.name, status.st_ino, status.st_size, status.st_mtime_ns)
        head = self._heads.get(key) or _head(file, zipped=name.zipped, whole=ended)
        heads[key] = head
        size = _unpacked_size(file, status.st_size) if name.zipped else status.st_size
        return LogFile(name, status.st_ino, size, head)


@contextlib.contextmanager
def _closing(descriptor: int) -> Generator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened(folder: int, name: str) -> Generator[int]:
    """Opens a regular file of the folder. Raises OSError for a link, a pipe or a device."""
    with _closing(os.open(name, _FILE, dir_fd=folder)) as file:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(f"{name} is no regular file")
        yield file


def _head(file: int, *, zipped: bool, whole: bool) -> str:
    """Returns the hash of the first line; empty while it may still grow."""
    data = _unpacked(file, 0, HEAD) if zipped else os.pread(file, HEAD, 0)
    line, newline, _ = data.partition(b"\n")
    if not line or not (newline or whole or len(data) >= HEAD):
        return ""
    return hashlib.blake2b(line, digest_size=12).hexdigest()


def _unpacked_size(file: int, size: int) -> int:
    """Returns the size before compression, which the last four bytes of the file say."""
    return min(LARGEST_ZIP, int.from_bytes(os.pread(file, 4, max(0, size - 4)), "little"))


def _unpacked(file: int, start: int, most: int) -> bytes:
    """Returns unpacked bytes; what is damaged ends there."""
    if start >= LARGEST_ZIP:
        return b""
    try:
        with os.fdopen(os.dup(file), "rb") as raw, gzip.GzipFile(fileobj=raw) as unpacked:
            raw.seek(0)
            unpacked.seek(start)
            return unpacked.read(most)
    except (OSError, EOFError, zlib.error):
        return b""

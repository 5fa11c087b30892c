"""Reads and appends to the files of the audit log. A finished file is named by its first record.

    audit.log   audit.log.000000000001   audit.log.000000051734

An append is all or nothing: a part that the disk took is cut off again. Only the holder of the lock may append, because two
writers would make two chains in one file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from pincompute.gateway.audit import hash_chain
from pincompute.gateway.audit.hash_chain import TornLine

LONGEST = 1 << 20  # bytes of a line
BLOCK = 1 << 18  # bytes read at a time from the end


class AuditError(Exception):
    """The log cannot be used. The message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class LogFileTail:
    """Where a log ends: its last whole record, and the remains of one that a crash cut off."""

    seq: int = 0
    hash: str = hash_chain.START
    torn: TornLine | None = None


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of a log as it is on disk; `number` counts from 1, and `whole` says whether it has its end."""

    file: str
    number: int
    content: bytes
    whole: bool


def finished(path: Path) -> tuple[Path, ...]:
    """Oldest first."""
    return tuple(sorted(file for file in path.parent.glob(f"{path.name}.*") if file.suffix[1:].isdigit()))


def all_of(path: Path) -> tuple[Path, ...]:
    """Finished ones, then the one that is written."""
    return (*finished(path), path) if path.exists() else finished(path)


def lines(file: Path) -> Iterator[AuditLine]:
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            yield AuditLine(str(file), number, line.removesuffix(b"\n"), line.endswith(b"\n"))


def first_of(file: Path) -> int:
    """The number of the record that a file begins with; 0 for a file without a record. Finished files are named by it."""
    if file.suffix[1:].isdigit():
        return int(file.suffix[1:])
    for line in lines(file):
        with suppress(hash_chain.DamagedLine):
            return hash_chain.decode(line.content).seq
    return 0


def backwards(file: Path, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Lines from `end`, or from the end of the file, to its beginning, each with the offset at which it begins."""
    with file.open("rb") as stream:
        start = stream.seek(0, os.SEEK_END) if end is None else end
        rest = b""  # the end of a line that begins before `start`
        while start > 0:
            size = min(BLOCK, start)
            start -= size
            stream.seek(start)
            block = stream.read(size) + rest
            offset = start + len(block)
            pieces = block.split(b"\n")
            rest = pieces[0] if start and len(pieces[0]) <= LONGEST else b""
            for piece in reversed(pieces[1:] if start else pieces):
                offset -= len(piece)
                if piece:
                    yield offset, piece
                offset -= 1


def hash_of(path: Path, seq: int) -> str:
    """The hash of a record; empty when it is not there. Raises OSError."""
    for file in reversed(all_of(path)):
        if 0 < first_of(file) <= seq:
            return _hash_in(file, seq)
    return ""


def _hash_in(file: Path, seq: int) -> str:
    for _, line in backwards(file):
        with suppress(hash_chain.DamagedLine):
            record = hash_chain.decode(line)
            if record.seq <= seq:
                return record.hash if record.seq == seq else ""
    return ""


def tail(path: Path) -> LogFileTail:
    """Where to go on. Raises AuditError when the last line was changed, OSError."""
    for file in reversed(all_of(path)):
        found = _tail(file)
        if found is not None:
            return found
    return LogFileTail()


def _tail(file: Path) -> LogFileTail | None:
    """Returns where a file ends; None for a file without a line."""
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 2 * LONGEST))
        whole, _, rest = stream.read().rpartition(b"\n")
    torn = hash_chain.torn(rest) if rest else None
    if not whole:
        return LogFileTail(torn=torn) if torn else None
    try:
        last = hash_chain.decode(whole.rpartition(b"\n")[2])
    except hash_chain.DamagedLine as damage:
        raise AuditError(
            f"{file}: its last line {damage}; verify the log (`pin admin audit verify`), move it away and start again"
        ) from None
    return LogFileTail(last.seq, last.hash, torn)


class LogFileAppender:
    """The open file."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, AuditError."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            flock(self._lock, LOCK_EX | LOCK_NB)
            self.tail = tail(path)
            self._descriptor = _open(path)
        except BlockingIOError:
            os.close(self._lock)
            raise AuditError(f"{path} is written by another process; give each gateway a log of its own") from None
        except BaseException:
            os.close(self._lock)
            raise
        self.size = os.fstat(self._descriptor).st_size

    def append(self, data: bytes) -> None:
        """All of it or nothing. Raises OSError."""
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += written

    def rotate(self, first: int, keep: int) -> None:
        """Finishes the file, which begins with record `first`; of finished ones the newest `keep` stay, all when it is 0."""
        os.fsync(self._descriptor)
        self._path.rename(self._path.with_name(f"{self._path.name}.{first:012d}"))
        os.close(self._descriptor)
        self._descriptor = _open(self._path)
        self.size = 0
        for file in finished(self._path)[:-keep] if keep else ():
            file.unlink(missing_ok=True)

    def duplicate(self) -> int:
        """A descriptor to sync in a thread, which a rotation does not close; whoever asks closes it."""
        return os.dup(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)
        os.close(self._lock)


def sync(descriptor: int) -> None:
    """Writes a file to the disk, and closes it. Raises OSError."""
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

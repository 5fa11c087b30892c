"""Records on disk while the database is away: a first-in first-out file in segments, one JSON line for each record.

A segment is removed only when all its lines are in the database, so a process that dies while it empties one writes some lines
again; natural keys make that harmless. A line that a crash cut off is left out.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Self

from pincompute.store.store_errors import StoreError

log = logging.getLogger(__name__)

SEGMENT = 4 << 20  # bytes; the unit that is read into memory and removed
FIRST = 1_000_000_000  # number of the first segment: what is put in front gets lower ones


class SpoolFullError(Exception):
    """The disk, or the part of it we may use, is full."""


class Spool:
    """`limit` in bytes. One process at a time."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock: BinaryIO | None = None
        self._tail: BinaryIO | None = None
        self._segments: deque[int] = deque()  # oldest first
        self._head: deque[bytes] | None = None  # what is left of the oldest segment, once it is read
        self._counts: dict[int, int] = {}  # lines by segment
        self._sizes: dict[int, int] = {}  # bytes by segment

    def open(self) -> Self:
        """Takes up what an earlier process left. Raises StoreError when another process uses the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / "lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise StoreError(f"the spool {self._folder} is used by another gateway; give each its own") from None
        for number in sorted(int(path.stem) for path in self._folder.glob("*.jsonl")):
            lines = _lines(self._path(number))
            self._segments.append(number)
            self._counts[number], self._sizes[number] = len(lines), self._path(number).stat().st_size
        return self

    def close(self) -> None:
        self._close_tail()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __len__(self) -> int:
        """Records that wait here."""
        waiting = sum(self._counts[number] for number in self._segments)
        if self._head is not None:
            waiting += len(self._head) - self._counts[self._segments[0]]
        return waiting

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(self._sizes.values())

    def append(self, line: bytes) -> None:
        """Behind all others. Raises SpoolFullError."""
        if self.size + len(line) > self._limit:
            raise SpoolFullError(f"the spool {self._folder} holds its limit of {self._limit} bytes")
        number = self._writable()
        try:
            tail = self._tail or self._open_tail(number)
            tail.write(line + b"\n")
            tail.flush()
        except OSError as error:
            raise SpoolFullError(f"the spool {self._folder} cannot be written: {error}") from error
        self._counts[number] += 1
        self._sizes[number] += len(line) + 1

    def put_in_front(self, lines: Iterable[bytes]) -> None:
        """Before all others, and safe on disk when this returns. Raises SpoolFullError."""
        text = b"".join(line + b"\n" for line in lines)
        if not text:
            return
        number = self._segments[0] - 1 if self._segments else FIRST
        draft = self._folder / f"{number}.draft"
        try:
            with draft.open("wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self._path(number))
        except OSError as error:
            raise SpoolFullError(f"the spool {self._folder} cannot be written: {error}") from error
        self._head = None  # what was taken from the former first segment is read again when its turn comes
        self._segments.appendleft(number)
        self._counts[number], self._sizes[number] = text.count(b"\n"), len(text)

    def peek(self, count: int) -> list[bytes]:
        """The oldest lines, at most so many; they stay until `done`."""
        while self._segments:
            head = self._head if self._head is not None else self._read_head()
            if head:
                return [head[index] for index in range(min(count, len(head)))]
            self._drop_head()
        return []

    def done(self, count: int) -> None:
        """The first `count` lines are in the database, also when they were put in front only after they had been looked at."""
        if not count:
            return
        head = self._head if self._head is not None else self._read_head()
        for _ in range(min(count, len(head))):
            head.popleft()
        if not head:
            self._drop_head()

    def _writable(self) -> int:
        """Number of the segment that takes the next line: never one that is being emptied."""
        last = self._segments[-1] if self._segments else FIRST - 1
        emptied = self._head is not None and len(self._segments) == 1
        if self._segments and not emptied and self._tail is not None and self._sizes[last] < SEGMENT:
            return last
        self._close_tail()
        self._segments.append(last + 1)
        self._counts[last + 1] = self._sizes[last + 1] = 0
        return last + 1

    def _open_tail(self, number: int) -> BinaryIO:
        self._tail = self._path(number).open("ab")
        return self._tail

    def _close_tail(self) -> None:
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _read_head(self) -> deque[bytes]:
        if len(self._segments) == 1:
            self._close_tail()
        self._head = deque(_lines(self._path(self._segments[0])))
        return self._head

    def _drop_head(self) -> None:
        number = self._segments.popleft()
        self._head = None
        del self._counts[number], self._sizes[number]
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.jsonl"


def _lines(path: Path) -> list[bytes]:
    """Whole lines only."""
    if not path.exists():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        log.warning("a record was cut off by a crash and is left out", extra={"file": str(path), "bytes": len(rest)})
    return lines

"""Keeps records until the history database has taken them, also over outages of that database and restarts.

A record waits in memory first. One that the database has not taken within `PATIENCE` is saved in a local SQLite file, so that
a killed process loses less than a second of history. Every record gets a number, and three of these numbers say where all of
them are: up to `_written` they are in the database, up to `_saved` in the file, up to `_newest` in memory.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias, TypeVar

from pincompute.store import records
from pincompute.store.database import StoreError, StoreUnavailable
from pincompute.store.records import AnyRecord

log = logging.getLogger(__name__)

PATIENCE = 0.1  # seconds in which a healthy database takes a record
RETRY = 1.0  # seconds after which a file that could not be written is tried again
SAVED_AT_ONCE = 1000  # records in one transaction

T = TypeVar("T")
Row: TypeAlias = tuple[int, bytes]
"""A record's number and its line of JSON."""


class Outbox:
    """`memory` limits the records in memory, `disk` the bytes of the file; `lost` counts the records that found no room."""

    def __init__(self, folder: Path, memory: int, disk: int) -> None:
        self.lost = 0
        self._limit = memory
        self._file = _OutboxFile(folder / "outbox.db", disk)
        self._thread = ThreadPoolExecutor(1, "outbox")  # sqlite3 blocks, and one thread keeps the calls in order
        self._memory = deque[Row]()
        self._written = self._saved = self._newest = 0
        self._failing = False
        self._waiting = asyncio.Event()
        self._empty = asyncio.Event()

    async def open(self) -> None:
        """Take over what an earlier process left. Raise StoreError when another process uses the file, or it is damaged."""
        first, last = await self._call(self._file.open)
        self._written, self._saved, self._newest = first - 1, last, last
        self._signal()

    async def close(self) -> None:
        """Save what is left for the next start."""
        while self._memory and await self._save(self._newest):
            pass
        await self._call(self._file.close)
        self._thread.shutdown()

    def __len__(self) -> int:
        return self._newest - self._written

    @property
    def on_disk(self) -> int:
        return max(0, self._saved - self._written)

    @property
    def in_memory(self) -> int:
        return len(self) - self.on_disk

    def put(self, items: Iterable[AnyRecord]) -> None:
        for record in items:
            if len(self._memory) < self._limit:
                self._newest += 1
                self._memory.append((self._newest, records.encode(record)))
                continue
            if not self.lost:
                log.error("records are lost: the database does not take them, and %d wait in memory", self._limit)
            self.lost += 1
        self._signal()

    async def until_waiting(self) -> None:
        """Return when a record waits, or after `wake`."""
        await self._waiting.wait()

    def wake(self) -> None:
        self._waiting.set()

    async def until_empty(self) -> None:
        await self._empty.wait()

    async def peek(self, count: int) -> Sequence[Row]:
        """The oldest records; they stay until `written`. Raise StoreUnavailable when the file cannot be read."""
        if not self.on_disk:
            return list(itertools.islice(self._memory, count))
        try:
            return await self._call(self._file.read, self._written, count)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._file.path} cannot be read: {error}") from error

    async def written(self, number: int) -> None:
        """The database has all records up to this number."""
        self._written = number
        self._forget(number)
        if self._file.rows:
            try:
                await self._call(self._file.delete, number)
            except sqlite3.Error as error:  # a full disk; `_written` still knows, and the next call deletes them as well
                log.debug("the outbox does not shrink", extra={"problem": str(error)})
        self._signal()

    async def save_late_records(self) -> None:
        """Save, until cancelled, what the database has not taken within PATIENCE."""
        while True:
            await self._waiting.wait()
            newest = self._newest
            await asyncio.sleep(PATIENCE)
            if self._memory and self._memory[0][0] <= newest and not await self._save(newest):
                await asyncio.sleep(RETRY)

    async def _save(self, newest: int) -> bool:
        """Move records from memory to the file, up to this number; false when that failed."""
        rows = [row for row in itertools.islice(self._memory, SAVED_AT_ONCE) if row[0] <= newest]
        try:
            await self._call(self._file.insert, rows)
        except sqlite3.Error as error:
            if not self._failing:
                log.warning("records stay in memory only", extra={"error": str(error), "records": len(self._memory)})
            self._failing = True
            return False
        self._failing = False
        self._saved = max(self._saved, rows[-1][0])
        self._forget(self._saved)
        return True

    def _forget(self, number: int) -> None:
        while self._memory and self._memory[0][0] <= number:
            self._memory.popleft()

    def _signal(self) -> None:
        if len(self):
            self._waiting.set()
            self._empty.clear()
        else:
            self._waiting.clear()
            self._empty.set()

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


class _OutboxFile:
    """The SQLite file; all methods block. One process at a time has it open. `rows`: it may hold records."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.rows = False
        self._limit = limit

    def open(self) -> tuple[int, int]:
        """The number of the first record, and of the last."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(self.path, timeout=0, check_same_thread=False)
        try:
            return self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise StoreError(f"{self.path.parent} is used by another gateway; give each its own folder") from None
            raise StoreError(f"{self.path} cannot be opened: {error}; move it away to start without it") from error

    def _prepare(self) -> tuple[int, int]:
        run = self._connection.execute
        run("PRAGMA locking_mode=EXCLUSIVE")
        run("PRAGMA auto_vacuum=FULL")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")
        (page,) = run("PRAGMA page_size").fetchone()
        run(f"PRAGMA max_page_count={max(8, self._limit // page)}")
        with self._connection:
            run("BEGIN EXCLUSIVE")
            run("CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY, line BLOB NOT NULL)")
        first, last = run("SELECT min(number), max(number) FROM outbox").fetchone()
        self.rows = first is not None
        return (first, last) if self.rows else (1, 0)

    def insert(self, rows: Sequence[Row]) -> None:
        self.rows = True
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO outbox VALUES (?, ?)", rows)

    def read(self, after: int, count: int) -> list[Row]:
        found = self._connection.execute("SELECT * FROM outbox WHERE number > ? ORDER BY number LIMIT ?", (after, count))
        return found.fetchall()

    def delete(self, number: int) -> None:
        with self._connection:
            self._connection.execute("DELETE FROM outbox WHERE number <= ?", (number,))
        self.rows = bool(self._connection.execute("SELECT 1 FROM outbox LIMIT 1").fetchone())

    def close(self) -> None:
        self._connection.close()

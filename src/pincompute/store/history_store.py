"""The store as the gateway uses it: writes that never wait, and reads when the database answers.

`record` never waits and never fails: the outbox keeps what cannot be written now, in memory and on disk. One task of the store
drains the outbox into the database, in order, as soon as the database is back. The store does not wait for
the database to start either, so a gateway starts without one.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pincompute.kube.backoff import Backoff, BackoffLimits
from pincompute.kube.clock import SYSTEM, Clock
from pincompute.store import schema_migration
from pincompute.store.database import Database, DatabaseTimeouts, StoreError, StoreUnavailable
from pincompute.store.history_table import HistoryTable
from pincompute.store.outbox import Outbox
from pincompute.store.records import AnyRecord
from pincompute.store.retention import Retention, RetentionLimits

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """`memory` and `batch` count records, `disk` bytes, and `sweep` seconds between two deletions of old records."""

    patience: DatabaseTimeouts = field(default_factory=DatabaseTimeouts)
    limits: RetentionLimits = field(default_factory=RetentionLimits)
    pace: BackoffLimits = field(default_factory=lambda: BackoffLimits(base=0.2, cap=5.0))
    memory: int = 10_000
    disk: int = 256 << 20
    batch: int = 200  # more would hold up the event loop for longer than a request may take
    sweep: float = 600.0


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """`trouble` is empty while the database answers. `lost` records found no room; the database `refused` others."""

    ready: bool
    trouble: str
    in_memory: int
    on_disk: int
    written: int
    refused: int
    lost: int

    @property
    def waiting(self) -> int:
        return self.in_memory + self.on_disk


class HistoryStore:
    """The store, an async context manager that owns its tasks. Leaving it writes what it can and keeps the rest on disk."""

    def __init__(self, url: str, *, outbox: Path, options: StoreOptions = StoreOptions(), clock: Clock = SYSTEM) -> None:
        """`outbox` is a folder. Raises StoreError for an address that cannot be used."""
        self._url = url
        self._options = options
        self._clock = clock
        self.database = Database(url, options.patience)
        self.history = HistoryTable(self.database)
        self._retention = Retention(self.database, options.limits)
        self._outbox = Outbox(outbox, options.memory, options.disk)
        self._backoff = Backoff(options.pace, clock)
        self._ready = asyncio.Event()
        self._ending = asyncio.Event()  # tasks end between transactions: a driver that is cancelled in one leaks
        self._trouble = "has not been reached yet"
        self._written = self._refused = 0
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._outbox.open()
        await self._group.__aenter__()
        self._tasks = [
            self._group.create_task(self._write(), name="store writer"),
            self._group.create_task(self._sweep(), name="store retention"),
        ]
        self._saver = self._group.create_task(self._outbox.save_late_records(), name="store outbox")
        return self

    async def __aexit__(self, *raised: object) -> None:
        if not self._trouble:
            await self.settled(self._options.patience.statement)
        self._ending.set()
        self._outbox.wake()
        _, late = await asyncio.wait(self._tasks, timeout=self._options.patience.connect + self._options.patience.statement)
        for task in (*late, self._saver):
            task.cancel()
        try:
            await self._group.__aexit__(None, None, None)  # an exception of the block stays as it is
        finally:
            await self._outbox.close()
            await self.database.close()

    def record(self, *records: AnyRecord) -> None:
        """Take records at once; they are in the database a moment later, or when it is back."""
        self._outbox.put(records)

    async def until_ready(self) -> None:
        """Return when the database answers and has this version's schema."""
        await self._ready.wait()

    async def settled(self, seconds: float) -> bool:
        """Wait until all records are written, at most so long; return whether they are."""
        try:
            async with asyncio.timeout(seconds):
                await self._outbox.until_empty()
        except TimeoutError:
            return False
        return True

    @property
    def health(self) -> StoreHealth:
        return StoreHealth(
            ready=self._ready.is_set(),
            trouble=self._trouble,
            in_memory=self._outbox.in_memory,
            on_disk=self._outbox.on_disk,
            written=self._written,
            refused=self._refused,
            lost=self._outbox.lost,
        )

    async def _write(self) -> None:
        await self._make_ready()
        while not self._ending.is_set():
            await self._outbox.until_waiting()
            try:
                rows = await self._outbox.peek(self._options.batch)
                refused = await self.history.write([line for _, line in rows])
            except StoreUnavailable as error:
                await self._wait_after(error)
                continue
            if rows:
                await self._outbox.written(rows[-1][0])
            self._written += len(rows) - refused
            self._refused += refused
            self._recovered()

    async def _make_ready(self) -> None:
        while not self._ending.is_set():
            try:
                await schema_migration.migrate(self._url)
            except StoreError as error:
                await self._wait_after(error)
            else:
                self._ready.set()
                self._recovered()
                return

    async def _wait_after(self, error: StoreError) -> None:
        if not self._trouble or not self._ready.is_set():
            log.warning("history waits: %s", error)
        self._trouble = str(error)
        await self._pause(self._backoff.next())

    async def _pause(self, seconds: float) -> None:
        """Sleep at most so long, less when the process ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    def _recovered(self) -> None:
        if self._trouble:
            log.info("history is written", extra={"waiting": len(self._outbox)})
        self._trouble = ""
        self._backoff.failures = 0

    async def _sweep(self) -> None:
        while True:
            await self._pause(self._options.sweep)
            if self._ending.is_set():
                return
            try:
                removed = await self._retention.sweep(self._clock.wall())
            except StoreUnavailable as error:
                log.info("retention waits: %s", error)
            else:
                log.debug("retention", extra={"removed": removed})

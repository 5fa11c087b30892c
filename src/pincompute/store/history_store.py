"""This module is the store as the gateway uses it: it writes without waiting, and reads when the database answers.

`record` never waits and never fails: what cannot be written now waits in memory and on disk, and is written in order as soon
as the database is back. `open` does not wait for the database either, so a gateway starts without one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pincompute.kube.backoff import Backoff, BackoffLimits
from pincompute.kube.clock import SYSTEM, Clock
from pincompute.store import schema_migration
from pincompute.store.backlog import Backlog
from pincompute.store.database import Database, DatabaseTimeouts
from pincompute.store.record_history import RecordHistory
from pincompute.store.records import AnyRecord
from pincompute.store.retention import Retention, RetentionLimits
from pincompute.store.store_errors import StoreError, StoreUnavailable

log = logging.getLogger(__name__)

LONG = 0.1  # seconds in which a database that answers has written a batch


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """`memory` in records, `disk` in bytes, `batch` in records of one transaction, `sweep` in seconds between two."""

    patience: DatabaseTimeouts = field(default_factory=DatabaseTimeouts)
    limits: RetentionLimits = field(default_factory=RetentionLimits)
    pace: BackoffLimits = field(default_factory=lambda: BackoffLimits(base=0.2, cap=5.0))
    memory: int = 10_000
    disk: int = 256 << 20
    batch: int = 200  # more would hold up the event loop for longer than a request may take
    sweep: float = 600.0


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """`trouble` is empty while the database answers; `lost` records were too many for memory and disk; `refused` ones could
    not be read.
    """

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

    def __init__(self, url: str, spool: Path, options: StoreOptions, clock: Clock) -> None:
        self._url = url
        self._options = options
        self._clock = clock
        self.database = Database(url, options.patience)
        self.history = RecordHistory(self.database)
        self._retention = Retention(self.database, options.limits)
        self._backlog = Backlog(spool, options.memory, options.disk)
        self._backoff = Backoff(options.pace, clock)
        self._ready = asyncio.Event()
        self._ending = asyncio.Event()  # tasks end between transactions: a driver cut off in one leaks
        self._trouble = "has not been reached yet"
        self._written = self._refused = 0
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def open(cls, url: str, *, spool: Path, options: StoreOptions = StoreOptions(), clock: Clock = SYSTEM) -> Self:
        """Opens the store: `async with HistoryStore.open(url, spool=folder) as store`. Raises StoreError for an address that
        cannot be used.
        """
        return cls(url, spool, options, clock)

    async def __aenter__(self) -> Self:
        self._backlog.open()
        await self._group.__aenter__()
        self._tasks = [
            self._group.create_task(self._write(), name="store writer"),
            self._group.create_task(self._sweep(), name="store retention"),
        ]
        return self

    async def __aexit__(self, *raised: object) -> None:
        if not self._trouble:
            await self.settled(self._options.patience.statement)
        self._ending.set()
        self._backlog.wake()
        _, late = await asyncio.wait(self._tasks, timeout=self._options.patience.connect + self._options.patience.statement)
        for task in late:
            task.cancel()
        try:
            await self._group.__aexit__(None, None, None)  # what the block raised is not the tasks' and stays as it is
        finally:
            self._backlog.close()
            await self.database.close()

    def record(self, *records: AnyRecord) -> None:
        """Takes records at once; they are in the database a moment later, or when it is back."""
        self._backlog.put(records)

    async def until_ready(self) -> None:
        """Waits until the database answers and has this version's schema."""
        await self._ready.wait()

    async def settled(self, seconds: float) -> bool:
        """Waits at most this long until nothing waits to be written; returns whether that is so."""
        try:
            async with asyncio.timeout(seconds):
                await self._backlog.until_empty()
        except TimeoutError:
            return False
        return True

    @property
    def health(self) -> StoreHealth:
        return StoreHealth(
            ready=self._ready.is_set(),
            trouble=self._trouble,
            in_memory=self._backlog.in_memory,
            on_disk=self._backlog.on_disk,
            written=self._written,
            refused=self._refused,
            lost=self._backlog.lost,
        )

    async def _write(self) -> None:
        await self._make_ready()
        while not self._ending.is_set():
            await self._backlog.until_news()
            batch = self._backlog.peek(self._options.batch)
            try:
                refused = await self._patiently(self.history.write(batch))
            except StoreUnavailable as error:
                await self._wait_after(error)
                continue
            self._backlog.done(len(batch))
            self._written += len(batch) - refused
            self._refused += refused
            self._fine()

    async def _patiently(self, write: Coroutine[Any, Any, int]) -> int:
        """Writes with patience. A write that takes long may never end, so what waits is brought to disk meanwhile, or a kill
        would lose it.
        """
        writing = asyncio.ensure_future(write)
        try:
            await asyncio.wait([writing], timeout=LONG)
            if not writing.done():
                self._backlog.spill()
            return await writing
        finally:
            writing.cancel()

    async def _make_ready(self) -> None:
        while not self._ending.is_set():
            try:
                await schema_migration.migrate(self._url)
            except StoreError as error:
                await self._wait_after(error)
            else:
                self._ready.set()
                self._fine()
                return

    async def _wait_after(self, error: StoreError) -> None:
        if not self._trouble or not self._ready.is_set():
            log.warning("history waits: %s", error)
        self._trouble = str(error)
        self._backlog.spill()
        await self._pause(self._backoff.next())

    async def _pause(self, seconds: float) -> None:
        """Waits at most this long, less when the process ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    def _fine(self) -> None:
        if self._trouble:
            log.info("history is written", extra={"waiting": len(self._backlog)})
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

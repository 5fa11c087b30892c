"""What waits to be written: a bounded queue in memory, and the spool behind it.

Memory is always older than the spool: once something is on disk, what follows goes there too, until the disk is empty. So the
order is kept without comparing anything.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from pincompute.store import records
from pincompute.store.records import AnyRecord
from pincompute.store.spool import Spool, SpoolFullError

log = logging.getLogger(__name__)


class Backlog:
    """`memory`: records kept there at most; `disk`: bytes of spool at most. What fits in neither is counted and lost."""

    def __init__(self, folder: Path, memory: int, disk: int) -> None:
        self.lost = 0
        self._memory: deque[bytes] = deque()
        self._limit = memory
        self._spool = Spool(folder, disk)
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self._from_memory = True

    def open(self) -> None:
        self._spool.open()
        self._tell()

    def close(self) -> None:
        """What is left waits on disk for the next start."""
        self.spill()
        self._spool.close()

    @property
    def in_memory(self) -> int:
        return len(self._memory)

    @property
    def on_disk(self) -> int:
        return len(self._spool)

    def __len__(self) -> int:
        return len(self._memory) + len(self._spool)

    def put(self, items: Iterable[AnyRecord]) -> None:
        for record in items:
            self._put(records.encode(record))
        self._tell()

    async def until_news(self) -> None:
        await self._news.wait()

    def wake(self) -> None:
        """Ends `until_news` although there may be none."""
        self._news.set()

    async def until_empty(self) -> None:
        await self._empty.wait()

    def peek(self, count: int) -> list[bytes]:
        """The oldest lines; they stay until `done`."""
        self._from_memory = bool(self._memory)
        return list(itertools.islice(self._memory, count)) if self._from_memory else self._spool.peek(count)

    def done(self, count: int) -> None:
        """The first `count` lines of the last `peek` are in the database."""
        if self._from_memory:
            for _ in range(count):
                self._memory.popleft()
        else:
            self._spool.done(count)
        self._tell()

    def spill(self) -> None:
        """To disk with all that is in memory: the database is away, or the process ends."""
        try:
            self._spool.put_in_front(self._memory)
        except SpoolFullError as error:
            log.warning("records stay in memory only", extra={"error": str(error), "records": len(self._memory)})
            return
        if self._memory:
            self._from_memory = False  # what was peeked at is now the first of the spool
        self._memory.clear()

    def _put(self, line: bytes) -> None:
        if not len(self._spool) and len(self._memory) < self._limit:
            self._memory.append(line)
            return
        try:
            self._spool.append(line)
        except SpoolFullError as error:
            if not self.lost:
                log.error("records are lost: %s", error)  # noqa: TRY400 - the place in the code says nothing
            self.lost += 1

    def _tell(self) -> None:
        if len(self):
            self._news.set()
            self._empty.clear()
        else:
            self._news.clear()
            self._empty.set()

"""Removes old history, by age and by size, the oldest first, in small batches so that nothing waits for it.

Revisions have an age limit of their own: going back to one is useful long after nobody asks why a container ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from pincompute.store.database import Database
from pincompute.store.records import micros
from pincompute.store.sql_tables import records

BATCH = 500  # rows of one transaction
PAGES = 1000  # of a SQLite file that are given back at a time


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """Limits of history; `size` is in bytes, over all projects."""

    age: timedelta = timedelta(days=90)
    age_of_revisions: timedelta = timedelta(days=400)
    size: int = 2 << 30


class Retention:
    def __init__(self, database: Database, limits: RetentionLimits) -> None:
        self._database = database
        self._limits = limits

    async def sweep(self, now: datetime) -> int:
        """Removes what is over the limits and returns how many records. Raises StoreUnavailable."""
        c = records.c
        removed = await self._remove(sa.and_(c.type != "revision", c.until < micros(now - self._limits.age)))
        removed += await self._remove(sa.and_(c.type == "revision", c.until < micros(now - self._limits.age_of_revisions)))
        removed += await self._shrink()
        if removed and self._database.is_sqlite:
            await self._give_back()
        return removed

    async def size(self) -> int:
        """Returns about how many bytes history takes. Raises StoreUnavailable."""
        async with self._database.reading() as connection:
            return int(await connection.scalar(sa.select(sa.func.coalesce(sa.func.sum(records.c.size), 0))) or 0)

    async def _remove(self, condition: sa.ColumnElement[bool]) -> int:
        removed = 0
        while True:
            count, _ = await self._remove_some(condition)
            removed += count
            if count < BATCH:
                return removed

    async def _shrink(self) -> int:
        removed, excess = 0, await self.size() - self._limits.size
        while excess > 0:
            count, freed = await self._remove_some(sa.true())
            if not count:
                break
            removed, excess = removed + count, excess - freed
        return removed

    async def _remove_some(self, condition: sa.ColumnElement[bool]) -> tuple[int, int]:
        """Removes some rows; returns how many rows and bytes went."""
        oldest = sa.select(records.c.id).where(condition).order_by(records.c.until, records.c.id).limit(BATCH)
        statement = sa.delete(records).where(records.c.id.in_(oldest)).returning(records.c.size)
        async with self._database.writing() as connection:
            sizes = (await connection.scalars(statement)).all()
        return len(sizes), sum(sizes)

    async def _give_back(self) -> None:
        """Let the SQLite file shrink."""
        async with self._database.writing() as connection:
            await connection.exec_driver_sql(f"PRAGMA incremental_vacuum({PAGES})")

"""Answers kept under the caller's key, so that a request that is sent twice is done once (S-259).

A claim whose answer never came, because the gateway died, is free again after `UNDER_WAY`; the second try then finds by name
what the first has done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

import sqlalchemy as sa

from pincompute.kube.clock import SYSTEM, Clock
from pincompute.store.database import Database
from pincompute.store.records import micros
from pincompute.store.tables import idempotency as table

KEPT = timedelta(hours=24)
UNDER_WAY = timedelta(minutes=2)  # longer than any request may take

ClaimState: TypeAlias = Literal["new", "done", "under-way", "other-request"]


@dataclass(frozen=True, slots=True)
class Claim:
    """`new`: go ahead, then `answered` or `released`. `done`: repeat `status` and `answer`."""

    state: ClaimState
    status: int = 0
    answer: bytes = b""


class Idempotency:
    def __init__(self, database: Database, clock: Clock = SYSTEM) -> None:
        self._database = database
        self._clock = clock

    async def claim(self, caller: str, key: str, digest: str) -> Claim:
        """`digest` is of the whole request: the same key for another request is refused. Raises StoreUnavailable."""
        now = self._clock.wall()
        row = {"caller": caller, "key": key, "digest": digest, "status": 0, "answer": b"", "expires": micros(now + UNDER_WAY)}
        insert = self._database.insert(table)
        free = insert.on_conflict_do_update(
            index_elements=["caller", "key"], set_=dict(insert.excluded.items()), where=table.c.expires <= micros(now)
        ).returning(table.c.key)
        async with self._database.writing() as connection:
            if (await connection.execute(free, row)).first() is not None:
                return Claim("new")
            known = (await connection.execute(sa.select(table).where(_is(caller, key)))).one()
        if known.digest != digest:
            return Claim("other-request")
        return Claim("done", known.status, known.answer) if known.status else Claim("under-way")

    async def answered(self, caller: str, key: str, status: int, answer: bytes) -> None:
        """Raises StoreUnavailable."""
        expires = micros(self._clock.wall() + KEPT)
        values = {"status": status, "answer": answer, "expires": expires}
        async with self._database.writing() as connection:
            await connection.execute(sa.update(table).where(_is(caller, key)).values(values))

    async def released(self, caller: str, key: str) -> None:
        """Nothing was done: the key may be used again. Raises StoreUnavailable."""
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(table).where(_is(caller, key), table.c.status == 0))


def _is(caller: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.caller == caller, table.c.key == key)

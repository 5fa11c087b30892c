"""Stores service tokens in the database. It knows only their id, end and revocation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from pincompute.store.database import Database
from pincompute.store.records import micros, moment
from pincompute.store.sql_tables import tokens as table


class StoredToken(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def expires_at(self) -> datetime: ...

    @property
    def revoked_at(self) -> datetime | None: ...


T = TypeVar("T", bound=StoredToken)


class TokenTable(Generic[T]):
    """The stored tokens; `kind` is a msgspec struct. All methods raise StoreUnavailable."""

    def __init__(self, database: Database, kind: type[T]) -> None:
        self._database = database
        self._kind = kind

    async def add(self, token: T) -> None:
        row = {"id": token.id, "expires": micros(token.expires_at), "revoked": None, "body": msgspec.json.encode(token)}
        async with self._database.writing() as connection:
            await connection.execute(sa.insert(table).values(row))

    async def everything(self) -> Sequence[T]:
        """Returns all tokens, expired and revoked ones as well."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(sa.select(table).order_by(table.c.id))).all()
        return tuple(self._token(row.body, row.revoked) for row in rows)

    async def revoke(self, identity: str, at: datetime) -> bool:
        """Revokes a token; returns False when there is none. The time of the first revocation stands."""
        first = sa.func.coalesce(table.c.revoked, micros(at))
        async with self._database.writing() as connection:
            found = await connection.execute(sa.update(table).where(table.c.id == identity).values(revoked=first))
        return found.rowcount > 0

    def _token(self, body: bytes, revoked: int | None) -> T:
        token = msgspec.json.decode(body, type=self._kind)
        return token if revoked is None else replace(token, revoked_at=moment(revoked))  # type: ignore[type-var]

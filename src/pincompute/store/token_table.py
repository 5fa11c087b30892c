"""Stores service tokens in the database. SQL reads only their id, end and revocation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from pincompute.store.database import Database
from pincompute.store.records import micros, moment
from pincompute.store.sql_tables import tokens as table


class TokenScope(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Where and what: a project ("*" for all), and a role or operations such as `apps:get`, `apps:*`. No both: nothing.

    `project_uid` is the uid of the project that the token was made for. It is empty for "*" and on tokens of earlier versions.
    """

    project: str
    role: str = ""
    operations: tuple[str, ...] = ()
    project_uid: str = ""


class ServiceToken(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`digest` is the SHA-256 of the secret; `groups` are the subject's at `groups_at`, its last login that was seen."""

    id: str
    name: str
    subject: str
    groups: tuple[str, ...]
    scope: TokenScope
    digest: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    groups_at: datetime | None = None


class TokensState(NamedTuple):
    """How many tokens there are, how many of them are revoked, and when the last one was."""

    tokens: int
    revoked: int
    last: int


class TokenTable:
    """The stored tokens. All methods raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, token: ServiceToken) -> None:
        row = {"id": token.id, "expires": micros(token.expires_at), "revoked": None, "body": msgspec.json.encode(token)}
        async with self._database.writing() as connection:
            await connection.execute(sa.insert(table).values(row))

    async def everything(self) -> Sequence[ServiceToken]:
        """Returns all tokens, expired and revoked ones as well."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(sa.select(table).order_by(table.c.id))).all()
        return tuple(_token(row.body, row.revoked) for row in rows)

    async def state(self) -> TokensState:
        """Returns what differs once a token is added, removed or revoked; SQL counts it without a body."""
        counted = sa.select(sa.func.count(), sa.func.count(table.c.revoked), sa.func.max(table.c.revoked)).select_from(table)
        async with self._database.reading() as connection:
            found, revoked, last = (await connection.execute(counted)).one()
        return TokensState(found, revoked, last or 0)

    async def update(self, token: ServiceToken) -> None:
        """Stores a token anew; its end and its revocation stay."""
        async with self._database.writing() as connection:
            await connection.execute(sa.update(table).where(table.c.id == token.id).values(body=msgspec.json.encode(token)))

    async def prune(self, before: datetime) -> None:
        """Removes the tokens that expired or were revoked before this time."""
        ended = sa.or_(table.c.expires < micros(before), table.c.revoked < micros(before))
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(table).where(ended))

    async def revoke(self, identity: str, at: datetime) -> bool:
        """Revokes a token; returns False when there is none. The time of the first revocation stands."""
        first = sa.func.coalesce(table.c.revoked, micros(at))
        async with self._database.writing() as connection:
            found = await connection.execute(sa.update(table).where(table.c.id == identity).values(revoked=first))
        return found.rowcount > 0


def _token(body: bytes, revoked: int | None) -> ServiceToken:
    token = msgspec.json.decode(body, type=ServiceToken)
    return token if revoked is None else replace(token, revoked_at=moment(revoked))

"""Opens one database, SQLite or PostgreSQL: connections, transactions, and failures as errors of our own.

SQLite runs in WAL mode, so that readers never wait for the writer. Every writing transaction begins IMMEDIATE, because one
that reads first and writes later fails at once when another writer came between, whatever the busy time-out.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

SQLITE = "sqlite+aiosqlite"
POSTGRESQL = "postgresql+asyncpg"
WAL_ATTEMPTS, WAL_PAUSE = 200, 0.05  # and seconds between them
_IMMEDIATE = "pincompute_immediate"
_WRONG_VALUE = ("22", "23")  # SQLSTATE classes: data exception, integrity constraint violation


class StoreError(Exception):
    """The store cannot be used in the way that was asked for."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state that passes, not a mistake
    """The database does not answer now. Writes wait meanwhile; reads must be repeated."""


class StoreRefused(StoreError):  # noqa: N818 - an answer
    """The database never takes this value."""


@dataclass(frozen=True, slots=True)
class DatabaseTimeouts:
    """Time-outs in seconds: until a connection is there, until a statement has answered, until another's lock is free."""

    connect: float = 5.0
    statement: float = 10.0
    lock: float = 5.0


class Database:
    """One database. It opens connections when they are needed; `close` ends them all."""

    def __init__(self, url: str, patience: DatabaseTimeouts = DatabaseTimeouts()) -> None:
        """Raises StoreError for an address that is no supported database."""
        self.url = _parse(url)
        self.patience = patience
        self._engine = (_sqlite if self.is_sqlite else _postgresql)(self.url, patience)

    @property
    def is_sqlite(self) -> bool:
        return self.url.drivername == SQLITE

    @property
    def name(self) -> str:
        """Returns the address without its password, for people."""
        return self.url.render_as_string(hide_password=True)

    def insert(self, table: sa.Table) -> Any:
        """Returns an INSERT that supports ON CONFLICT; both databases spell it alike."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """Opens a transaction that only reads. Raises StoreUnavailable."""
        async with self._connection() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """Opens a transaction that is committed at the end of the block. Raises StoreUnavailable, StoreRefused."""
        async with self._connection() as connection:
            await connection.execution_options(**{_IMMEDIATE: True})
            async with connection.begin():
                yield connection

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[AsyncConnection]:
        try:
            async with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            if _for_good(error):
                raise StoreRefused(f"{self.name} does not take it: {reason(error)}") from error
            raise StoreUnavailable(f"{self.name} does not answer: {reason(error)}") from error


def _for_good(error: Exception) -> bool:
    """Returns whether the value itself is wrong, by SQL's own classes, and not the connection or the moment."""
    if isinstance(error, (DataError, IntegrityError)):
        return True
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return str(state or "")[:2] in _WRONG_VALUE


def reason(error: Exception) -> str:
    """Returns the driver's own words, in one line."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = " ".join(str(cause).split())
    return text or type(cause).__name__


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise StoreError("the store's URL cannot be read; expected sqlite+aiosqlite:///… or postgresql+asyncpg://…") from None
    if parsed.drivername not in (SQLITE, POSTGRESQL):
        raise StoreError(f"the store's URL begins with {parsed.drivername}; expected {SQLITE} or {POSTGRESQL}")
    if parsed.drivername == SQLITE and not parsed.database:
        raise StoreError(f"the store's URL names no file; expected {SQLITE}:////var/lib/pincompute/history.db, or another path")
    return parsed


def _postgresql(url: sa.URL, patience: DatabaseTimeouts) -> AsyncEngine:
    settings = {
        "timeout": patience.connect,
        "command_timeout": patience.statement,
        "server_settings": {
            "application_name": "pincompute-gateway",
            "lock_timeout": str(int(patience.lock * 1000)),
            "idle_in_transaction_session_timeout": "60000",
        },
    }
    return create_async_engine(
        url, connect_args=settings, pool_size=4, max_overflow=4, pool_timeout=patience.connect, pool_pre_ping=True
    )


def _sqlite(url: sa.URL, patience: DatabaseTimeouts) -> AsyncEngine:
    Path(url.database or "").expanduser().parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url, connect_args={"timeout": patience.lock}, pool_size=4, max_overflow=4)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # `_begin` sends BEGIN
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA page_count")
        if cursor.fetchone()[0] == 0:
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")  # takes the writer's lock, and helps only before the first table
        _switch_to_wal(cursor)
        cursor.execute("PRAGMA synchronous=NORMAL")
    except Exception:
        connection.close()  # the pool has not taken it yet, so nobody else would
        raise
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """SQLite does not wait for the lock here, whatever its timeout: two processes that open a new database at once collide."""
    for last in (*(False,) * WAL_ATTEMPTS, True):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if last or "locked" not in str(error):
                raise
            await_only(asyncio.sleep(WAL_PAUSE))
        else:
            return


def _begin(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get(_IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

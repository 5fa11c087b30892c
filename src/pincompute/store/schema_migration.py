"""Migrates a database to the schema of this version; several gateways may do it at once.

The transaction itself holds the lock: in SQLite that of the one writer, in PostgreSQL an advisory lock. Whoever comes second
finds the work done. The migration runs in a thread with an event loop of its own, because alembic keeps its state in module
globals.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from pincompute.store.database import Database, DatabaseTimeouts, StoreError

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x70696E63  # "pinc"; of the advisory lock
PATIENCE = DatabaseTimeouts(connect=5.0, statement=300.0, lock=60.0)  # a migration may rewrite a table

_one_at_a_time = threading.Lock()


async def migrate(url: str, revision: str = "head") -> None:
    """Migrates. Raises StoreUnavailable, and StoreError for a schema that is newer than this version."""
    await asyncio.to_thread(_in_thread, url, revision)


def _in_thread(url: str, revision: str) -> None:
    with _one_at_a_time:
        asyncio.run(_migrate(url, revision))


async def _migrate(url: str, revision: str) -> None:
    database = Database(url, PATIENCE)
    try:
        async with database.writing() as connection:
            if not database.is_sqlite:
                await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            await connection.run_sync(_upgrade, revision)
    finally:
        await database.close()


def _upgrade(connection: sa.Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except command.util.CommandError as error:
        raise StoreError(
            f"the store's schema is not known to this version ({error}); start the version that made it, or a newer one"
        ) from error

"""Migrations: from nothing, again without harm, by two gateways at once, whole or not at all."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from record_builders import DEADLINE, everything, opened, state

from pincompute.store import schema_migration
from pincompute.store.database import Database, StoreError
from pincompute.store.sql_tables import metadata


async def _difference(url: str) -> list[object]:
    """Between the database and what statements expect of it."""
    database = Database(url)
    try:
        async with database.writing() as connection:
            return await connection.run_sync(lambda sync: compare_metadata(MigrationContext.configure(sync), metadata))
    finally:
        await database.close()


async def test_migrations_make_what_the_statements_expect(url: str) -> None:
    await schema_migration.migrate(url)
    assert await _difference(url) == []


async def test_every_migration_can_be_the_last_one_for_a_while(url: str) -> None:
    """As in an installation that is upgraded step by step."""
    steps = [script.revision for script in ScriptDirectory(str(schema_migration.MIGRATIONS)).walk_revisions()][::-1]
    assert len(steps) >= 2
    for step in steps:
        await schema_migration.migrate(url, step)
    assert await _difference(url) == []


async def test_migrating_again_changes_nothing(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox") as store:
        store.record(state(1))
        assert await store.settled(DEADLINE)
    await schema_migration.migrate(url)
    async with opened(url, tmp_path / "outbox") as store:
        await store.until_ready()
        assert await everything(store) == [state(1)]


async def test_two_gateways_that_start_at_once_both_work(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox1") as one, opened(url, tmp_path / "outbox2") as two:
        one.record(state(1))
        two.record(state(2, "Degraded"))
        assert await one.settled(DEADLINE)
        assert await two.settled(DEADLINE)
        assert await everything(one) == [state(1), state(2, "Degraded")]


async def test_two_processes_migrate_at_once(url: str) -> None:
    """The lock is the database's, not this process's."""
    program = (
        "import asyncio, sys; from pincompute.store import schema_migration; asyncio.run(schema_migration.migrate(sys.argv[1]))"
    )
    start = partial(asyncio.create_subprocess_exec, sys.executable, "-c", program, url, stderr=asyncio.subprocess.PIPE)
    both = [await start() for _ in range(2)]
    async with asyncio.timeout(DEADLINE * 2):
        said = [(await process.communicate())[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert await _difference(url) == []


async def test_a_schema_of_a_newer_version_is_left_alone_with_what_to_do(url: str) -> None:
    await schema_migration.migrate(url)
    database = Database(url)
    async with database.writing() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(StoreError, match="start the version that made it, or a newer one"):
        await schema_migration.migrate(url)

"""No write is lost while the database is away, and none is doubled when it is back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from postgresql_server import PostgresServer
from record_builders import DEADLINE, everything, exit_of, opened, state

from pincompute.store.database import Database, StoreError, StoreUnavailable
from pincompute.store.history_store import HistoryStore
from pincompute.store.history_table import HistoryTable, RecordFilter
from pincompute.store.outbox import Outbox


async def eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - the condition is about another task, which sets no event
            await asyncio.sleep(0.005)


@contextmanager
def away(url: str, request: pytest.FixtureRequest) -> Iterator[None]:
    """The database cannot be written: PostgreSQL is down, SQLite's only lock is held by somebody."""
    if url.startswith("sqlite"):
        holder = sqlite3.connect(url.partition("///")[2], isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            holder.rollback()
            holder.close()
        return
    server: PostgresServer = request.getfixturevalue("postgresql")
    server.stop()
    try:
        yield
    finally:
        server.start()


async def _noticed(store: HistoryStore) -> None:
    await eventually(lambda: store.health.trouble)


async def test_what_is_recorded_during_an_outage_is_there_once_and_in_order(
    url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    wanted = [exit_of(1, seconds) for seconds in range(60)]
    async with opened(url, tmp_path / "outbox", memory=100, batch=7) as store:
        store.record(*wanted[:5])
        assert await store.settled(DEADLINE)
        with away(url, request):
            for number, record in enumerate(wanted[5:]):
                store.record(record)
                if number == 10:
                    await _noticed(store)
            assert store.health.waiting == 55
            await eventually(lambda: store.health.on_disk == 55)  # a process that dies now must not take them with it
        assert await store.settled(DEADLINE), store.health
        assert await everything(store) == wanted
        assert (store.health.written, store.health.lost, store.health.trouble) == (60, 0, "")


async def test_what_one_process_could_not_write_the_next_does(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    wanted = [exit_of(1, seconds) for seconds in range(30)]
    first = opened(url, tmp_path / "outbox", memory=100, batch=7)
    await first.__aenter__()
    await first.until_ready()
    with away(url, request):
        first.record(*wanted[:20])
        await _noticed(first)
        first.record(*wanted[20:])
        await first.__aexit__(None, None, None)
    async with opened(url, tmp_path / "outbox") as second:
        assert await second.settled(DEADLINE)
        assert await everything(second) == wanted


async def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    """SQLite: also those who come anew while somebody else's transaction is open."""
    url = f"sqlite+aiosqlite:///{tmp_path}/history.db"
    async with opened(url, tmp_path / "outbox") as store:
        store.record(state(1))
        assert await store.settled(DEADLINE)
    holder = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    database = Database(url)
    assert (await HistoryTable(database).page(RecordFilter("demo"))).records == (state(1),)
    await database.close()
    holder.rollback()
    holder.close()


async def test_the_file_can_shrink(tmp_path: Path) -> None:
    async with opened(f"sqlite+aiosqlite:///{tmp_path}/history.db", tmp_path / "outbox") as store:
        await store.until_ready()
    reader = sqlite3.connect(tmp_path / "history.db")
    assert reader.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    reader.close()


async def test_a_gateway_starts_while_the_database_is_away(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if url.startswith("sqlite"):
        sqlite3.connect(url.partition("///")[2]).close()
    with away(url, request):
        store = opened(url, tmp_path / "outbox")
        await store.__aenter__()
        store.record(state(1))
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await store.history.page(RecordFilter("demo"))
    try:
        assert await store.settled(DEADLINE)
        assert await everything(store) == [state(1)]
    finally:
        await store.__aexit__(None, None, None)


async def test_a_killed_process_doubles_nothing(url: str, tmp_path: Path) -> None:
    """It wrote to the database and died before its outbox knew."""
    wanted = [exit_of(1, seconds) for seconds in range(10)]
    outbox = Outbox(tmp_path / "outbox", memory=100, disk=1 << 20)
    await outbox.open()
    outbox.put(wanted)
    await outbox.close()
    async with opened(url, tmp_path / "outbox", batch=3) as store:
        store.record(wanted[0], wanted[9])
        assert await store.settled(DEADLINE)
        assert await everything(store) == wanted


async def test_what_finds_no_room_is_counted(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with opened(url, tmp_path / "outbox", memory=5) as store:
        await store.until_ready()
        with away(url, request):
            store.record(*(exit_of(1, seconds) for seconds in range(100)))
            assert store.health.lost == 95
        assert await store.settled(DEADLINE)
        assert len(await everything(store)) == 5


async def test_two_gateways_do_not_share_an_outbox(url: str, tmp_path: Path) -> None:
    async with opened(url, tmp_path / "outbox"):
        with pytest.raises(StoreError, match="used by another gateway"):
            await opened(url, tmp_path / "outbox").__aenter__()


@pytest.mark.parametrize(
    ("bad", "says"),
    [("mysql://x", "begins with mysql"), ("nonsense", "cannot be read"), ("sqlite+aiosqlite://", "names no file")],
)
def test_an_address_of_another_database_is_refused_with_what_was_expected(bad: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=says):
        opened(bad, tmp_path / "outbox")

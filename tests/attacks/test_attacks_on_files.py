"""What another user of the machine must not read: history, waiting records, and whatever else a region writes."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pincompute.region import home
from pincompute.region.process.program import Program
from pincompute.region.process.program_log import ProgramLog
from pincompute.store.database import Database
from pincompute.store.outbox import Outbox


@pytest.fixture(autouse=True, params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*")}


async def write(path: Path) -> dict[str, int]:
    """The modes while the database is open, when its -wal and -shm are there."""
    database = Database(f"sqlite+aiosqlite:///{path}")
    try:
        async with database.writing() as connection:
            await connection.execute(sa.text("CREATE TABLE IF NOT EXISTS t (a)"))
            await connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        return modes(path.parents[1])
    finally:
        await database.close()


async def test_history_is_the_owners_alone(tmp_path: Path):
    expected = {"gateway": 0o700} | {f"gateway/gateway.db{end}": 0o600 for end in ("", "-wal", "-shm")}
    assert await write(tmp_path / "gateway" / "gateway.db") == expected


async def test_history_that_others_could_read_is_tightened(tmp_path: Path):
    path = tmp_path / "gateway" / "gateway.db"
    path.parent.mkdir(mode=0o755)
    path.parent.chmod(0o755)
    with sqlite3.connect(path) as left:
        left.execute("PRAGMA journal_mode=WAL")
        left.execute("CREATE TABLE other (a)")
        left.commit()
        for file in path.parent.iterdir():
            file.chmod(0o644)
        found = await write(path)
    left.close()
    assert {mode for name, mode in found.items() if name != "gateway"} == {0o600}
    assert found["gateway"] == 0o755, "a folder that was there may hold other things"


async def test_waiting_records_are_the_owners_alone(tmp_path: Path):
    folder = tmp_path / "outbox"
    for _ in ("new", "opened again"):
        outbox = Outbox(folder, 10, 1 << 20)
        await outbox.open()
        found = modes(folder)
        await outbox.close()
        assert found["outbox.db"] == 0o600
        assert set(found.values()) == {0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        folder.chmod(0o755)
        (folder / "outbox.db").chmod(0o644)


def test_nobody_else_passes_through_a_home(tmp_path: Path):
    place = tmp_path / "home"
    for name in ("", *home.PRIVATE):
        (place / name).mkdir(exist_ok=True, parents=True)
        (place / name).chmod(0o755)
    home.create(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert set(modes(place).values()) == {0o700}


def test_logs_are_the_owners_alone(tmp_path: Path):
    with ProgramLog(tmp_path / "logs" / "a.log").open() as file:
        file.write(b"x")
    assert modes(tmp_path) == {"logs": 0o700, "logs/a.log": 0o600}


def test_programs_write_for_their_owner_alone():
    assert Program(name="a", argv=("a",)).umask == 0o077

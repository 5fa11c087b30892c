"""The outbox keeps every record once and in order, in memory or in its file, while its disk is full and after a kill."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from record_builders import exit_of

from pincompute.store import outbox as module
from pincompute.store import records
from pincompute.store.database import StoreError
from pincompute.store.outbox import Outbox, Row


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    monkeypatch.setattr(module, "RETRY", 0.01)


@asynccontextmanager
async def opened(folder: Path, memory: int = 100, disk: int = 1 << 20) -> AsyncGenerator[Outbox]:
    outbox = Outbox(folder, memory, disk)
    await outbox.open()
    saver = asyncio.create_task(outbox.save_late_records())
    yield outbox
    saver.cancel()
    await outbox.close()


async def saved(outbox: Outbox, count: int) -> None:
    async with asyncio.timeout(10):
        while outbox.on_disk != count:  # noqa: ASYNC110 - another task sets no event
            await asyncio.sleep(0.005)


def codes(rows: Sequence[Row]) -> list[int]:
    return [record.code for _, line in rows if isinstance(record := records.decode(line), records.ExitRecord)]


def exits(first: int, last: int) -> list[records.ExitRecord]:
    return [exit_of(number) for number in range(first, last)]


async def test_a_batch_that_is_saved_while_the_database_takes_it_is_not_written_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        outbox.put(exits(0, 5))
        batch = await outbox.peek(3)
        await saved(outbox, 5)
        outbox.put(exits(5, 6))
        await outbox.written(batch[-1][0])
        assert (codes(batch), len(outbox)) == ([0, 1, 2], 3)
        rest = await outbox.peek(10)
        assert codes(rest)[:2] == [3, 4]
        await outbox.written(rest[1][0])
        last = await outbox.peek(10)
        assert codes(last) == [5]
        await outbox.written(last[0][0])
        assert (len(outbox), outbox.in_memory, outbox.on_disk) == (0, 0, 0)


async def test_a_record_that_is_written_soon_is_never_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    async with opened(tmp_path) as outbox:
        outbox.put(exits(0, 5))
        await outbox.written((await outbox.peek(5))[-1][0])
        await asyncio.sleep(0.2)
        assert sqlite_rows(outbox) == 0


def sqlite_rows(outbox: Any) -> int:
    return len(outbox._file.read(0, 1000))


async def test_the_next_process_takes_over_what_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        outbox.put(exits(0, 5))
        await saved(outbox, 5)
        await outbox.written((await outbox.peek(2))[-1][0])
        outbox.put(exits(5, 7))
    async with opened(tmp_path) as outbox:
        assert (len(outbox), codes(await outbox.peek(100))) == (5, [2, 3, 4, 5, 6])


async def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    """What is in the file is written, then what is in memory; what finds no room in memory is lost and counted."""
    async with opened(tmp_path, memory=1000, disk=64 * 1024) as outbox:
        outbox.put(exits(0, 100))
        await saved(outbox, 100)
        outbox.put(exits(100, 1200))
        assert (outbox.lost, len(outbox)) == (100, 1100)
        await asyncio.sleep(0.1)
        assert outbox.in_memory > 0
        got: list[int] = []
        while len(outbox):
            rows = await outbox.peek(70)
            got += codes(rows)
            await outbox.written(rows[-1][0])
        assert got == list(range(1100))


async def test_a_file_that_shrinks_gives_its_room_back(tmp_path: Path) -> None:
    async with opened(tmp_path, memory=5000, disk=4 << 20) as outbox:
        outbox.put(exits(0, 5000))
        await saved(outbox, 5000)
        await outbox.written((await outbox.peek(5000))[-1][0])
    assert (tmp_path / "outbox.db").stat().st_size < 64 * 1024


async def test_a_file_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=r"outbox\.db cannot be opened: file is not a database; move it away"):
        await Outbox(tmp_path, 1, 1 << 20).open()


async def test_a_folder_that_another_process_uses_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(StoreError, match="used by another gateway"):
            await Outbox(tmp_path, 1, 1 << 20).open()
    sqlite3.connect(tmp_path / "outbox.db").close()

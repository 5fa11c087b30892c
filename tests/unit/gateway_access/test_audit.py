"""The audit log: chained, verified, whole after a crash, honest about a full disk (S-256)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from pincompute.gateway.audit import AuditError, AuditLog, verify
from pincompute.gateway.audit import hash_chain as chains
from pincompute.gateway.audit.audit_files import finished
from pincompute.gateway.call_context import Call, Caller, Operation
from pincompute.gateway.gateway_settings import AuditSettings
from pincompute.gateway.problems import Problem

AT = datetime(2026, 1, 1, tzinfo=UTC)


def call(number: int = 0, verb: str = "create") -> Call:
    return Call(f"r{number}", Caller("alice"), Operation("apps", verb), "demo", "hello", "10.0.0.1", AT)  # type: ignore[arg-type]


async def _write(path: Path, count: int, settings: AuditSettings = AuditSettings()) -> None:  # noqa: B008 - immutable
    async with AuditLog(settings, path) as log:
        for number in range(count):
            await log.begin(call(number))
            await log.record(call(number), allowed=True, status=201)


async def test_a_record_says_who_what_where_and_how_it_was_decided(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    async with AuditLog(AuditSettings(), path) as log:
        await log.record(call(7), allowed=False, status=404, why="no role in this project")
    record = chains.decode(path.read_bytes().splitlines()[0])
    found = msgspec.to_builtins(record)
    assert {name: found[name] for name in found if name not in ("hash", "previous", "time")} == {
        "seq": 1,
        "stage": "done",
        "request": "r7",
        "caller": "alice",
        "kind": "user",
        "source": "10.0.0.1",
        "resource": "apps",
        "verb": "create",
        "project": "demo",
        "name": "hello",
        "allowed": False,
        "status": 404,
        "why": "no role in this project",
    }
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_log_goes_on_over_restarts_and_rotations(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for _ in range(3):
        await _write(path, 20, AuditSettings(rotate=4000))
    report = verify(path)
    assert (not report.faults, report.records, report.first, report.last) == (True, 120, 1, 120)
    assert report.files > 5


async def test_old_files_go_and_the_rest_still_verifies(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    await _write(path, 100, AuditSettings(rotate=4000, keep=3))
    report = verify(path)
    assert (not report.faults, report.files, report.last) == (True, 4, 200)
    assert report.first > 1


def _changed(lines: list[bytes]) -> list[bytes]:
    lines[4] = lines[4].replace(b'"alice"', b'"mallory"')
    return lines


def _changed_with_a_new_hash(lines: list[bytes]) -> list[bytes]:
    record = msgspec.to_builtins(chains.decode(lines[4]))
    entry = chains.AuditEntry(stage="done", time=AT, caller="mallory")
    lines[4] = chains.encode(entry, record["seq"], record["previous"])[0].rstrip(b"\n")
    return lines


def _swapped(lines: list[bytes]) -> list[bytes]:
    lines[4], lines[5] = lines[5], lines[4]
    return lines


TAMPERING = {
    "a changed record": (_changed, "line 5: was changed: its hash is not the hash of what it says"),
    "a changed record with a new hash": (_changed_with_a_new_hash, "line 5: was changed and given a new hash"),
    "a removed record": (lambda lines: lines[:4] + lines[5:], "line 5: record 6 follows record 4"),
    "a removed first record": (lambda lines: lines[1:], ""),
    "two records swapped": (_swapped, "line 5: record 6 follows record 4"),
    "a record doubled": (lambda lines: [*lines[:5], lines[4], *lines[5:]], "line 6: record 5 follows record 5"),
    "a foreign line": (lambda lines: [*lines[:4], b"hello", *lines[4:]], "line 5: is not a record"),
    "an empty line": (lambda lines: [*lines[:4], b"", *lines[4:]], "line 5: is not a record"),
    "a field added": (lambda lines: [lines[0].replace(b"{", b'{"x":1,', 1), *lines[1:]], "line 1: was changed"),
}


@pytest.mark.parametrize(("tamper", "told"), TAMPERING.values(), ids=TAMPERING.keys())
async def test_tampering_shows_with_its_line(tmp_path: Path, tamper: object, told: str) -> None:
    path = tmp_path / "audit.log"
    await _write(path, 5)
    assert not verify(path).faults
    assert callable(tamper)
    path.write_bytes(b"\n".join(tamper(path.read_bytes().splitlines())) + b"\n")
    faults = [str(fault) for fault in verify(path).faults]
    if told:
        assert any(f"{path}, {told}" in fault for fault in faults), faults
    else:  # the beginning may be gone because old files are removed; the report says where it begins
        assert (faults, verify(path).first) == ([], 2)


async def test_a_finished_file_that_lost_its_beginning_shows(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    await _write(path, 20, AuditSettings(rotate=4000))
    first = finished(path)[0]
    first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[1:]))
    assert [str(fault) for fault in verify(path).faults] == [f"{first}, line 1: is not record 1, with which this file began"]


async def test_a_log_cut_off_at_its_end_shows_against_a_head_kept_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    await _write(path, 5)
    head = verify(path).head
    await _write(path, 5)
    assert not verify(path, head).faults
    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[:8]) + b"\n")
    assert not verify(path).faults
    assert [fault.line for fault in verify(path, head).faults] == [8]


@pytest.mark.parametrize("remains", [b'{"seq":11,"previ', b'{"seq":11}', b"\x00\x00\x00"])
async def test_a_torn_last_line_is_named_and_the_log_goes_on(tmp_path: Path, remains: bytes) -> None:
    path = tmp_path / "audit.log"
    await _write(path, 5)
    with path.open("ab") as file:
        file.write(remains)
    report = verify(path)
    assert (not report.faults, [(torn.line, "torn" in torn.what) for torn in report.torn]) == (True, [(11, True)])
    await _write(path, 1)
    report = verify(path)
    assert (not report.faults, report.last) == (True, 13)
    assert [str(torn) for torn in report.torn] == [f"{path}, line 11: torn by a crash, named by record 11"]
    assert remains in path.read_bytes()


async def test_remains_that_were_changed_afterwards_are_tampering(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    await _write(path, 1)
    with path.open("ab") as file:
        file.write(b'{"seq":3,"caller":"alice"')
    await _write(path, 1)
    path.write_bytes(path.read_bytes().replace(b'{"seq":3,"caller":"alice"', b'{"seq":3,"caller":"bobby"'))
    assert [fault.line for fault in verify(path).faults] == [3]


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from pincompute.gateway.audit import AuditLog
from pincompute.gateway.call_context import Call, Caller, Operation
from pincompute.gateway.gateway_settings import AuditSettings

async def main():
    async with AuditLog(AuditSettings(rotate=50_000), Path(sys.argv[1])) as log:
        number = 0
        while True:
            number += 1
            call = Call(f"r{number}", Caller("a"), Operation("apps", "create"), "demo", "x", "", datetime.now(UTC))
            await log.begin(call)
            print(number, flush=True)

asyncio.run(main())
"""


def test_no_record_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path, told = tmp_path / "audit.log", 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(300):
                assert writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            told += 300 + writer.stdout.read().count(b"\n")
        report = verify(path)
        assert not report.faults, report.faults
        assert report.records >= told
    assert verify(path).files > 1


def test_two_writers_of_one_file_are_refused(tmp_path: Path) -> None:
    async def both() -> None:
        async with AuditLog(AuditSettings(), tmp_path / "audit.log"), AuditLog(AuditSettings(), tmp_path / "audit.log"):
            pass

    with pytest.raises(AuditError, match="written by another process"):
        asyncio.run(both())


async def test_a_log_whose_end_was_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    await _write(path, 2)
    path.write_bytes(path.read_bytes().replace(b"alice", b"mallo"))
    with pytest.raises(AuditError, match="audit verify"):
        await _write(path, 1)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of half a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def _fill(place: Path) -> Path:
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            return filler


async def _until_full(log: AuditLog) -> tuple[int, Problem]:
    """How many calls were let in, and what the next one was told."""
    for number in range(10_000):
        try:
            await log.begin(call(number))
        except Problem as problem:
            return number, problem
    raise AssertionError("the disk never filled")


async def test_a_full_disk_refuses_what_must_be_recorded_and_heals(full_disk: Path) -> None:
    path = full_disk / "audit.log"
    async with AuditLog(AuditSettings(), path) as log:
        await log.begin(call())
        filler = _fill(full_disk)
        admitted, problem = await _until_full(log)
        assert (problem.status, problem.code) == (503, "unavailable")
        assert "No space left" in problem.detail
        await log.record(call(), allowed=True, status=201)  # an outcome never fails; it waits
        filler.unlink()
        await log.begin(call())
        assert log.trouble == ""
    report = verify(path)
    assert not report.faults, report.faults
    assert (report.records, report.torn) == (1 + admitted + 2, ())


async def test_a_full_disk_lets_go_on_when_it_is_set_so_and_owes_the_records(full_disk: Path) -> None:
    path = full_disk / "audit.log"
    async with AuditLog(AuditSettings(fail_open=True), path) as log:
        filler = _fill(full_disk)
        for number in range(100):
            await log.begin(call(number))
            await log.record(call(number), allowed=True, status=201)
        assert "space" in log.trouble
        filler.unlink()
        await log.record(call(), allowed=False, status=403)
        assert log.trouble == ""
    report = verify(path)
    assert (not report.faults, report.records) == (True, 201)


async def test_what_was_too_much_to_owe_is_counted(full_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pincompute.gateway.audit import audit_log as module

    monkeypatch.setattr(module, "OWED", 10)
    path = full_disk / "audit.log"
    async with AuditLog(AuditSettings(fail_open=True), path) as log:
        filler = _fill(full_disk)
        for number in range(4000):
            await log.record(call(number), allowed=False, status=403)
        filler.unlink()
        await log.record(call(), allowed=False, status=403)
    lost = [record for line in path.read_bytes().splitlines() if (record := chains.decode(line)).stage == "lost"]
    report = verify(path)
    assert not report.faults
    assert [record.lost + report.records - 1 for record in lost] == [4001]


async def test_a_folder_that_cannot_be_written_refuses_to_start_unless_it_fails_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "audit.log"
    with pytest.raises(AuditError, match="failOpen"):
        await _write(path, 1)
    await _write(path, 1, AuditSettings(fail_open=True))


async def test_always_waits_for_the_disk_together(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    async with AuditLog(AuditSettings(sync="always"), path) as log:
        await asyncio.gather(*(log.begin(call(number)) for number in range(50)))
        assert verify(path).records == 50

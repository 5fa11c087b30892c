"""What waits to be written: once and in order, whatever goes to disk while a batch is on its way."""

from __future__ import annotations

from pathlib import Path

from record_builders import exit_of

from pincompute.store import records
from pincompute.store.backlog import Backlog


def codes(lines: list[bytes]) -> list[int]:
    return [record.code for line in lines if isinstance(record := records.decode(line), records.ExitRecord)]


def test_a_slow_batch_that_was_brought_to_disk_is_not_written_again(tmp_path: Path) -> None:
    """A write that takes long may never end, so what it writes is on disk meanwhile; then it ends well."""
    backlog = Backlog(tmp_path, memory=10, disk=1 << 20)
    backlog.open()
    backlog.put(exit_of(number) for number in range(5))
    batch = backlog.peek(3)
    backlog.spill()
    backlog.put([exit_of(5)])
    backlog.done(len(batch))
    assert (codes(batch), len(backlog)) == ([0, 1, 2], 3)
    assert codes(backlog.peek(10)) == [3, 4]
    backlog.done(2)
    assert codes(backlog.peek(10)) == [5]
    backlog.done(1)
    backlog.done(0)
    assert len(backlog) == 0
    backlog.close()

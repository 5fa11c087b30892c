"""What the commands of a region print where nothing can be drawn: each line is whole, and a long task is never silent."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from pincompute.region import progress
from pincompute.region.process.program_runner import ProgramState
from pincompute.region.progress import Progress


def test_a_long_task_is_told_at_its_start_and_from_time_to_time_and_when_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TELL", 0.02)
    written = io.StringIO()
    with Progress(Console(file=written)) as shown, shown.task("building kubernetes", 0, 400):
        end = time.monotonic() + 10
        while "longer than" not in written.getvalue():
            assert time.monotonic() < end
            time.sleep(0.01)
    first, second, *_ = (line.partition(" s  ")[2] for line in written.getvalue().splitlines())
    assert first == "building kubernetes: about 0s of 6m"
    assert second == "building kubernetes: 0s, longer than the expected 0s; still running"


def test_a_task_that_is_in_time_says_how_far_it_is() -> None:
    assert progress._measured(125, 250) == "2m of about 4m"


def test_in_a_pipe_every_program_has_one_line_however_long_its_reason_is() -> None:
    states = (
        ProgramState(name="gateway", phase="backoff", since=990, restarts=2, reason="ended with status 1:\n " + "x" * 200),
        ProgramState(name="host-etcd", phase="ready", pid=12, since=900),
    )
    head, first, second = progress.lines(states, 1000)
    assert head == "PROGRAM    STATE    SINCE  PID  RESTARTS  WHY\n"
    assert first == f"gateway    backoff  10s         2         ended with status 1: {'x' * 200}\n"
    assert second == "host-etcd  ready    100s   12\n"

"""The watchdog: what a late heartbeat means, and that it sees who held the loop up."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from pincompute.engine import event_loop_watchdog
from pincompute.engine.event_loop_watchdog import LOG_EVERY, LoopStall, StallCause, StallDetector, WatchdogMetrics, watching


def counted(registry: CollectorRegistry, cause: StallCause) -> float:
    return registry.get_sample_value("pincompute_loop_stalls_total", {"cause": cause.value}) or 0.0


BEATS: dict[str, tuple[LoopStall, dict[StallCause, int]]] = {
    "in time": (LoopStall(0.0, 0.0), {}),
    "a little late": (LoopStall(0.05, 0.06), {}),
    "late, for the thread computed": (LoopStall(0.06, 0.07), {StallCause.COMPUTING: 1}),
    "late, though the thread hardly ran": (LoopStall(0.06, 0.01), {StallCause.WAITING: 1}),
}


@pytest.mark.parametrize("case", BEATS)
def test_a_heartbeat(case: str) -> None:
    stall, expected = BEATS[case]
    registry = CollectorRegistry()
    StallDetector(WatchdogMetrics(registry)).beat(0.0, stall)
    assert {cause: counted(registry, cause) for cause in StallCause} == {cause: expected.get(cause, 0) for cause in StallCause}
    assert registry.get_sample_value("pincompute_loop_lag_seconds_count") == 1
    for cause in expected:
        longest = registry.get_sample_value("pincompute_loop_longest_stall_seconds", {"cause": cause.value})
        assert longest == stall.lag


def test_the_first_stall_is_logged_and_then_the_worst_of_each_minute() -> None:
    judge = StallDetector(WatchdogMetrics(CollectorRegistry()))
    first, long, longer, waiting = LoopStall(0.1, 0.1), LoopStall(0.2, 0.2), LoopStall(0.3, 0.3), LoopStall(9.0, 0.0)
    assert judge.beat(0.0, first) == first
    for number, stall in enumerate((long, longer, waiting, long), 1):
        assert judge.beat(float(number), stall) is None
    assert judge.beat(LOG_EVERY, LoopStall(0.0, 0.0)) == longer
    assert judge.beat(LOG_EVERY * 2, LoopStall(0.0, 0.0)) is None, "nothing happened since"


def compute(seconds: float) -> None:
    """Uses the thread for so long, however long that takes on this machine."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize(("hold_up", "cause"), [(compute, StallCause.COMPUTING), (time.sleep, StallCause.WAITING)])
async def test_who_holds_the_loop_up_is_counted_and_logged_with_the_place(
    hold_up: Callable[[float], Any], cause: StallCause, caplog: pytest.LogCaptureFixture
) -> None:
    registry = CollectorRegistry()
    with watching(registry):
        await asyncio.sleep(0.05)
        culprit(hold_up)
        async with asyncio.timeout(10):
            while not counted(registry, cause):  # noqa: ASYNC110 - the heartbeat sets no event
                await asyncio.sleep(0.01)
    logged = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert any("in culprit" in vars(record)["place"] for record in logged if vars(record)["cause"] == cause)


def culprit(hold_up: Callable[[float], Any]) -> None:
    hold_up(0.3)


async def test_nothing_of_it_is_left_when_it_ends() -> None:
    before = len(asyncio.all_tasks())
    with watching(CollectorRegistry()):
        await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) == before
    assert not [thread for thread in threading.enumerate() if thread.name == "watchdog"]


class Listening(logging.Handler):
    """Wakes whoever waits for a loop that stands to be reported."""

    def __init__(self) -> None:
        super().__init__()
        self.found = list[dict[str, Any]]()
        self.reported = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "the event loop is blocked":
            self.found.append(vars(record))
            self.reported.set()


async def test_a_loop_that_stands_is_reported_once_while_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the loop can report it, and it may stand for ever."""
    monkeypatch.setattr(event_loop_watchdog, "BLOCKED_AFTER", 0.3)
    listening = Listening()
    event_loop_watchdog.log.addHandler(listening)
    try:
        with watching(CollectorRegistry()):
            for number in (1, 2):
                listening.reported.clear()
                await asyncio.sleep(0.2)
                stands_until(listening.reported)
                assert len(listening.found) == number
    finally:
        event_loop_watchdog.log.removeHandler(listening)
    assert all("in stands_until" in found["place"] and found["seconds"] >= 0.3 for found in listening.found)


def stands_until(reported: threading.Event) -> None:
    assert reported.wait(10)
    time.sleep(0.5)  # long enough for a second report

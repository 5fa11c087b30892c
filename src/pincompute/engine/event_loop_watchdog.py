"""Watches an event loop: it measures how late the loop is, and finds out what blocks it. It is always on.

A heartbeat in the loop measures its own delay; more than 50 ms is a stall. The thread's CPU clock tells the cause: it computed
for all of that time, which is our code's fault, or it waited, for a busy machine or in a blocking call. A second thread
samples the loop's stack while the heartbeat is overdue, so that the log names the place. It also reports a loop that is
blocked for seconds while it is still blocked, because the loop itself may never come to it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

log = logging.getLogger(__name__)

STALL = 0.05  # seconds of lateness that are a stall: never a shorter one, and surely one that lasts a beat longer
CALM, BUSY = 0.05, 0.02  # seconds between heartbeats: more of them would cost too much where nothing happens
SHARE = 0.2  # of the time that a busy thread computes
PATIENCE = CALM + STALL  # seconds for which the second thread waits for a heartbeat
BLOCKED_AFTER = 5.0  # seconds after which a stall is reported while it lasts
LOG_EVERY = 60.0  # seconds between two logs, each of the worst stall since the last
DEPTH = 12  # innermost frames that are logged
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class StallCause(StrEnum):
    """What the loop's thread did during a stall."""

    COMPUTING = "computing"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class LoopStall:
    """One stall. `lag` is how late the heartbeat was, `computed` how long the thread surely ran meanwhile, in seconds; `place`
    is the sampled stack, innermost frame last.
    """

    lag: float
    computed: float
    place: str = ""

    @property
    def cause(self) -> StallCause:
        return StallCause.COMPUTING if self.computed > STALL else StallCause.WAITING

    def worse_than(self, other: LoopStall | None) -> bool:
        """Returns whether this stall is worse: one that our code caused is worse than one that it may have suffered."""
        if other is None or self.cause is not other.cause:
            return other is None or self.cause is StallCause.COMPUTING
        return self.lag > other.lag


class WatchdogMetrics:
    """The watchdog's metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = Histogram(
            "pincompute_loop_lag_seconds",
            "By how much the event loop's heartbeat comes late.",
            buckets=BUCKETS,
            registry=registry,
        )
        self.stalls = Counter(
            "pincompute_loop_stalls",
            "Times the event loop was held up for more than 50 ms, by what its thread did meanwhile.",
            ("cause",),
            registry=registry,
        )
        self.longest = Gauge(
            "pincompute_loop_longest_stall_seconds",
            "Longest time that the event loop was held up, by what its thread did meanwhile.",
            ("cause",),
            registry=registry,
        )


class StallDetector:
    """Interprets each heartbeat. It has no clock of its own."""

    def __init__(self, metrics: WatchdogMetrics) -> None:
        self._metrics = metrics
        self._longest = dict.fromkeys(StallCause, 0.0)
        self._untold: LoopStall | None = None
        self._told = float("-inf")
        for cause in StallCause:
            metrics.stalls.labels(cause)
            metrics.longest.labels(cause)

    def beat(self, now: float, stall: LoopStall) -> LoopStall | None:
        """Takes a heartbeat's delay and returns the stall to log now, if any."""
        self._metrics.lag.observe(stall.lag)
        if stall.lag > STALL:
            self._count(stall)
        if self._untold is None or now - self._told < LOG_EVERY:
            return None
        worst, self._untold, self._told = self._untold, None, now
        return worst

    def _count(self, stall: LoopStall) -> None:
        self._metrics.stalls.labels(stall.cause).inc()
        if stall.lag > self._longest[stall.cause]:
            self._longest[stall.cause] = stall.lag
            self._metrics.longest.labels(stall.cause).set(stall.lag)
        if stall.worse_than(self._untold):
            self._untold = stall


class StackSampler(threading.Thread):
    """Samples the stack of the loop's thread once when a heartbeat is overdue, and reports a loop that is blocked."""

    def __init__(self, watched: int) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._watched = watched
        self._beat = time.monotonic()
        self._place = ""
        self._over = threading.Event()

    def take(self) -> str:
        """Ends the wait for a heartbeat and returns where the loop was seen before, empty when the heartbeat was in time."""
        place, self._place, self._beat = self._place, "", time.monotonic()
        return place

    def end(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        wait, awaited, blocked = PATIENCE, self._beat, 0.0
        while not self._over.wait(wait):
            beat = self._beat
            left = beat + PATIENCE - time.monotonic()
            if left > 0:
                wait = left
                continue
            self._place = self._place or self._look()
            before = blocked if beat == awaited else 0.0
            wait, awaited, blocked = (
                PATIENCE,
                beat,
                before + PATIENCE,
            )  # not by a clock, which goes on while the process is stopped
            if before < BLOCKED_AFTER <= blocked:
                log.error("the event loop is blocked", extra={"seconds": round(blocked, 1), "place": self._look()})

    def _look(self) -> str:
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no other way
        return "".join(traceback.format_stack(frame)[-DEPTH:]) if frame is not None else ""


class Heartbeat:
    """The heartbeat in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, judge: StallDetector, lookout: StackSampler) -> None:
        self._loop = loop
        self._judge = judge
        self._lookout = lookout
        self._begin(CALM)

    def stop(self) -> None:
        self._next.cancel()

    def _begin(self, interval: float) -> None:
        self._interval = interval
        self._computed = time.thread_time()
        self._due = time.monotonic() + interval
        self._next = self._loop.call_later(interval, self._beat)

    def _beat(self) -> None:
        """What the thread computed before the heartbeat was due is unknown, so all of that time is taken off."""
        now, computed = time.monotonic(), time.thread_time() - self._computed
        stall = LoopStall(max(0.0, now - self._due), max(0.0, computed - self._interval), self._lookout.take())
        worst = self._judge.beat(now, stall)
        if worst is not None:
            facts = {"seconds": round(worst.lag, 3), "cause": str(worst.cause), "place": worst.place}
            log.warning("the event loop was held up", extra=facts)
        self._begin(BUSY if computed > SHARE * self._interval else CALM)


@contextmanager
def watching(registry: CollectorRegistry) -> Generator[None]:
    """Watches the running loop while the context is open."""
    lookout = StackSampler(threading.get_ident())
    lookout.start()
    heart = Heartbeat(asyncio.get_running_loop(), StallDetector(WatchdogMetrics(registry)), lookout)
    try:
        yield
    finally:
        heart.stop()
        lookout.end()

"""Orders log lines of many nodes: exactly for the past, by a short wait for live lines, and by arrival where clocks are wrong.

A clock counts as wrong when lines come from its future, or when live lines are older than any delay explains. Lines of such a
source are ordered by their arrival, so that they are not sorted into last week.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pincompute.gateway.operation.logs.line_format import SECOND, Stamped

WAIT = 300_000_000  # nanoseconds a live line waits for older ones from elsewhere
AHEAD = 2 * SECOND  # a clock that is further ahead is wrong
BEHIND = 10 * SECOND  # a clock that is further behind is wrong
PROOF = 3  # late lines in a row that prove a slow clock
MOST_WAITING = 5000  # lines; more are let through at once


@dataclass(slots=True)
class ClockSkew:
    """The error of one source's clock. `offset`, in nanoseconds, is added to its times; it is 0 while they are plausible."""

    offset: int = 0
    _late: list[int] = field(default_factory=list[int], init=False)

    def judge(self, at: int, arrived: int, *, fresh: bool) -> bool:
        """Compare a line's time with its arrival; true when the verdict changes. `fresh`: written just now."""
        before = self.offset
        if at - arrived > AHEAD:
            self.offset = arrived - at
        elif fresh and arrived - at > BEHIND:
            self._late.append(arrived - at)
            if len(self._late) >= PROOF:
                self.offset = min(self._late)
        elif fresh:
            self.offset, self._late = 0, []
        return bool(before) != bool(self.offset)


@dataclass(slots=True)
class ReorderBuffer:
    """Holds live lines for a short time and emits them in order of time."""

    emit: Callable[[Stamped], None]
    wait: int = WAIT
    _heap: list[tuple[int, int, int, Stamped]] = field(default_factory=list[tuple[int, int, int, Stamped]], init=False)
    _sequence: int = field(default=0, init=False)

    @property
    def empty(self) -> bool:
        return not self._heap

    def push(self, at: int, line: Stamped, arrived: int) -> None:
        """Add a line at its place in the order, which is not its own time when its clock is wrong."""
        self._sequence += 1
        heapq.heappush(self._heap, (at, self._sequence, arrived, line))
        if len(self._heap) > MOST_WAITING:
            self.flush(arrived + self.wait)

    def flush(self, now: int) -> None:
        """Emit every line that has waited long enough, and all that belong before it."""
        ripe = [at for at, _, arrived, _ in self._heap if arrived + self.wait <= now]
        if not ripe:
            return
        last = max(ripe)
        while self._heap and self._heap[0][0] <= last:
            self.emit(heapq.heappop(self._heap)[3])


def newest(found: Iterable[Stamped], count: int) -> list[Stamped]:
    """The last `count` lines, in order."""
    return sorted(heapq.nlargest(count, found, key=lambda s: s.at), key=lambda s: s.at)

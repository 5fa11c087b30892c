"""The order of lines that come from many nodes: exact for the past, by a short wait for what is live, marked where clocks lie.

A clock is taken for wrong when lines come from its future, or when live lines are older than any delay explains. Lines of
such a source are ordered by their arrival, so that they are not sorted into last week.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pincompute.gateway.operation.logs.log_lines import SECOND, Stamped

WAIT = 300_000_000  # nanoseconds a live line waits for older ones from elsewhere
AHEAD = 2 * SECOND  # a clock may be so far ahead before it is called wrong
BEHIND = 10 * SECOND  # and so far behind
PROOF = 3  # lines in a row that must be late before a clock is called slow
MOST_WAITING = 5000  # lines; more are let through at once


@dataclass(slots=True)
class ClockSkew:
    """Of one source's clock. `offset` in nanoseconds, what has to be added to its times; 0 while they are believed."""

    offset: int = 0
    _late: list[int] = field(default_factory=list[int], init=False)

    def judge(self, at: int, arrived: int, *, fresh: bool) -> bool:
        """True when the verdict about the clock has changed with this line. `fresh`: it was written just now."""
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
    """Live lines, given on in order of time once they have waited for each other."""

    emit: Callable[[Stamped], None]
    wait: int = WAIT
    _heap: list[tuple[int, int, int, Stamped]] = field(default_factory=list[tuple[int, int, int, Stamped]], init=False)
    _sequence: int = field(default=0, init=False)

    @property
    def empty(self) -> bool:
        return not self._heap

    def push(self, at: int, line: Stamped, arrived: int) -> None:
        """`at` is its place in the order, which is not its own time when its clock is wrong."""
        self._sequence += 1
        heapq.heappush(self._heap, (at, self._sequence, arrived, line))
        if len(self._heap) > MOST_WAITING:
            self.flush(arrived + self.wait)

    def flush(self, now: int) -> None:
        """Gives on every line that has waited long enough, and all that belong before it."""
        ripe = [at for at, _, arrived, _ in self._heap if arrived + self.wait <= now]
        if not ripe:
            return
        last = max(ripe)
        while self._heap and self._heap[0][0] <= last:
            self.emit(heapq.heappop(self._heap)[3])


def newest(found: Iterable[Stamped], count: int) -> list[Stamped]:
    """The last `count`, in order."""
    return sorted(heapq.nlargest(count, found, key=lambda s: s.at), key=lambda s: s.at)

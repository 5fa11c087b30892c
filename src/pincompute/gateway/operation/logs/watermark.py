"""Remembers which lines of a log were shown, so that it can be requested again without a line lost or doubled.

A log can be requested from a time in whole seconds. So every line of the newest second is remembered by its time and a
checksum, and dropped when it comes again. Lines are matched and not counted, because after a rotation the node repeats only
those of its newest file.
"""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field

from pincompute.gateway.operation.logs.line_format import SECOND, rfc3339

REMEMBERED = 50_000  # lines of one second; a log that writes more may repeat some after a break


@dataclass(slots=True)
class Watermark:
    """How far one container's log was shown."""

    newest: int = 0
    _second: int = field(default=0, init=False)
    _shown: Counter[tuple[int, int]] = field(default_factory=Counter[tuple[int, int]], init=False)
    _again: Counter[tuple[int, int]] = field(default_factory=Counter[tuple[int, int]], init=False)

    @property
    def since(self) -> str:
        """Returns from when to request the log; empty when nothing was shown yet."""
        return rfc3339(self._second * SECOND) if self.newest else ""

    def reopened(self) -> None:
        """Expect the shown lines of the newest second again, because the log is requested again."""
        self._again = self._shown.copy()

    def is_new(self, at: int, raw: bytes) -> bool:
        """Whether this line was not shown before; if so, remember it."""
        identity = (at, zlib.crc32(raw))
        if self._again.get(identity, 0) > 0:
            self._again[identity] -= 1
            return False
        if at < self._second * SECOND:
            return True  # out of order by more than its second, or older than requested
        self._remember(at, identity)
        return True

    def _remember(self, at: int, identity: tuple[int, int]) -> None:
        self.newest = max(self.newest, at)
        second = self.newest // SECOND
        if second > self._second:
            self._second = second
            self._shown = Counter({key: count for key, count in self._shown.items() if key[0] >= second * SECOND})
        if len(self._shown) < REMEMBERED:
            self._shown[identity] += 1

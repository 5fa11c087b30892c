"""Buffers a bounded number of log lines between the readers of logs and the client, and counts what does not fit.

Past lines wait for room. Live lines do not wait, because the node goes on writing: lines that do not fit are counted, and a
mark says so as soon as there is room.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from pincompute.gateway.operation.logs.line_format import Stamped, mark

LARGEST = 256 * 1024  # bytes of one stream
SMALLEST = 16 * 1024
ALL = 64 * 1024 * 1024  # bytes of all streams of a gateway together


@dataclass(slots=True)
class BufferBudget:
    """The memory of all streams together: the more streams there are, the less each may hold."""

    streams: int = 0

    @property
    def share(self) -> int:
        return max(SMALLEST, min(LARGEST, ALL // max(1, self.streams)))


@dataclass(slots=True)
class LineBuffer:
    """The lines of one stream. After `close`, `take` returns what is left, and then nothing."""

    budget: BufferBudget
    _lines: list[Stamped] = field(default_factory=list[Stamped], init=False)
    _size: int = field(default=0, init=False)
    _dropped: int = field(default=0, init=False)
    _closed: bool = field(default=False, init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _room: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def put(self, line: Stamped) -> None:
        """Add a line, once there is room."""
        while self._full():
            self._room.clear()
            await self._room.wait()
        self._append(line)

    def offer(self, line: Stamped) -> None:
        """Add a line, or count it as dropped when there is no room."""
        if self._full():
            self._dropped += 1
            return
        if self._dropped:
            self._append(_lost(self._dropped, line.at))
            self._dropped = 0
        self._append(line)

    def close(self) -> None:
        self._closed = True
        self._news.set()

    async def take(self) -> list[Stamped]:
        """All lines, once there are any; none when the buffer is closed and empty."""
        while not self._lines and not self._closed:
            self._news.clear()
            await self._news.wait()
        taken, self._lines, self._size = self._lines, [], 0
        if self._dropped and self._closed:
            taken.append(_lost(self._dropped, taken[-1].at if taken else 0))
            self._dropped = 0
        self._room.set()
        return taken

    def _full(self) -> bool:
        return self._size >= self.budget.share

    def _append(self, line: Stamped) -> None:
        self._lines.append(line)
        self._size += line.line.size
        self._news.set()


def _lost(count: int, at: int) -> Stamped:
    lines = "1 line was" if count == 1 else f"{count} lines were"
    return mark("dropped", f"{lines} dropped, because they were not read fast enough", at)

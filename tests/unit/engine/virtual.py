"""An event loop whose time is virtual: when nothing can run, it is at once the time of the next timer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
TICK = 1e-9  # seconds by which time goes past a timer: what is due at that very time is due then, however it is rounded


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._now = max(self._now, self._scheduled[0].when() + TICK)
        super()._run_once()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs the coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)

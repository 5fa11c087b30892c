"""Polls the states of a region's programs while a command waits for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pincompute.region.process import supervisor_socket
from pincompute.region.process.program_runner import ProgramState
from pincompute.region.progress import Progress
from pincompute.region.region_error import RegionError

POLL = 0.1  # seconds between two polls
TRIES = 4  # ends after which a program that was never ready is given up


class ProgramStates:
    """The latest state of every program, and waiting for it. Run `poll` as a task beside what waits."""

    def __init__(self, home: Path, progress: Progress) -> None:
        self._home = home
        self._progress = progress
        self._states: dict[str, ProgramState] = {}
        self._restarts: dict[str, int] = {}
        self._changed = asyncio.Condition()

    async def poll(self) -> None:
        """Poll until cancelled."""
        while True:
            state = supervisor_socket.ask(self._home, "status", deadline=10.0)
            async with self._changed:
                self._states = {program.name: program for program in state.programs}
                self._changed.notify_all()
            self._progress.show(state.programs)
            await asyncio.sleep(POLL)

    async def ready(self, *names: str, deadline: float = 120.0) -> None:
        """Return when all these programs are ready; say which one is not and why otherwise."""
        try:
            async with asyncio.timeout(deadline), self._changed:
                while late := [name for name in names if not self._is_ready(name)]:
                    self._give_up_on_hopeless(late)
                    await self._changed.wait()
        except TimeoutError:
            late = [name for name in names if not self._is_ready(name)]
            raise RegionError(f"not ready after {deadline:g} s: {self._explain(late)}") from None

    def _is_ready(self, name: str) -> bool:
        state = self._states.get(name)
        return state is not None and state.phase == "ready"

    def _give_up_on_hopeless(self, names: list[str]) -> None:
        for name in names:
            state = self._states.get(name)
            if state is None:
                continue
            first = self._restarts.setdefault(name, state.restarts)
            if state.restarts - first >= TRIES:
                raise RegionError(f"{name} does not start: {state.last_end}; its log is {self._log(name)}")

    def _explain(self, names: list[str]) -> str:
        return "; ".join(f"{name} ({self._reason(name)}; log {self._log(name)})" for name in names)

    def _reason(self, name: str) -> str:
        state = self._states.get(name)
        return (state.last_end or state.reason or state.phase) if state else "not among the programs"

    def _log(self, name: str) -> Path:
        return self._home / "logs" / f"{name}.log"

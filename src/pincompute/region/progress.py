"""Shows the progress of a command: a live table on a terminal, one line per event anywhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress import Progress as Bars
from rich.progress import ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pincompute.region.process.program_runner import Phase, ProgramState

STYLES: dict[Phase, str] = {
    "ready": "green",
    "starting": "yellow",
    "unready": "bold red",
    "waiting": "dim",
    "backoff": "bold red",
    "stopping": "yellow",
    "stopped": "dim",
}


COLUMNS = ("PROGRAM", "STATE", "SINCE", "PID", "RESTARTS", "WHY")
TELL = 60.0  # seconds between two lines about a long task where nothing is drawn


class Progress:
    """Shows steps and programs; made for one command."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = time.monotonic()
        self._told: dict[str, Phase] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._begun

    def say(self, message: str) -> None:
        """A step that is done or begins."""
        self._console.print(Text(f"{self.elapsed:6.1f} s  ", style="dim") + Text.from_markup(message), soft_wrap=True)

    def show(self, states: Iterable[ProgramState]) -> None:
        """The present state of every program."""
        states = tuple(states)
        if self._live is not None:
            self._live.update(table(states, time.time()))
            return
        if not self._told:  # what runs already when the command begins is no news
            self._told = {state.name: state.phase for state in states}
        for state in states:
            if state.phase in ("ready", "backoff") and self._told.get(state.name) != state.phase:
                self._told[state.name] = state.phase
                self.say(f"{state.name} {state.phase}{f': {state.reason}' if state.phase == 'backoff' else ''}")

    @contextmanager
    def task(self, name: str, seconds: float, left: float) -> Generator[None, None, None]:
        """Something that takes long: time passed, and about how long this (`seconds`) and all the rest (`left`) should take."""
        if self._live is not None:
            self._live.update(_bar(name, seconds, left))
            yield
            self._live.update("")
            return
        self.say(f"{name}: about {age(seconds)} of {age(left)}")
        ended = threading.Event()
        telling = threading.Thread(target=self._tell, args=(name, seconds, ended), daemon=True)
        telling.start()
        try:
            yield
        finally:
            ended.set()
            telling.join()

    def _tell(self, name: str, seconds: float, ended: threading.Event) -> None:
        begun = time.monotonic()
        while not ended.wait(TELL):
            passed = time.monotonic() - begun
            self.say(f"{name}: {_measured(passed, seconds)}")


def _measured(passed: float, seconds: float) -> str:
    if passed > seconds:
        return f"{age(passed)}, longer than the expected {age(seconds)}; still running"
    return f"{age(passed)} of about {age(seconds)}"


class _ExpectedColumn(ProgressColumn):
    """What the time should be, and that it is over."""

    def render(self, task: Task) -> Text:
        seconds, left = task.fields["seconds"], task.fields["left"]
        if (task.elapsed or 0.0) > seconds:
            return Text(f"longer than the expected {age(seconds)}; still running", style="yellow")
        return Text(f"of about {age(seconds)}; {age(left)} with the rest")


class _PassedColumn(ProgressColumn):
    """A bar that follows the clock against what was measured: a build says nothing about how far it is."""

    def render(self, task: Task) -> ProgressBar:
        seconds: float = task.fields["seconds"]
        return ProgressBar(total=seconds, completed=min(task.elapsed or 0.0, 0.97 * seconds), width=30)


def _bar(name: str, seconds: float, left: float) -> Bars:
    bars = Bars(SpinnerColumn(), TextColumn("{task.description}"), _PassedColumn(), TimeElapsedColumn(), _ExpectedColumn())
    bars.add_task(name, total=None, seconds=seconds, left=left)
    return bars


def table(states: Iterable[ProgramState], now: float) -> Table:
    """Programs with state, age, restarts and the reason for what is not well."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        shown.add_column(column, no_wrap=column != "WHY", overflow="ellipsis")
    for state in states:
        name, phase, *others, why = _cells(state, now)
        shown.add_row(name, Text(phase, style=STYLES[state.phase]), *others, Text(why))
    return shown


def lines(states: Iterable[ProgramState], now: float) -> Iterator[str]:
    """The same for a pipe: one line for each program, however long it is."""
    rows = [COLUMNS, *(_cells(state, now) for state in states)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"


def _cells(state: ProgramState, now: float) -> tuple[str, ...]:
    why = state.reason or (f"before: {state.last_end}" if state.last_end else "")
    restarts, pid = str(state.restarts or ""), str(state.pid or "")
    return (state.name, state.phase, age(now - state.since), pid, restarts, " ".join(why.split()))


def age(seconds: float) -> str:
    """As kubectl prints it: 12s, 5m, 3h, 4d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"

"""`pin list --watch`: redraws the list on a terminal while it changes; in a pipe, prints the rows that changed.

The server's stream of changes is followed in a thread of its own, so that ages move on while nothing comes.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pincompute_sdk.cli import live_view
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.output import table, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.status_tree import AGE
from pincompute_sdk.core.events import RESET, ServerEvent
from pincompute_sdk.generated.kinds import Workload

PACE = 0.5  # seconds between two pictures at least
REFRESH = 10.0  # seconds after which a picture is drawn again although nothing came: ages
SYNCED = "synced"
GONE = "Deleted"

Row = tuple[str, ...]


@dataclass(slots=True)
class WatchedList:
    """The workloads as the events so far leave them. `current` is false while the whole state is on its way."""

    model: type[Workload]
    order: Callable[[Workload], Any]
    descending: bool = False
    items: dict[tuple[str, str], Workload] = field(default_factory=dict[tuple[str, str], Workload])
    current: bool = False

    def apply(self, event: ServerEvent) -> None:
        if event.name == RESET:
            self.items.clear()
            self.current = False
        elif event.name == SYNCED:
            self.current = True
        elif event.name in ("added", "modified", "deleted"):
            one = msgspec.json.decode(event.data, type=self.model)
            if event.name == "deleted":
                self.items.pop((one.project, one.name), None)
            else:
                self.items[one.project, one.name] = one

    def sorted(self) -> list[Workload]:
        return sorted(self.items.values(), key=self.order, reverse=self.descending)


def follow(
    events: Callable[[], Iterator[ServerEvent]], watched: WatchedList, view: ResourceView[Workload], *, wide: bool
) -> None:
    """Until Ctrl-C. Raises what the stream raises when it cannot be resumed."""
    columns = [column for column in view.columns if wide or not column.wide]
    changed = ChangedRows(columns)
    with Picture() as picture:
        for _ in _paced(_read(events), watched):
            rows = watched.sorted()
            if picture.moving:
                picture.draw(live_view.table_lines(rows, columns, view.nothing))
            else:
                changed.show(rows)


def _read(events: Callable[[], Iterator[ServerEvent]]) -> queue.SimpleQueue[ServerEvent | Exception]:
    """What the stream yields, and the error with which it ends."""
    news: queue.SimpleQueue[ServerEvent | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            for event in events():
                news.put(event)
            news.put(EOFError())
        except Exception as error:  # noqa: BLE001 - it is raised where the list is drawn
            news.put(error)

    threading.Thread(target=run, daemon=True, name="watch").start()
    return news


def _paced(news: queue.SimpleQueue[ServerEvent | Exception], watched: WatchedList) -> Iterator[None]:
    """Yields when there is something to draw: at most every PACE seconds, and not in the middle of the whole state."""
    drawn, dirty = 0.0, False
    while True:
        wait = drawn + (PACE if dirty else REFRESH) - time.monotonic() if watched.current else REFRESH
        try:
            event = news.get(timeout=max(0.01, wait))
        except queue.Empty:
            event = None
        if isinstance(event, EOFError):
            return
        if isinstance(event, Exception):
            raise event
        if event is not None:
            watched.apply(event)
            dirty = True
        due = time.monotonic() - drawn >= (PACE if dirty else REFRESH)
        if watched.current and due:
            yield None
            drawn, dirty = time.monotonic(), False


@dataclass(slots=True)
class ChangedRows:
    """Prints each row that differs from the one before, without regard to ages; a row that is gone is printed as deleted."""

    columns: Sequence[TableColumn[Workload]]
    _before: dict[tuple[str, str], Row] | None = None
    _widths: list[int] = field(default_factory=list[int])

    def show(self, rows: Sequence[Workload]) -> None:
        now = {(row.project, row.name): self._cells(row) for row in rows}
        before = self._before
        if before is None:
            self._print(tuple(column.title.upper() for column in self.columns), now.values())
        for key, cells in now.items():
            if before is None or self._state(before.get(key, ())) != self._state(cells):
                self._print(cells)
        for key in (before or {}).keys() - now.keys():
            self._print(self._gone((before or {})[key]))
        self._before = now
        sys.stdout.flush()

    def _cells(self, row: Workload) -> Row:
        return tuple(" ".join(terminal.visible(column.value(row)).split()) or "-" for column in self.columns)

    def _state(self, cells: Row) -> Row:
        return tuple(cell for column, cell in zip(self.columns, cells, strict=False) if column.title != AGE)

    def _gone(self, cells: Row) -> Row:
        return tuple(GONE if column.state else cell for column, cell in zip(self.columns, cells, strict=True))

    def _print(self, cells: Row, others: Iterable[Row] = ()) -> None:
        """Columns are as wide as the widest cell so far; `others` are about to follow."""
        for row in (cells, *others):
            self._widths = [max(pair) for pair in zip(self._widths or [0] * len(row), map(len, row), strict=True)]
        terminal.out(table.GAP.join(cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)).rstrip())

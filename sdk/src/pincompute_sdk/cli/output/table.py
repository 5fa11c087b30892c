"""Tables: aligned and coloured on a terminal, as wide as they must be in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pincompute_sdk.cli.output import terminal

T = TypeVar("T")
GAP = "  "
LEAST = 12  # columns for what may be wrapped


@dataclass(frozen=True, slots=True)
class TableColumn(Generic[T]):
    """`wide` columns are shown by `-o wide` only; a `state` column is coloured; the `long` one is wrapped, the others not."""

    title: str
    value: Callable[[T], str]
    wide: bool = False
    state: bool = False
    long: bool = False


def show(rows: Sequence[T], columns: Sequence[TableColumn[T]], *, wide: bool, nothing: str) -> None:
    if not rows:
        terminal.err(nothing)
        return
    chosen = [column for column in columns if wide or not column.wide]
    cells = [[terminal.visible(column.value(row)) for column in chosen] for row in rows]
    if terminal.interactive() and _narrowest(chosen, cells) <= terminal.width():
        _on_terminal(chosen, cells)
    else:
        terminal.out(plain([column.title for column in chosen], cells), end="")


def plain(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [[title.upper() for title in titles], *([" ".join(cell.split()) or "-" for cell in row] for row in cells)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    return "".join(GAP.join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines)


def _narrowest(columns: Sequence[TableColumn[T]], cells: Sequence[Sequence[str]]) -> int:
    """Columns that are needed to break nothing but the long column; a smaller terminal breaks the lines itself."""
    widths = [LEAST if c.long else max(len(c.title), *(len(row[i]) for row in cells)) for i, c in enumerate(columns)]
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _on_terminal(columns: Sequence[TableColumn[T]], cells: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for column in columns:
        table.add_column(column.title.upper(), no_wrap=not column.long, overflow="fold" if column.long else "ellipsis")
    for row in cells:
        pairs = zip(columns, row, strict=True)
        table.add_row(*(Text(cell or "-", style=terminal.style_of(cell) if column.state else "") for column, cell in pairs))
    terminal.console().print(table)

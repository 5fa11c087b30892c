"""Writes tables: aligned and coloured on a terminal, as wide as they must be in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.output.terminal import Styled

T = TypeVar("T")
GAP = "  "
LEAST = 12  # columns for what may be wrapped


@dataclass(frozen=True, slots=True)
class TableColumn(Generic[T]):
    """`wide` columns are shown by `-o wide` only; a `state` column is coloured by its word, others by `style`, if
    they have one. The `long` column is wrapped, the others not.
    """

    title: str
    value: Callable[[T], str]
    wide: bool = False
    state: bool = False
    long: bool = False
    style: Callable[[T], str] | None = None

    def paint(self, row: T, cell: str) -> str:
        """The style of a cell."""
        if self.style is not None:
            return self.style(row)
        return terminal.style_of(cell) if self.state else ""


def show(rows: Sequence[T], columns: Sequence[TableColumn[T]], *, wide: bool, nothing: str) -> None:
    if not rows:
        terminal.err(nothing)
        return
    chosen = [column for column in columns if wide or not column.wide]
    cells = [[terminal.visible(column.value(row)) for column in chosen] for row in rows]
    if terminal.interactive() and _narrowest(chosen, cells) <= terminal.width():
        _on_terminal(rows, chosen, cells)
    else:
        _in_whole_lines(rows, chosen, cells)


def _in_whole_lines(rows: Sequence[T], columns: Sequence[TableColumn[T]], cells: Sequence[Sequence[str]]) -> None:
    """Writes whole lines, in a pipe and on a terminal that is too narrow: nothing is cut or wrapped."""
    titles = [column.title.upper() for column in columns]
    lines = [[" ".join(cell.split()) or "-" for cell in row] for row in cells]
    widths = [max(len(title), *(len(line[i]) for line in lines)) for i, title in enumerate(titles)]
    _line(titles, ["dim"] * len(titles), widths)
    for row, shown, line in zip(rows, cells, lines, strict=True):
        _line(line, [column.paint(row, cell) for column, cell in zip(columns, shown, strict=True)], widths)


def _line(cells: Sequence[str], styles: Sequence[str], widths: Sequence[int]) -> None:
    """The blanks behind the last cell are left out."""
    parts = [(Styled(cell, style), " " * (width - len(cell))) for cell, style, width in zip(cells, styles, widths, strict=True)]
    terminal.out(*(part for styled, blanks in parts[:-1] for part in (styled, blanks + GAP)), parts[-1][0])


def _narrowest(columns: Sequence[TableColumn[T]], cells: Sequence[Sequence[str]]) -> int:
    """Columns that are needed to break nothing but the long column; a smaller terminal breaks the lines itself."""
    widths = [LEAST if c.long else max(len(c.title), *(len(row[i]) for row in cells)) for i, c in enumerate(columns)]
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _on_terminal(rows: Sequence[T], columns: Sequence[TableColumn[T]], cells: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for column in columns:
        table.add_column(column.title.upper(), no_wrap=not column.long, overflow="fold" if column.long else "ellipsis")
    for row, line in zip(rows, cells, strict=True):
        table.add_row(*(Text(cell or "-", style=c.paint(row, cell)) for c, cell in zip(columns, line, strict=True)))
    terminal.console().print(table)

"""Redraws a picture in place on a terminal; in a pipe, prints the parts of it that changed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from pincompute_sdk.cli import status_tree
from pincompute_sdk.cli.output import table, terminal
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.status_tree import TreeLine

T = TypeVar("T")
BESIDE = 3  # lines of a terminal beside the rows of a table: its head, what is left out, and the cursor's
SMALLEST = 20  # columns below which nothing is redrawn: the picture would break
BRANCHES = ("├─ ", "└─ ")

Block = tuple[TreeLine, ...]


class Picture:
    """Draws over its earlier lines. It hides the cursor meanwhile and always restores it. `moving` is false where nothing can
    be redrawn.
    """

    def __init__(self) -> None:
        self.moving = terminal.interactive() and terminal.width() >= SMALLEST
        self._height = 0
        self._last: tuple[Block, ...] = ()

    def __enter__(self) -> Self:
        if self.moving:
            terminal.verbatim("\033[?25l")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.moving:
            terminal.verbatim("\033[?25h")
            sys.stdout.flush()

    def draw(self, lines: Sequence[TreeLine]) -> None:
        if self.moving:
            self._redraw(lines)
        else:
            self._print(lines)

    def _print(self, lines: Sequence[TreeLine]) -> None:
        """Prints each block that differs from the one at the same place before, so that a way back shows as well."""
        blocks, before = tuple(_blocks(lines)), self._last
        self._last = blocks
        same = len(blocks) == len(before)
        for index, block in enumerate(blocks):
            if not same or _states(block) != _states(before[index]):
                for line in block:
                    terminal.out(line.text)
        sys.stdout.flush()

    def _redraw(self, lines: Sequence[TreeLine]) -> None:
        size = terminal.size()
        shown = list(lines[: max(1, size.lines - 1)])
        up = f"\033[{self._height}F" if self._height else ""
        drawn = "".join(f"\033[2K{terminal.line(*status_tree.cut(line, size.columns))}\n" for line in shown)
        terminal.verbatim(f"{up}{drawn}\033[J")
        sys.stdout.flush()
        self._height = len(shown)


def _blocks(lines: Sequence[TreeLine]) -> Iterator[Block]:
    """The head, and each zone with its replicas."""
    block: list[TreeLine] = []
    for line in lines:
        if line.indent in BRANCHES and block:
            yield tuple(block)
            block = []
        block.append(line)
    if block:
        yield tuple(block)


def _states(block: Block) -> tuple[str, ...]:
    return tuple(line.state for line in block)


def table_lines(rows: Sequence[T], columns: Sequence[TableColumn[T]], nothing: str) -> list[TreeLine]:
    """A table that fits the height of the terminal and says what it leaves out."""
    if not rows:
        return [TreeLine("", ((nothing, "dim"),))]
    shown = rows[: max(1, terminal.size().lines - BESIDE)]
    cells = [[column.value(row).replace("\n", " ") or "-" for column in columns] for row in shown]
    widths = [max(len(column.title), *(len(line[i]) for line in cells)) for i, column in enumerate(columns)]
    head = table.GAP.join(column.title.upper().ljust(width) for column, width in zip(columns, widths, strict=True))
    drawn = [TreeLine("", ((head, "dim"),))]
    for row, line in zip(shown, cells, strict=True):
        parts = zip(columns, line, widths, strict=True)
        drawn.append(TreeLine("", tuple((cell.ljust(width) + table.GAP, c.paint(row, cell)) for c, cell, width in parts)))
    if len(rows) > len(shown):
        drawn.append(TreeLine("", ((f"… and {len(rows) - len(shown)} more: a larger terminal shows them", "dim"),)))
    return drawn

"""Redraws lines in place on a terminal; in a pipe, each change is a new line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from pincompute_sdk.cli import status_tree
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.status_tree import TreeLine

SMALLEST = 20  # columns below which nothing is redrawn: the picture would break


class Picture:
    """Draws over its earlier lines. It hides the cursor meanwhile and always restores it."""

    def __init__(self) -> None:
        self._moving = terminal.interactive() and terminal.width() >= SMALLEST
        self._height = 0
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        if self._moving:
            terminal.verbatim("\033[?25l")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._moving:
            terminal.verbatim("\033[?25h")
            sys.stdout.flush()

    def draw(self, lines: Sequence[TreeLine]) -> None:
        if self._moving:
            self._redraw(lines)
            return
        for line in lines:
            if line.text not in self._said:
                self._said.add(line.text)
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

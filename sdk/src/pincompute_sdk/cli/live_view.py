"""Redraws a picture in place on a terminal; in a pipe, prints the parts of it that changed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from pincompute_sdk.cli import status_tree
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.status_tree import TreeLine

SMALLEST = 20  # columns below which nothing is redrawn: the picture would break
BRANCHES = ("├─ ", "└─ ")

Block = tuple[TreeLine, ...]


class Picture:
    """Draws over its earlier lines. It hides the cursor meanwhile and always restores it."""

    def __init__(self) -> None:
        self._moving = terminal.interactive() and terminal.width() >= SMALLEST
        self._height = 0
        self._last: tuple[Block, ...] = ()

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

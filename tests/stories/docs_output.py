"""Compares what a command prints with what a page shows: exactly, but for what differs from run to run.

`…` stands for any text in a line, and a line of its own for any lines. Times, digests, names of revisions, addresses and the
width of columns may differ. `^C` as the last line says that the reader ends the command.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ANY = "…"
INTERRUPT = "^C"
VARIABLE = (
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?Z?",  # dates and times
    r"\d{2}:\d{2}:\d{2}(?:\.\d+)?Z?",
    r"(?<![\w.])(?:(?:\d+(?:\.\d+)? ?(?:ms|min|s|h|d)|\d{1,2} ?m) ?)+(?!\w)",  # ages and durations; 100m is of a processor
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?:/\d+)?",  # addresses
    r"(?<=localhost:)\d+",
    r"(?<![\w])v?[0-9a-f]*\d[0-9a-f]*(?<=\w{10})(?!\w)",  # digests, revisions, ids
)
RESTARTS = r"(?:\s+\d+ restarts?)?\s*"  # of a container, in a region that has run for a while
_PIECES = re.compile(rf"({'|'.join(f'(?:{each})' for each in VARIABLE)}|{ANY})")


def matches(shown: Sequence[str], printed: str) -> bool:
    """Whether a command that printed this did what the page shows. A page that shows nothing promises nothing."""
    wanted = [line for line in shown if line.strip()]
    if not wanted:
        return True
    lines = [line for line in printed.splitlines() if line.strip()]
    return _fits(_segments(wanted), lines, anchored=wanted[0].strip() != ANY, open_end=wanted[-1].strip() == ANY)


def pattern(line: str) -> re.Pattern[str]:
    """What a shown line stands for."""
    return re.compile(r"\s*" + "".join(_piece(piece) for piece in _PIECES.split(line.strip())) + RESTARTS)


def _piece(piece: str) -> str:
    if piece == ANY:
        return ".*"
    if kind := next((each for each in VARIABLE if re.fullmatch(each.replace("(?<=localhost:)", ""), piece)), ""):
        return rf"{kind}\s*" if piece.endswith(" ") else kind
    return r"\s+".join(re.escape(word) for word in re.split(r"\s+", piece))


def _segments(wanted: Sequence[str]) -> list[list[re.Pattern[str]]]:
    """The shown lines, divided where any lines may stand."""
    found: list[list[re.Pattern[str]]] = [[]]
    for line in wanted:
        if line.strip() == ANY:
            found.append([])
        else:
            found[-1].append(pattern(line))
    return [segment for segment in found if segment]


def _fits(segments: list[list[re.Pattern[str]]], lines: list[str], *, anchored: bool, open_end: bool) -> bool:
    if not segments:
        return open_end or not lines
    first, rest = segments[0], segments[1:]
    for start in range(1 if anchored else len(lines) - len(first) + 1):
        part = lines[start : start + len(first)]
        same = len(part) == len(first) and all(want.fullmatch(line) for want, line in zip(first, part, strict=True))
        if same and _fits(rest, lines[start + len(first) :], anchored=False, open_end=open_end):
            return True
    return False

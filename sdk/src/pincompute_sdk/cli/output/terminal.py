"""Writes every line of `pin` for people, and detects what the terminal can show.

Text comes from servers and from other people's containers. No other module writes to standard output or standard error, so that
control characters and bidirectional formatting characters in it become escapes, such as `\\x1b`. Colours are `Styled` parts;
output in a pipe, or with NO_COLOR, has none.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

ANSI = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "bold red": "1;31",
    "bold green": "1;32",
}
STATES = {
    "green": {"Running", "Ready", "Succeeded", "Available", "Active", "True"},
    "yellow": {
        "Pending",
        "Progressing",
        "Updating",
        "Starting",
        "Scheduling",
        "Deploying",
        "Waiting",
        "Stopping",
        "Deleting",
        "Leaving",
    },
    "red": {"Failed", "Degraded", "NotReady", "Unschedulable", "Stalled", "Crashed", "Error", "Unknown", "False"},
    "blue": {"Paused", "Stopped", "Scaled to zero"},
}

BIDIRECTIONAL = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
UNSAFE = (*(c for c in range(0x20) if chr(c) not in "\n\t"), *range(0x7F, 0xA0), *BIDIRECTIONAL)
ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in UNSAFE}
SGR = re.compile(r"(\033\[[0-9;:]*m)")  # colours and weights


@dataclass(frozen=True, slots=True)
class Styled:
    """Text in a style of `ANSI`."""

    text: str
    style: str


Part: TypeAlias = "str | Styled"


def out(*parts: Part, end: str = "\n") -> None:
    """Write a line for people to standard output."""
    sys.stdout.write(line(*parts) + end)


def err(*parts: Part, end: str = "\n") -> None:
    """Write a line for people to standard error, behind all that standard output has got so far, also in a pipe."""
    with suppress(BrokenPipeError):  # nobody reads standard output any more, and somebody may read this
        sys.stdout.flush()
    sys.stderr.write(line(*parts, stream=sys.stderr) + end)


def verbatim(text: str) -> None:
    """Write data, or text of our own with control sequences, to standard output as it is."""
    sys.stdout.write(text)


def line(*parts: Part, stream: TextIO | None = None) -> str:
    return "".join(visible(p) if isinstance(p, str) else _painted(p, stream) for p in parts)


def visible(text: str) -> str:
    """Replace what a terminal would obey by escapes that people can read; newlines and tabs stay."""
    return text.translate(ESCAPES)


def with_colours(text: str) -> str:
    """As `visible`, but colours stay and end with the text."""
    pieces = SGR.split(text)
    safe = "".join(piece if index % 2 else visible(piece) for index, piece in enumerate(pieces))
    return safe + "\033[0m" if len(pieces) > 1 else safe


def interactive(stream: TextIO | None = None) -> bool:
    """Tells whether the stream is a terminal that can redraw."""
    return (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO | None = None) -> bool:
    return interactive(stream) and not os.environ.get("NO_COLOR")


def _painted(part: Styled, stream: TextIO | None) -> str:
    text = visible(part.text)
    return f"\033[{ANSI[part.style]}m{text}\033[0m" if part.style in ANSI and coloured(stream) else text


def style_of(state: str) -> str:
    """The colour of a state; nothing for a word that is not known."""
    return next((style for style, states in STATES.items() if state in states), "")


def size() -> os.terminal_size:
    return shutil.get_terminal_size((100, 24))


def width() -> int:
    return size().columns


def console() -> Console:
    from rich.console import Console

    return Console(highlight=False, no_color=not coloured(), soft_wrap=not interactive())

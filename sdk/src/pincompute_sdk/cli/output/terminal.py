"""Detects what the terminal can show. Output in a pipe, or with NO_COLOR, has no colours."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, TextIO

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
        "Terminating",
        "Stopping",
        "Deleting",
    },
    "red": {"Failed", "Degraded", "Unschedulable", "Stalled", "Crashed", "Error", "Unknown", "False"},
    "blue": {"Paused", "Stopped", "Scaled to zero"},
}


def interactive(stream: TextIO | None = None) -> bool:
    """Tells whether the stream is a terminal that can redraw."""
    return (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO | None = None) -> bool:
    return interactive(stream) and not os.environ.get("NO_COLOR")


def painted(text: str, style: str, stream: TextIO | None = None) -> str:
    return f"\033[{ANSI[style]}m{text}\033[0m" if style in ANSI and coloured(stream) else text


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

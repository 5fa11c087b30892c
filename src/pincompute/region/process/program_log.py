"""Keeps one log file per program and bounds its size: a large file is copied and emptied while the program writes on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

LARGEST = 32 * 1024 * 1024
MESSAGES = ("message", "msg", "error", "problem")  # fields of a line in JSON, as our programs and those in Go write it
LONGEST = 300  # characters of a line that is shown
TAIL = 4096  # bytes that are searched for the last line


class ProgramLog:
    """The log of one program."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def open(self) -> Generator[BinaryIO, None, None]:
        """Opens the log for appending. Programs get the descriptor, so emptying the file does not disturb them."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            yield file

    def last_line(self) -> str:
        """The message of the last line that is not empty, shortened: the visible reason of a failure."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
                lines = file.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return "no log"
        return next((_message(line.strip())[:LONGEST] for line in reversed(lines) if line.strip()), "empty log")

    def trim(self) -> None:
        """Keep one older file beside a log that has grown too large."""
        try:
            if self.path.stat().st_size <= LARGEST:
                return
            shutil.copyfile(self.path, self.path.with_suffix(".log.1"))
            os.truncate(self.path, 0)
        except FileNotFoundError:
            return


def _message(line: str) -> str:
    """What a line in JSON says, with its error; any other line as it is."""
    try:
        fields = cast("dict[str, Any]", json.loads(line)) if line.startswith("{") else {}
    except ValueError:
        return line
    parts = [str(fields[name]) for name in MESSAGES if fields.get(name)]
    return ": ".join(parts) or line

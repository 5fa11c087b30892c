"""Reads a file that a user named: regular files, standard input as `-`, and pipes that somebody writes to.

To open a pipe without a writer waits for ever, and a device may never end, so both are refused. `<(command)` of a shell is a
pipe that the command writes to.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from pathlib import Path

STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0")
LOOKS = 20  # for a writer of a pipe, because a shell starts both sides at once
BETWEEN = 100  # milliseconds between two of them
_PIECE = 1 << 16


def content(file: Path) -> bytes:
    """Raises OSError whose `strerror` says what is wrong."""
    if str(file) in STANDARD_INPUT:
        return sys.stdin.buffer.read()
    opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(opened, "rb", buffering=0) as source:
        mode = os.fstat(opened).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return source.read()  # of a folder the system says what is wrong
        if not stat.S_ISFIFO(mode):
            raise OSError(errno.EINVAL, "it is a device or a socket, and no file", str(file))
        begin = _begin(opened, file)
        os.set_blocking(opened, True)
        return begin + source.read()


def text(file: Path) -> str:
    """Raises OSError as `content`, or UnicodeDecodeError."""
    return content(file).decode("utf-8")


def _begin(pipe: int, file: Path) -> bytes:
    """The first bytes of a pipe, however late they come when somebody has it open for writing."""
    events = select.poll()
    events.register(pipe, select.POLLIN)
    for _ in range(LOOKS):
        try:
            if found := os.read(pipe, _PIECE):
                return found
        except BlockingIOError:  # there is a writer, who has not written yet
            os.set_blocking(pipe, True)
            return os.read(pipe, _PIECE)
        events.poll(BETWEEN)
    raise OSError(errno.ENXIO, "it is a pipe, and nobody writes to it", str(file))

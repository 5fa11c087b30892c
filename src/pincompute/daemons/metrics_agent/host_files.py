"""Reads small files of the node below a folder, each in one bounded read. A file that is gone or refused reads as empty."""

from __future__ import annotations

import os
from pathlib import Path

LONGEST = 1 << 20  # bytes of one file: /proc/stat of a node with 500 processors has a tenth of that


def text(path: Path | str) -> str:
    """Returns what the file holds; empty when it cannot be read, because cgroups and processes end at any moment."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return _whole(file).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(file)


def names(folder: Path | str) -> list[str]:
    """Returns the names in a folder, sorted; none when it cannot be read."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths, of a thousand entries
    except OSError:
        return []


def _whole(file: int) -> bytes:
    """Files of /proc give at most a page at a time, some of them."""
    parts: list[bytes] = []
    left = LONGEST
    while left and (part := os.read(file, min(left, 65536))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)

"""Writes files that are whole or absent: beside their place, then renamed over it. Locks files between processes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path


def write(path: Path, data: bytes, mode: int = 0o600) -> bool:
    """Put `data` at `path` unless it is there already; return whether anything changed."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return True


class Locked(Exception):  # noqa: N818 - a state of the world that the caller explains
    """Another process holds the lock; the argument is the path of the lock file."""


@contextmanager
def lock(path: Path) -> Generator[None, None, None]:
    """Hold an exclusive lock that the kernel gives back when this process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise Locked(path) from None
        yield


@contextmanager
def wait_lock(path: Path, held: Callable[[], None]) -> Generator[None, None, None]:
    """As `lock`, but wait for it; `held` is called once when there is something to wait for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            held()
            flock(file, LOCK_EX)
        yield

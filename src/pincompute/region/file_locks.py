"""Locks files between processes, so that one command at a time does what must not overlap."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path


class Locked(Exception):  # noqa: N818 - a state of the world that the caller explains
    """Another process holds the lock; the argument is the path of the lock file."""


@contextmanager
def lock(path: Path) -> Generator[None, None, None]:
    """Hold an exclusive lock that the kernel gives back when this process ends, however it ends. The file says whose it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise Locked(path) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder(path: Path) -> int:
    """Return the id of the process that holds the `lock`; 0 when none does, or when it has not said so yet. It takes no lock
    itself, which would be in the way of another.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdigit() and Path(f"/proc/{text}").exists() else 0


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

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
    """Hold an exclusive lock that the kernel gives back when this process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise Locked(path) from None
        yield


def holder(path: Path) -> int:
    """Return the id of the other process that holds the `lock`; 0 when none does. It takes no lock itself, which would be in
    the way of another: the kernel lists who holds one.
    """
    try:
        inode = path.stat().st_ino
    except FileNotFoundError:
        return 0
    listed = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    held = (int(line[4]) for line in listed if line[1] == "FLOCK" and line[5].endswith(f":{inode}"))
    return next((process for process in held if process not in (os.getpid(), -1)), 0)


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

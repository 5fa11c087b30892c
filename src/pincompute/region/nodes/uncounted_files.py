"""Bounds the files on a node's disk that programs in pods may write and that no limit of a pod counts.

Kubelet and the container runtime mount single files of the node into each container, besides its own file system. Their
usage is in no statistics of kubelet, so no pod is evicted for them. A program can write to such a file, but never replace or
remove it: only the file itself is mounted.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

LARGEST = 128 << 10  # bytes; kubelet reads the last 4096 of a termination message, so only what nobody means as one is cut
EVERY = 3.0  # seconds between two looks at the files

TERMINATION_MESSAGE = ("pods", "*", "containers", "*", "*")
"""Below kubelet's folder: a file for each start of a container, which anybody in the container may write."""

SANDBOX_FILES = tuple(("io.containerd.grpc.v1.cri", "sandboxes", "*", name) for name in ("hostname", "resolv.conf"))
"""Below containerd's folder: root in a container may write them. /etc/hosts is a file of kubelet, which counts it."""


def cut(kubelet: Path, containerd: Path) -> None:
    """Cuts each file that is larger than `LARGEST`, or has more of the disk, to its first `LARGEST` bytes."""
    messages = _found(str(kubelet), TERMINATION_MESSAGE)
    for path in chain(messages, *(_found(str(containerd), names) for names in SANDBOX_FILES)):
        with contextlib.suppress(OSError):  # the pod has ended meanwhile
            _cut(path)


def _found(folder: str, names: tuple[str, ...]) -> Iterator[str]:
    """Paths below a folder, by the names of the steps; "*" is every name. What is removed meanwhile holds nothing."""
    if not names:
        yield folder
        return
    step, *rest = names
    if step != "*":
        yield from _found(f"{folder}/{step}", tuple(rest))
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            yield from _found(entry.path, tuple(rest))


def _cut(path: str) -> None:
    if not _is_large(os.lstat(path)):
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if _is_large(found):
            os.ftruncate(descriptor, min(found.st_size, LARGEST))
    finally:
        os.close(descriptor)


def _is_large(found: os.stat_result) -> bool:
    """A file of few bytes may have many blocks of the disk, which a program reserved."""
    return stat.S_ISREG(found.st_mode) and max(found.st_size, found.st_blocks * 512) > LARGEST

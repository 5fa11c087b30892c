"""Measures file systems of the node. A file system that does not answer delays a scrape by one second and blocks nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

PATIENCE = 1.0  # seconds; a network file system whose server is gone answers never


@dataclass(frozen=True, slots=True)
class FileSystemFigures:
    """Bytes and inodes, as statvfs says them; `available` is what users other than root may still take."""

    size: int
    free: int
    available: int
    files: int
    files_free: int
    read_only: bool


def measure(path: str) -> FileSystemFigures:
    """Raises OSError."""
    found = os.statvfs(path)
    return FileSystemFigures(
        size=found.f_blocks * found.f_frsize,
        free=found.f_bfree * found.f_frsize,
        available=found.f_bavail * found.f_frsize,
        files=found.f_files,
        files_free=found.f_ffree,
        read_only=bool(found.f_flag & os.ST_RDONLY),
    )


@dataclass(slots=True)
class FileSystems:
    """The file systems to measure: where the node mounts each, and where the agent sees it."""

    paths: Mapping[str, str]
    _busy: dict[str, threading.Thread] = field(default_factory=dict[str, threading.Thread])

    def figures(self) -> dict[str, FileSystemFigures]:
        """Returns the figures by mount point, without those that do not answer. Each is asked by one thread at most."""
        found: dict[str, FileSystemFigures] = {}
        for mount in self.paths:
            if mount not in self._busy or not self._busy[mount].is_alive():
                self._busy[mount] = threading.Thread(target=self._ask, args=(mount, found), daemon=True)
                self._busy[mount].start()
        for thread in self._busy.values():
            thread.join(PATIENCE / len(self.paths))
        return dict(found)

    def _ask(self, mount: str, found: dict[str, FileSystemFigures]) -> None:
        try:
            found[mount] = measure(self.paths[mount])
        except OSError:
            return

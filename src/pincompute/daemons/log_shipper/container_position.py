"""Keeps how far a container's log is shipped, in a form that a small file holds. It does no I/O.

A file of the log is known by the hash of its first line, which has a time in nanoseconds. So it stays known when it is renamed,
copied, truncated or compressed, and another file that takes its inode is not taken for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

MISSED = 2  # listings without a file after which it is gone; one may miss a file that is renamed meanwhile
FORMAT = 1


@dataclass(frozen=True, slots=True)
class LogFileOffsets:
    """How far each stream of a file is shipped, the size that was seen last, and how many listings in a row missed the file."""

    shipped: tuple[int, int] = (0, 0)
    size: int = 0
    missed: int = 0

    @property
    def start(self) -> int:
        """Returns where reading goes on."""
        return min(self.shipped)

    @property
    def unshipped(self) -> int:
        return max(0, self.size - self.start)


@dataclass(frozen=True, slots=True)
class ContainerPosition:
    """Offsets by the files' first lines, and the output that belongs to them: the number of its last file and its size."""

    files: Mapping[str, LogFileOffsets] = field(default_factory=dict[str, LogFileOffsets])
    number: int = 1
    size: int = 0

    def listed(self, sizes: Mapping[str, int]) -> tuple[ContainerPosition, int]:
        """Returns the position after a listing of these files, and how many bytes are gone that were not shipped."""
        kept: dict[str, LogFileOffsets] = {}
        lost = 0
        for head, offsets in self.files.items():
            if head in sizes:
                continue
            if offsets.missed + 1 < MISSED:
                kept[head] = replace(offsets, missed=offsets.missed + 1)
            else:
                lost += offsets.unshipped
        for head, size in sizes.items():
            kept[head] = replace(self.files.get(head, LogFileOffsets()), size=size, missed=0)
        return replace(self, files=kept), lost

    @property
    def missing(self) -> bool:
        """Returns whether a file was missed, so that another listing decides."""
        return any(offsets.missed for offsets in self.files.values())

    @property
    def unshipped(self) -> int:
        return sum(offsets.unshipped for offsets in self.files.values())

    def shipped(self, changes: Iterable[tuple[str, tuple[int, int]]], number: int, size: int) -> ContainerPosition:
        """Returns the position after these offsets were reached and the output grew."""
        files = dict(self.files)
        for head, offsets in changes:
            files[head] = replace(files.get(head, LogFileOffsets()), shipped=offsets)
        return ContainerPosition(files, number, size)


def encode(position: ContainerPosition) -> bytes:
    files = {head: [*each.shipped, each.size, each.missed] for head, each in position.files.items()}
    return json.dumps({"format": FORMAT, "number": position.number, "size": position.size, "files": files}).encode()


def decode(text: bytes) -> ContainerPosition | None:
    """Returns the position; None for a text that is damaged or of another format."""
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            return None
        files = {
            str(head): LogFileOffsets((int(out), int(err)), int(size), int(missed))
            for head, (out, err, size, missed) in found["files"].items()
        }
        return ContainerPosition(files, int(found["number"]), int(found["size"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None

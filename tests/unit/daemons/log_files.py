"""Writes logs of a container as a runtime does, rotates them as kubelet and logrotate do, and knows what must come out."""

from __future__ import annotations

import gzip
import itertools
from dataclasses import dataclass, field
from pathlib import Path

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
POD = f"shop_web-0_{UID}"


@dataclass
class RuntimeLog:
    """The log of container `main` of a pod in project shop, below the folder `pods`."""

    pods: Path
    folder: str = f"{POD}/main"
    restart: int = 0
    expected: list[bytes] = field(default_factory=list[bytes])
    _waiting: dict[str, bytes] = field(default_factory=dict[str, bytes])
    _clock: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def file(self) -> Path:
        return self.pods / self.folder / f"{self.restart}.log"

    def write(self, stream: str, text: bytes, *, part: bool = False) -> None:
        """Writes a line, or a part of one that goes on."""
        now = next(self._clock)
        time = b"2026-11-30T21:%02d:%02d.%09dZ" % (now // 60 % 60, now % 60, now)
        tag = b"P" if part else b"F"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as file:
            file.write(b"%s %s %s %s\n" % (time, stream.encode(), tag, text))
        self._waiting.setdefault(stream, b"%s %s F " % (time, stream.encode()))
        self._waiting[stream] += text
        if not part:
            self.expected.append(self._waiting.pop(stream))

    def rename(self) -> None:
        """Rotates as kubelet does: renames the file, and compresses the one before."""
        if not self.file.exists():
            return
        folder = self.file.parent
        for old in list(folder.glob("*.log.????????-??????")):
            compress(old)
        self.file.rename(folder / f"{self.file.name}.20261130-{next(self._clock):06d}")

    def copy_and_truncate(self) -> None:
        """Rotates as logrotate does with copytruncate: older copies get greater numbers."""
        if not self.file.exists():
            return
        copies = sorted(self.file.parent.glob(f"{self.file.name}.*"), key=lambda path: -int(path.suffix[1:]))
        for copy in copies:
            copy.rename(copy.with_suffix(f".{int(copy.suffix[1:]) + 1}"))
        self.file.with_name(f"{self.file.name}.1").write_bytes(self.file.read_bytes())
        with self.file.open("ab") as file:
            file.truncate(0)

    def start_again(self) -> None:
        """The container ends and starts: lines without their rest stay so."""
        if not self.file.exists():
            return
        self.expected += [self._waiting.pop(stream) for stream in ("stdout", "stderr") if stream in self._waiting]
        self.restart += 1
        self.write("stdout", b"started")


def compress(file: Path) -> None:
    temporary = file.with_name(f"{file.name}.tmp")
    temporary.write_bytes(gzip.compress(file.read_bytes(), 1))
    temporary.rename(file.with_name(f"{file.name}.gz"))
    file.unlink()


def shipped(output: Path, folder: str = f"shop/web-0_{UID}/main") -> list[bytes]:
    """Returns the lines in the output, over all its files."""
    return b"".join(file.read_bytes() for file in sorted((output / folder).glob("*.log"))).splitlines()

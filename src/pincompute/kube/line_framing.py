"""Splits a byte stream into lines, wherever the network cut it."""

from __future__ import annotations

LONGEST = 64 << 20  # bytes; an object in etcd is at most a few megabytes, so more is no watch stream


class LineTooLongError(Exception):
    """There is no line end within reason, so the peer does not speak the watch protocol."""


class Lines:
    """Takes pieces and returns whole lines. It never returns a line that the stream's end cut short."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        lines = piece.split(b"\n")
        rest = lines.pop()
        if not lines:
            return self._keep(rest)
        self._pending.append(lines[0])
        lines[0] = b"".join(self._pending)
        self._pending, self._size = [], 0
        self._keep(rest)
        return lines

    def _keep(self, rest: bytes) -> list[bytes]:
        self._size += len(rest)
        if self._size > LONGEST:
            raise LineTooLongError(f"a line of more than {LONGEST >> 20} MiB")
        if rest:
            self._pending.append(rest)
        return []

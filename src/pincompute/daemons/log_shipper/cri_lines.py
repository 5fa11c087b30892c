"""Joins the lines of a container's log, which a runtime splits after 16 KiB. It does no I/O.

A line is `<time> <stdout|stderr> <P|F> <text>`; P says that the text goes on in the next line of the same stream. Both streams
mix in one file, so each has its own offset: what one stream shipped is not shipped again while the other waits for the rest of
a line. The text of programs is data: what is no such line is copied as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

STREAMS = ("stdout", "stderr")
LONGEST = 256 << 10  # bytes of a joined line; the rest becomes another line
REACH = 512 << 10  # bytes that may follow a line that waits for its rest; it is shipped without it then

_LINE = re.compile(rb"(?P<time>[0-9T:.+Z-]{10,40}) (?P<stream>stdout|stderr) (?P<tag>[A-Z:]{1,16}) (?P<text>[^\n]*)")
_FULL_LINES = re.compile(rb"(?:[0-9T:.+Z-]{10,40} std(?:out|err) F [^\n]*+\n)*+")


@dataclass(frozen=True, slots=True)
class Piece:
    """What was read of a file: `start` is its offset, `shipped` are the offsets up to which each stream was shipped before.

    `closed`: nothing follows in this file, so its last line counts also without an end.
    """

    data: bytes
    start: int
    shipped: tuple[int, int]
    closed: bool


@dataclass(slots=True)
class JoinedLines:
    """Whole lines, and for each piece how far each stream is shipped with them."""

    output: bytearray = field(default_factory=bytearray)
    shipped: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    cut: int = 0
    malformed: int = 0


@dataclass(slots=True)
class _Unfinished:
    """A line that waits for its rest: where it began, and its text so far."""

    piece: int
    start: int
    reached: int
    text: bytearray


@dataclass(frozen=True, slots=True)
class _Line:
    piece: int
    start: int
    data: bytes


def join(pieces: Sequence[Piece], *, ended: bool) -> JoinedLines:
    """Returns the whole lines of the pieces, which are one text. `ended`: nothing follows the last one ever."""
    joiner = _Joiner()
    ends = [joiner.add(number, piece) for number, piece in enumerate(pieces)]
    if ended:
        for stream in STREAMS:
            joiner.cut(stream)
    by_stream = [joiner.shipped(stream, pieces, ends) for stream in range(len(STREAMS))]
    joiner.joined.shipped = [(by_stream[0][number], by_stream[1][number]) for number in range(len(pieces))]
    return joiner.joined


@dataclass(slots=True)
class _Joiner:
    joined: JoinedLines = field(default_factory=JoinedLines)
    waiting: dict[str, _Unfinished] = field(default_factory=dict[str, _Unfinished])
    passed: int = 0

    def add(self, number: int, piece: Piece) -> int:
        """Takes the lines of a piece; returns the offset behind the last."""
        whole = _whole_lines(piece)
        end = piece.start + len(whole)
        if not self.waiting and piece.start >= max(piece.shipped) and whole.endswith(b"\n") and _FULL_LINES.fullmatch(whole):
            self.joined.output += whole
            self.passed += len(whole)
            return end
        for line in _lines(number, piece.start, whole):
            self._take(line, piece)
            self.passed += len(line.data)
        return end

    def _take(self, line: _Line, piece: Piece) -> None:
        found = _LINE.fullmatch(line.data.removesuffix(b"\n"))
        stream = found["stream"].decode() if found is not None else STREAMS[0]
        if line.start < piece.shipped[STREAMS.index(stream)]:
            return
        for other in list(self.waiting):
            if self.passed - self.waiting[other].reached > REACH:
                self.cut(other)
        if found is None:
            self.cut(stream)
            self.joined.malformed += 1
            self.joined.output += line.data.removesuffix(b"\n") + b"\n"
            return
        self._join(line, found, stream)

    def _join(self, line: _Line, found: re.Match[bytes], stream: str) -> None:
        if stream in self.waiting:
            self.waiting[stream].text += found["text"]
        else:
            start = found["time"] + b" " + found["stream"] + b" F " + found["text"]
            self.waiting[stream] = _Unfinished(line.piece, line.start, self.passed, bytearray(start))
        if not found["tag"].startswith(b"P"):
            self._finish(stream)
        elif len(self.waiting[stream].text) >= LONGEST:
            self.cut(stream)

    def cut(self, stream: str) -> None:
        """Ships a line without its rest."""
        if stream in self.waiting:
            self.joined.cut += 1
            self._finish(stream)

    def _finish(self, stream: str) -> None:
        self.joined.output += self.waiting.pop(stream).text + b"\n"

    def shipped(self, stream: int, pieces: Sequence[Piece], ends: Sequence[int]) -> list[int]:
        """Returns how far a stream is shipped in each piece: to its end, or to the line that waits for its rest."""
        line = self.waiting.get(STREAMS[stream])
        offsets: list[int] = []
        for number, piece in enumerate(pieces):
            before = piece.shipped[stream]
            if line is None or number < line.piece:
                offsets.append(max(before, ends[number]))
            else:
                offsets.append(max(before, line.start) if number == line.piece else before)
        return offsets


def _whole_lines(piece: Piece) -> bytes:
    """Returns the piece without the line at its end that is not whole; all of it where no end will come."""
    if piece.closed:
        return piece.data
    end = piece.data.rfind(b"\n") + 1
    return piece.data if not end and len(piece.data) >= LONGEST else piece.data[:end]


def _lines(number: int, start: int, data: bytes) -> Iterator[_Line]:
    """Splits at newlines alone: bytes.splitlines also splits at carriage returns, which programs print."""
    *whole, rest = data.split(b"\n")
    for line in [*(each + b"\n" for each in whole), *([rest] if rest else [])]:
        yield _Line(number, start, line)
        start += len(line)

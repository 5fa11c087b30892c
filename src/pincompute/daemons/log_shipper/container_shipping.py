"""Ships what is new in the log of one container: reads a bounded part, joins its lines, writes them, and keeps the position.

The position is kept after the lines are written. Who starts after a kill in between reads these lines again and writes them in
the same place, so none is lost and none is there twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import PurePosixPath

from pincompute.daemons.log_shipper import cri_lines
from pincompute.daemons.log_shipper.container_position import ContainerPosition, LogFileOffsets
from pincompute.daemons.log_shipper.cri_lines import Piece
from pincompute.daemons.log_shipper.log_file_names import PodFolder
from pincompute.daemons.log_shipper.output_store import OutputStore
from pincompute.daemons.log_shipper.source_folder import LogFile, SourceFolder

ROUND = 1 << 20  # bytes of one container before the next has its turn; more than REACH and a line of cri_lines


@dataclass(slots=True)
class ShippedRound:
    """What one round did. `more`: there is more to ship at once."""

    read: int = 0
    written: int = 0
    cut: int = 0
    malformed: int = 0
    more: bool = False


@dataclass(slots=True)
class ContainerShipping:
    """One container: its source, its place in the output, and how far it is shipped."""

    pod: PodFolder
    source: SourceFolder
    position: ContainerPosition
    _hint: tuple[int, ...] = ()
    _last: str = ""
    _settled: bool = False
    _found: Sequence[LogFile] | None = None

    @property
    def folder(self) -> PurePosixPath:
        return output_folder(self.pod, self.source.container)

    def look(self) -> int:
        """Lists the source if it changed; returns how many bytes are gone that were not shipped. Raises OSError.

        It writes nothing, so losses are counted while the output takes no more.
        """
        self._found = None
        hint = self.source.changed_at(self._last)
        if self._settled and hint == self._hint:
            return 0
        self._settled = False
        listed = self.source.listing()
        if listed is None:
            return 0
        self._hint, self._last = hint, listed[-1].name.name if listed else ""
        self._found = distinct(listed)
        self.position, lost = self.position.listed({each.head: each.size for each in self._found})
        return lost

    def ship(self, output: OutputStore) -> ShippedRound:
        """Ships a part of what `look` found. Raises OSError when the source is gone, and OutputFull when the output is full."""
        if self._found is None:
            return ShippedRound()
        done = self._ship(self._found, output)
        self._settled = not done.more and not self.position.missing
        return done

    def _ship(self, known: Sequence[LogFile], output: OutputStore) -> ShippedRound:
        done = ShippedRound()
        text = bytearray()
        changes: list[tuple[str, tuple[int, int]]] = []
        for restart, files in groupby(known, key=lambda each: each.name.restart):
            part = self._read(list(files), ROUND - done.read, ended=restart < known[-1].name.restart)
            joined = cri_lines.join(part.pieces, ended=part.ended)
            text += joined.output
            changes += zip(part.heads, joined.shipped, strict=True)
            changes += [(head, (size, size)) for head, size in part.damaged]
            done.read += sum(len(piece.data) for piece in part.pieces)
            done.cut, done.malformed = done.cut + joined.cut, done.malformed + joined.malformed
            done.more = part.more
            if part.more:
                break
        self._write(bytes(text), changes, output)
        done.written = len(text)
        return done

    def _write(self, text: bytes, changes: Sequence[tuple[str, tuple[int, int]]], output: OutputStore) -> None:
        before = self.position
        if all(before.files.get(head, LogFileOffsets()).shipped == offsets for head, offsets in changes):
            return
        number, size = before.number, before.size
        if text:
            number, size = output.append(self.folder, text, number, size)
        after = before.shipped(changes, number, size)
        output.keep(self.folder, after)
        self.position = after

    def _read(self, files: Sequence[LogFile], most: int, *, ended: bool) -> _ReadPart:
        """Reads up to `most` bytes of one run of the container, from the first file that is not wholly shipped."""
        part = _ReadPart(ended=ended)
        for file in files:
            closed = ended or file.name.complete
            offsets = self.position.files.get(file.head, LogFileOffsets())
            if offsets.start >= file.size:
                continue
            if most <= 0:
                part.stop()
                break
            data = self.source.read(file, offsets.start, most)
            if data is None:
                part.stop()
                break
            if not data and closed:
                part.damaged.append((file.head, file.size))
                continue
            whole = offsets.start + len(data) >= file.size
            part.heads.append(file.head)
            part.pieces.append(Piece(data, offsets.start, offsets.shipped, closed=closed and whole))
            most -= len(data)
            if not whole:
                part.stop()
                break
        return part


@dataclass(slots=True)
class _ReadPart:
    """What was read of one run. `damaged` files end before their size."""

    ended: bool
    more: bool = False
    heads: list[str] = field(default_factory=list[str])
    pieces: list[Piece] = field(default_factory=list[Piece])
    damaged: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    def stop(self) -> None:
        """The run has more than was read."""
        self.ended, self.more = False, True


def output_folder(pod: PodFolder, container: str) -> PurePosixPath:
    return PurePosixPath(pod.project, f"{pod.pod}_{pod.uid}", container)


def distinct(listed: Sequence[LogFile]) -> list[LogFile]:
    """Returns files with a first line, each once: while one is copied or compressed, it is there twice. What grows counts."""
    best: dict[str, LogFile] = {}
    for each in listed:
        if each.head and (each.head not in best or not each.name.zipped):
            best[each.head] = each
    return [each for each in listed if best.get(each.head) is each]

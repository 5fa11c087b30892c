"""Records what a shell shows in a file beside the audit log: asciicast v2, which players of terminal recordings play.

Input is not recorded, because users type passwords; what the terminal shows of it is. A shell whose transcript cannot be
written ends, unless `audit.failOpen` is set.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pincompute.gateway.call_context import Call
from pincompute.kube.streams.channel_protocol import TerminalSize

log = logging.getLogger(__name__)

EVERY = 0.5  # seconds between writes
MOST_WAITING = 4 << 20  # bytes; a disk that is slower than the shell makes the shell wait
WIDTH, HEIGHT = 80, 24  # until the terminal says otherwise


class TranscriptLost(Exception):  # noqa: N818 - a reason for which a shell ends
    """The transcript that a project asks for cannot be written."""


@dataclass(slots=True)
class Transcript:
    """The transcript of one session. `run` writes it until it is cancelled, and `finish` writes the rest."""

    path: Path
    monotonic: Callable[[], float]
    fail_open: bool
    _began: float = field(init=False)
    _waiting: bytearray = field(default_factory=bytearray, init=False)
    _decoder: codecs.IncrementalDecoder = field(init=False)
    _written: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _broken: bool = field(default=False, init=False)
    _writing: asyncio.Future[None] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._began = self.monotonic()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def begin(self, call: Call, command: tuple[str, ...], where: str) -> None:
        about = {
            "by": call.caller.principal,
            "source": call.source,
            "request": call.id,
            "project": call.project,
            "replica": where,
        }
        header = {
            "version": 2,
            "width": WIDTH,
            "height": HEIGHT,
            "timestamp": int(call.at.timestamp()),
            "command": " ".join(command),
            "title": f"{call.caller.principal} in {where}",
            "pincompute": about,
        }
        self._waiting += msgspec.json.encode(header) + b"\n"

    async def output(self, piece: bytes) -> None:
        self._note("o", self._decoder.decode(piece))
        while len(self._waiting) > MOST_WAITING and not self._broken:
            self._written.clear()
            await self._written.wait()

    def resized(self, size: TerminalSize) -> None:
        self._note("r", f"{size.width}x{size.height}")

    def ended(self, why: str) -> None:
        self._note("m", why)

    async def run(self) -> None:
        """Raises TranscriptLost."""
        while True:
            await self._write()
            await asyncio.sleep(EVERY)

    async def finish(self) -> None:
        """Write the rest, after what a cancelled `run` is still writing. Raises TranscriptLost."""
        if self._writing is not None:
            await self._writing
        await self._write()

    def _note(self, kind: str, text: str) -> None:
        if text and not self._broken:
            self._waiting += msgspec.json.encode((round(self.monotonic() - self._began, 3), kind, text)) + b"\n"

    async def _write(self) -> None:
        if not self._waiting:
            return
        piece, self._waiting = bytes(self._waiting), bytearray()
        self._writing = asyncio.ensure_future(self._append(piece))
        await asyncio.shield(self._writing)

    async def _append(self, piece: bytes) -> None:
        try:
            await asyncio.to_thread(_append, self.path, piece)
        except OSError as error:
            if not self.fail_open:
                raise TranscriptLost(f"the transcript cannot be written: {error.strerror}") from error
            self._broken = True
            log.warning("a shell goes on without its transcript", extra={"file": str(self.path), "why": error.strerror})
        finally:
            self._written.set()


def _append(path: Path, piece: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(piece)


def file_name(call: Call) -> str:
    """A name for each request; names sort by time."""
    return f"{call.at:%Y%m%dT%H%M%SZ}-{call.project}-{call.name}-{call.id}.cast"

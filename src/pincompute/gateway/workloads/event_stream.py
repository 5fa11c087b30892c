"""Streams changes as server-sent events: first the whole state, then each change once, also after a reconnection (S-251).

    event: reset     earlier events are void; the whole state follows
    event: added     data: the object
    event: modified  data: the object
    event: deleted   data: its last state
    event: synced    the whole state has been sent; id: where to resume

A client that returns with the last id it saw continues exactly there if this gateway still knows the position; otherwise the
stream begins with `reset`. The stream checks its permission repeatedly and ends when it is withdrawn (S-255).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass

from pincompute.api.meta import Object
from pincompute.gateway import parameter_values
from pincompute.gateway.workloads.change_journal import ChangeJournal, ObjectChange

HEARTBEAT = 15.0  # seconds between heartbeats while nothing changes
RECHECK = 3.0  # seconds between checks of the permission
BATCH = 200  # events sent in one piece
MEDIA_TYPE = "text/event-stream"

_ALIVE = b": alive\n\n"


@dataclass(frozen=True, slots=True)
class StreamView:
    """What one stream shows. `sees` says which objects belong to it; `allowed` gives the projects it may show now.

    `allowed` is empty when the permission is withdrawn. `encoded` gives an object as JSON.
    """

    everything: Callable[[], Iterable[Object]]
    sees: Callable[[Object], bool]
    allowed: Callable[[], frozenset[str]]
    project_of: Callable[[Object], str]
    encoded: Callable[[Object], bytes]


class EventStream:
    """One reader of one journal."""

    def __init__(self, journal: ChangeJournal, instance: str, view: StreamView) -> None:
        self._journal = journal
        self._instance = instance
        self._view = view
        self._allowed = view.allowed()

    async def events(self, last_id: str) -> AsyncGenerator[bytes]:
        """Ends when the permission is withdrawn or the reader disconnects."""
        position = self._position(last_id)
        quiet = 0.0
        while self._allowed:
            changes = None if position is None else self._journal.since(position)
            if changes is None:
                position = self._journal.end
                for piece in self._whole(position):
                    yield piece
                continue
            batch = [each for _, each in zip(range(BATCH), changes, strict=False)]
            if batch:
                position = (position or 0) + len(batch)
                quiet = 0.0
                if piece := b"".join(self._changes(batch, position - len(batch))):
                    yield piece
                continue
            quiet += await self._wait(position or 0)
            if quiet >= HEARTBEAT:
                quiet = 0.0
                yield _ALIVE
            position = position if self._still_allowed() else None

    async def _wait(self, position: int) -> float:
        """Waits for a change, at most until permissions are checked again; returns the seconds that passed without one."""
        try:
            async with asyncio.timeout(RECHECK):
                await self._journal.more(position)
        except TimeoutError:
            return RECHECK
        return 0.0

    def _still_allowed(self) -> bool:
        """False when other projects may be seen than before: the whole state is then sent anew."""
        before, self._allowed = self._allowed, self._view.allowed()
        return before == self._allowed

    def _position(self, last_id: str) -> int | None:
        instance, _, number = last_id.partition("-")
        return parameter_values.integer(number, 0, parameter_values.LARGEST) if instance == self._instance else None

    def _whole(self, position: int) -> Iterator[bytes]:
        """Yields the whole state in pieces, each of one moment: nothing is awaited between reading objects and encoding."""
        objects = [obj for obj in self._view.everything() if self._shows(obj)]
        yield b"event: reset\ndata: {}\n\n"
        for start in range(0, len(objects), BATCH):
            yield b"".join(self._event(b"added", obj) for obj in objects[start : start + BATCH])
        yield b"id: %s\nevent: synced\ndata: {}\n\n" % self._id(position)

    def _changes(self, batch: Iterable[ObjectChange], position: int) -> Iterator[bytes]:
        for offset, change in enumerate(batch, 1):
            kind = self._kind(change)
            if kind:
                yield b"id: %s\n" % self._id(position + offset) + self._event(kind, change.last)

    def _kind(self, change: ObjectChange) -> bytes:
        """The kind of event for this stream: an object that begins to match is added, one that stops to match is deleted."""
        before = change.before is not None and self._shows(change.before)
        after = change.after is not None and self._shows(change.after)
        if after:
            return b"modified" if before else b"added"
        return b"deleted" if before else b""

    def _event(self, kind: bytes, obj: Object) -> bytes:
        return b"event: %s\ndata: %s\n\n" % (kind, self._view.encoded(obj))

    def _shows(self, obj: Object) -> bool:
        return self._view.project_of(obj) in self._allowed and self._view.sees(obj)

    def _id(self, position: int) -> bytes:
        return f"{self._instance}-{position}".encode()

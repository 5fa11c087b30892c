"""Parses server-sent events and keeps the position of a stream, without I/O.

A stream keeps the id of an event only after the caller received the event. So after a lost connection the server repeats
exactly the events that the caller has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pincompute_sdk.core.http_messages import HttpRequest

RESET = "reset"  # the event with which a server takes back what it sent before
SILENCE = 45.0  # seconds without even a heartbeat after which a stream counts as dropped
FIRST = 0.5  # seconds before the first attempt to resume; doubles
CAP = 10.0
PATIENCE = 12  # attempts in a row that brought no event


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """`name` is "message" when the server names none; `id` resumes behind this event."""

    name: str
    data: str
    id: str = ""


@dataclass(slots=True)
class Parser:
    """Bytes in, events out; https://html.spec.whatwg.org/multipage/server-sent-events.html."""

    pending: bytes = b""
    name: str = ""
    data: list[str] = field(default_factory=list[str])
    id: str = ""
    retry: float | None = None

    def feed(self, piece: bytes) -> list[ServerEvent]:
        *lines, self.pending = (self.pending + piece).replace(b"\r\n", b"\n").split(b"\n")
        found: list[ServerEvent] = []
        for line in lines:
            event = self._line(line.decode("utf-8", "replace"))
            if event is not None:
                found.append(event)
        return found

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self.name = value
            case "data":
                self.data.append(value)
            case "id" if "\0" not in value:
                self.id = value
            case "retry" if value.isdigit():
                self.retry = int(value) / 1000
            case _:
                pass  # a comment keeps the connection alive
        return None

    def _dispatch(self) -> ServerEvent | None:
        data, name = self.data, self.name or "message"
        if name == RESET:  # the whole state follows; until it is there, there is no place to resume at
            self.id = ""
        self.data, self.name = [], ""
        return ServerEvent(name, "\n".join(data), self.id) if data else None


@dataclass(slots=True)
class Resuming:
    """The position of a stream, and how long to wait before it is resumed."""

    request: HttpRequest
    last_id: str = ""
    failures: int = 0
    begun: bool = False
    parser: Parser = field(default_factory=Parser)

    def next(self) -> HttpRequest:
        """The request that continues after the last event that the caller received."""
        self.parser = Parser(id=self.last_id)
        headers = {**self.request.headers, "Accept": "text/event-stream"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        return replace(self.request, headers=headers, timeout=SILENCE)

    def handed(self, event: ServerEvent) -> None:
        self.last_id = event.id
        self.failures = 0
        self.begun = True

    def wait(self) -> float | None:
        """Seconds until the next attempt; None after too many attempts."""
        self.failures += 1
        if self.failures > PATIENCE:
            return None
        asked = self.parser.retry
        return asked if asked is not None else min(CAP, FIRST * 2 ** (self.failures - 1))

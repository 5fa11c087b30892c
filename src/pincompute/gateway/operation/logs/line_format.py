"""Parses a node's log lines and encodes them for clients as plain text, NDJSON or server-sent events."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

from pincompute.gateway.operation.replica_lookup import Replica

Mark: TypeAlias = Literal[
    "", "started", "moved", "replaced", "restarted", "ended", "gap", "back", "skew", "dropped", "denied", "trouble"
]
NDJSON = "application/x-ndjson"
SECOND = 1_000_000_000  # nanoseconds
_LOST = re.compile(
    rb"unable to retrieve container logs for |failed to try resolving symlinks in path |failed to open log file "
    rb"|previous terminated container "
)
_OVERHEAD = 300  # bytes a line takes in memory beside its text


class LogLine(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`time` as the node wrote it, in RFC 3339. A `mark` says that this is no line of a log but something about the stream."""

    time: str
    zone: str = ""
    cluster: str = ""
    replica: str = ""
    container: str = ""
    text: str = ""
    mark: Mark = ""
    file: str = ""

    @property
    def size(self) -> int:
        return len(self.text) + _OVERHEAD


@dataclass(frozen=True, slots=True)
class LogSource:
    """One container of one replica."""

    replica: Replica
    container: str

    @property
    def key(self) -> tuple[str, str]:
        return (self.replica.uid, self.container)


@dataclass(frozen=True, slots=True)
class Stamped:
    """A line with its time in nanoseconds since the epoch, which orders lines."""

    at: int
    line: LogLine


def parse(raw: bytes, source: LogSource, arrived: int) -> Stamped:
    """Parse a node's line: its time, a space, the text. A runtime's own message has no time and counts as written now."""
    stamp, _, text = raw.partition(b" ")
    try:
        at, time = nanoseconds(stamp.decode()), stamp.decode()
    except ValueError:
        at, time, text = arrived, rfc3339(arrived), raw
    return Stamped(at, _of(source, time, text))


def is_timed(line: Stamped, raw: bytes) -> bool:
    """Whether the line carries a time. A runtime's own message does not, and does not show how far a log was read."""
    return raw.startswith(line.line.time.encode() + b" ")


def is_lost(raw: bytes) -> bool:
    """Whether the runtime says, in place of a log, that it does not keep the log any more."""
    return _LOST.match(raw) is not None


def lost(source: LogSource, *, previous: bool) -> str:
    """A sentence about a log that the node does not keep any more."""
    of = f"{source.replica.name} {source.container}"
    which = f"the run of {of} before its last restart" if previous else of
    return f"the log of {which} is gone: its node has cleaned it up; `pin events` shows how containers ended"


def untimed(raw: bytes, source: LogSource, arrived: int, file: str) -> Stamped:
    """A line of a file, with the time of its arrival."""
    line = _of(source, rfc3339(arrived), raw)
    return Stamped(arrived, msgspec.structs.replace(line, file=file))


def mark(kind: Mark, text: str, at: int, source: LogSource | None = None) -> Stamped:
    if source is None:
        return Stamped(at, LogLine(time=rfc3339(at), text=text, mark=kind))
    line = _of(source, rfc3339(at), b"")
    return Stamped(at, msgspec.structs.replace(line, text=text, mark=kind))


def _of(source: LogSource, time: str, text: bytes) -> LogLine:
    replica = source.replica
    return LogLine(
        time=time,
        zone=replica.zone,
        cluster=replica.cluster,
        replica=replica.name,
        container=source.container,
        text=text.decode(errors="replace"),
    )


def nanoseconds(stamp: str) -> int:
    """Parse an RFC 3339 time with up to nine decimals. Raises ValueError."""
    head, dot, rest = stamp.partition(".")
    if not dot:
        return _seconds(stamp) * SECOND
    digits = len(rest) - len(rest.lstrip("0123456789"))
    fraction, zone = rest[:digits], rest[digits:]
    return _seconds(head + zone) * SECOND + int(fraction[:9].ljust(9, "0"))


@lru_cache(maxsize=4096)
def _seconds(stamp: str) -> int:
    moment = datetime.fromisoformat(stamp)
    if moment.tzinfo is None:
        raise ValueError(f"{stamp} has no time zone")
    return int(moment.timestamp())


def rfc3339(at: int) -> str:
    seconds, rest = divmod(at, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


Encoder: TypeAlias = Callable[[LogLine, str], bytes]
"""Makes the bytes of a line. The second argument is where a stream may go on after it; empty where it may not."""


def as_text(line: LogLine, _cursor: str) -> bytes:
    text = line.text.replace("\r", "")
    if line.mark:
        return f"{line.time} --- {text}\n".encode()
    where = " ".join(part for part in (line.zone, line.replica, line.container) if part)
    return f"{line.time} {where} {text}\n".encode()


def as_json(line: LogLine, _cursor: str) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def as_event(line: LogLine, cursor: str) -> bytes:
    identity = f"id: {cursor}\n".encode() if cursor else b""
    kind = b"mark" if line.mark else b"line"
    return identity + b"event: " + kind + b"\ndata: " + msgspec.json.encode(line) + b"\n\n"


ENCODERS: dict[str, Encoder] = {
    "text/plain": as_text,
    NDJSON: as_json,
    "text/event-stream": as_event,
}

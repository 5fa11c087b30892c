"""Defines the format of the audit log: one record a line, each with the hash of the line before, so that changes show.

    {"seq":7,"previous":"<hash of line 6>", … ,"hash":"<SHA-256 of all that stands before it>"}

The hash covers bytes, not values, so a line is verified exactly as it was written.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Literal, Self

import msgspec

from pincompute.gateway.call_context import DRY_RUN, Call, RecordedChange, ReplicaStream

START = "0" * 64
"""What the first line of all carries as the hash of the one before."""

_SEPARATOR = b',"hash":"'
_END = b'"}'

Stage = Literal["begun", "opened", "done", "torn", "lost", "unproved"]


class AnchoredHead(msgspec.Struct, frozen=True):
    """A record's number and hash, and when they were written down elsewhere."""

    seq: int
    hash: str
    time: datetime

    def __str__(self) -> str:
        """Heads sort as texts by their numbers, as the admission policy compares them."""
        return f"{self.seq:020d} {self.hash} {self.time:%Y-%m-%dT%H:%M:%SZ}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parses a head; None for a text that is none."""
        found = _HEAD.fullmatch(text)
        return cls(int(found[1]), found[2], datetime.fromisoformat(found[3])) if found else None


_HEAD = re.compile(r"([0-9]{20}) ([0-9a-f]{64}) ([0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z)")


class TornLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """The remains of a line that was being written when the machine or the process ended."""

    bytes: int
    sha256: str


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """`begun` is written before anything happens, `done` with the outcome; a `begun` alone was interrupted.

    `opened` says where a stream into a replica leads, before it is opened; its `done` says how it ended.

    `why` it was decided so, `reason` is what the caller said. `changes` are the values of an operation on a project or a token.
    A `dry_run` was judged, and changed nothing.

    `torn` names the remains of a line that a crash left before it, `lost` says how many records could not be written, and
    `unproved` that the log was not the one whose head was anchored: `anchor` names it.
    """

    stage: Stage
    time: datetime
    request: str = ""
    caller: str = ""
    kind: str = ""
    token: str = ""
    source: str = ""
    resource: str = ""
    verb: str = ""
    project: str = ""
    name: str = ""
    allowed: bool | None = None
    status: int = 0
    why: str = ""
    reason: str = ""
    stream: ReplicaStream | None = None
    changes: tuple[RecordedChange, ...] = ()
    dry_run: bool = False
    torn: TornLine | None = None
    lost: int = 0
    anchor: AnchoredHead | None = None


class AuditRecord(AuditEntry, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An entry in its place in the chain."""

    seq: int
    previous: str
    hash: str


def torn(remains: bytes) -> TornLine:
    return TornLine(len(remains), hashlib.sha256(remains).hexdigest())


class DamagedLine(ValueError):  # noqa: N818 - it says what the line is
    """The line is not as it was written. The message says how."""


def of_call(call: Call, stage: Stage, time: datetime, *, allowed: bool, status: int = 0, why: str = "") -> AuditEntry:
    return AuditEntry(
        stage=stage,
        time=time,
        request=call.id,
        caller=call.caller.principal,
        kind=call.caller.kind,
        token=call.caller.token_id,
        source=call.source,
        resource=call.operation.resource,
        verb=call.operation.verb,
        project=call.project,
        name=call.name,
        allowed=allowed,
        status=status,
        why=why,
        reason=call.reason,
        stream=call.stream if call.stream.replica else None,
        changes=tuple(call.changes),
        dry_run=DRY_RUN in call.marks,
    )


def encode(entry: AuditEntry, seq: int, previous: str) -> tuple[bytes, str]:
    """The line, with its end, and its hash."""
    body = msgspec.json.encode({"seq": seq, "previous": previous} | msgspec.to_builtins(entry))
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + _SEPARATOR + digest.encode() + _END + b"\n", digest


def decode(line: bytes) -> AuditRecord:
    """Reads a line without its end. Raises DamagedLine."""
    body, separator, rest = line.rpartition(_SEPARATOR)
    if not separator or not rest.endswith(_END):
        raise DamagedLine("is not a record")
    if hashlib.sha256(body + b"}").hexdigest() != rest[: -len(_END)].decode("ascii", "replace"):
        raise DamagedLine("was changed: its hash is not the hash of what it says")
    try:
        return msgspec.json.decode(line, type=AuditRecord)
    except msgspec.MsgspecError as problem:
        raise DamagedLine(f"is not a record: {problem}") from None


def stated(line: bytes) -> str:
    """The hash that a damaged line claims, so that only the damage is reported and not every line after it."""
    return line.rpartition(_SEPARATOR)[2][: -len(_END)].decode("ascii", "replace")

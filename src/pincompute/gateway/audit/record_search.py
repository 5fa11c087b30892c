"""Searches the audit log from its newest record backwards, in pages. A page reads a bounded part of the log.

A line that cannot match is passed over without decoding it: it lacks one of the values that the query names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from pincompute.gateway.audit import audit_files, hash_chain
from pincompute.gateway.audit.hash_chain import AuditRecord

MOST = 32 << 20  # bytes that one page reads
LONGEST_PAGE = 1000
DENIED = b'"allowed":false'
SET_BACK = timedelta(minutes=10)  # by which clocks may have been set back between two records

_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Empty fields select all records. `resource` and `verb` are of the operation; `denied` selects what permissions denied."""

    caller: str = ""
    resource: str = ""
    verb: str = ""
    project: str = ""
    name: str = ""
    request: str = ""
    since: datetime | None = None
    until: datetime | None = None
    denied: bool = False

    def named(self) -> tuple[tuple[str, str], ...]:
        """The fields that must have a value."""
        fields = ("caller", "resource", "verb", "project", "name", "request")
        return tuple((field, value) for field in fields if (value := getattr(self, field)))

    def needles(self) -> tuple[bytes, ...]:
        """What a line that matches contains."""
        found = (f'"{name}":'.encode() + msgspec.json.encode(value) for name, value in self.named())
        return (*found, DENIED) if self.denied else tuple(found)

    def matches(self, record: AuditRecord) -> bool:
        return (
            all(getattr(record, name) == value for name, value in self.named())
            and not (self.denied and record.allowed is not False)
            and (self.since is None or record.time >= self.since)
            and (self.until is None or record.time <= self.until)
        )


class AuditPage(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Records, the newest first. `cursor` asks for what is older; it is empty when the log was read to its beginning.

    A page may be empty and still have a cursor: it read as much as a page may. `gateway` says whose log it is.
    """

    items: tuple[AuditRecord, ...] = ()
    cursor: str = ""
    gateway: str = ""


def search(path: Path, query: AuditQuery, cursor: str = "", limit: int = 100, most: int = MOST) -> AuditPage:
    """Raises OSError, and ValueError for a cursor that is none."""
    page = _PageSearch(query, query.needles(), limit, most)
    for number, file, end in _files(path, cursor):
        if query.until is not None and _begins_after(file, query.until):
            continue
        for offset, line in audit_files.backwards(file, end):
            if page.full:
                return AuditPage(tuple(page.found), f"{number}-{offset + len(line) + 1}")
            page.step(line)
            if page.past:
                return AuditPage(tuple(page.found))
    return AuditPage(tuple(page.found))


@dataclass(slots=True)
class _PageSearch:
    query: AuditQuery
    needles: tuple[bytes, ...]
    limit: int
    most: int
    found: list[AuditRecord] = field(default_factory=list[AuditRecord])
    past: bool = False  # what follows is older than what is searched
    _read: int = 0
    _block: int = 0

    @property
    def full(self) -> bool:
        return len(self.found) >= self.limit or self._read >= self.most

    def step(self, line: bytes) -> None:
        self._read += len(line) + 1
        candidate = all(needle in line for needle in self.needles)
        due = self.query.since is not None and self._read // audit_files.BLOCK > self._block
        if not (candidate or due):
            return
        self._block = self._read // audit_files.BLOCK
        with suppress(hash_chain.DamagedLine):
            record = hash_chain.decode(line)
            if self.query.matches(record):
                self.found.append(record)
            self.past = self.query.since is not None and record.time < self.query.since - SET_BACK


def _files(path: Path, cursor: str) -> Iterator[tuple[int, Path, int | None]]:
    """The newest first, each with its first record's number; the first one with the offset at which the cursor stands."""
    known = _CURSOR.fullmatch(cursor)
    if cursor and known is None:
        raise ValueError("it is not a cursor of this log")
    numbered = [(number, file) for file in audit_files.all_of(path) if (number := audit_files.first_of(file))]
    for number, file in reversed(numbered):
        if known is None or number < int(known[1]):
            yield number, file, None
        elif number == int(known[1]):
            yield number, file, min(int(known[2]), file.stat().st_size)


def _begins_after(file: Path, moment: datetime) -> bool:
    line = next(audit_files.lines(file), None)
    with suppress(hash_chain.DamagedLine):
        return line is not None and hash_chain.decode(line.content).time > moment + SET_BACK
    return False

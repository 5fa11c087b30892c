"""Writes history records in batches, each once, and reads them in pages.

A page's cursor is a position in the order (time, row), not a count: rows that come or go meanwhile shift nothing (S-252).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace

from pincompute.store import records
from pincompute.store.database import Database, StoreRefused
from pincompute.store.records import AnyRecord, RecordType, micros, moment
from pincompute.store.sql_tables import records as table

LONGEST_PAGE = 1000
ROW = 250  # bytes a row takes beside its body and words, indexes included
LONGEST_WORDS = 4000
REPLACED = ("project", "project_uid", "workload", "name", "uid", "until", "rank", "words", "body", "size")


class CursorError(ValueError):
    """The cursor is not one of ours."""


@dataclass(frozen=True, slots=True)
class ProjectLifetime:
    """One project among those that have had its name: records of its own, and those without a uid since it was created."""

    uid: str
    created: datetime


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records to read; an empty or None field does not narrow. The search for `text` ignores case.

    With a `lifetime`, records of former projects of the name are left out. `also` are kinds and names whose operations are
    shown as well: what the workload uses.
    """

    project: str
    workload: str = ""
    name: str = ""
    uid: str = ""
    types: frozenset[RecordType] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    lifetime: ProjectLifetime | None = None
    also: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One page; `cursor` asks for the next one and is empty on the last. `places` are cursors behind each of the records."""

    records: tuple[AnyRecord, ...]
    cursor: str = ""
    places: tuple[str, ...] = ()


class HistoryTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, lines: Sequence[bytes]) -> int:
        """Writes all in one transaction, or none; returns how many the database refused for good. Raises StoreUnavailable."""
        rows = [row for line in lines if (row := _row(line)) is not None]
        refused = len(lines) - len(rows)
        rows.sort(key=lambda row: row["key"])  # the same order everywhere, so that two gateways never wait for each other
        try:
            await self._write(rows)
        except StoreRefused:
            return refused + await self._one_by_one(rows)
        return refused

    async def page(self, wanted: RecordFilter, cursor: str = "", limit: int = 100, *, oldest_first: bool = False) -> RecordPage:
        """Returns a page, newest first unless asked otherwise. Raises CursorError, StoreUnavailable."""
        count = max(1, min(limit, LONGEST_PAGE))
        query = sa.select(table.c.id, table.c.at, table.c.body).where(*_conditions(wanted))
        if cursor:
            query = query.where(_behind(cursor, oldest_first=oldest_first))
        order = (table.c.at, table.c.id) if oldest_first else (table.c.at.desc(), table.c.id.desc())
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.order_by(*order).limit(count + 1))).all()
        shown = rows[:count]
        read = [(record, _cursor(row.at, row.id)) for row in shown if (record := _record(row.at, row.body)) is not None]
        cursor = _cursor(shown[-1].at, shown[-1].id) if len(rows) > count else ""
        return RecordPage(tuple(record for record, _ in read), cursor, tuple(place for _, place in read))

    async def latest(self, kind: RecordType) -> dict[str, AnyRecord]:
        """Returns the newest record of this type by uid, of every workload."""
        newest = (
            sa.select(table.c.uid, sa.func.max(table.c.at).label("at")).where(table.c.type == kind).group_by(table.c.uid)
        ).subquery()
        query = (
            sa.select(table.c.uid, table.c.at, table.c.body)
            .join(newest, sa.and_(table.c.uid == newest.c.uid, table.c.at == newest.c.at))
            .where(table.c.type == kind)
            .order_by(table.c.id)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return {row.uid: record for row in rows if (record := _record(row.at, row.body)) is not None}

    async def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        insert = self._database.insert(table)
        new = insert.excluded
        replaced = {name: new[name] for name in REPLACED}
        statement = insert.on_conflict_do_update(index_elements=["key"], set_=replaced, where=new.rank > table.c.rank)
        async with self._database.writing() as connection:
            await connection.execute(statement, list(rows))

    async def _one_by_one(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Writes rows one by one, so that a row that the database will never take does not keep the others out."""
        refused = 0
        for row in rows:
            try:
                await self._write([row])
            except StoreRefused:
                refused += 1
        return refused


def _row(line: bytes) -> dict[str, Any] | None:
    record = records.decode(line)
    if record is None:
        return None
    words = " ".join(word for word in record.words if word).casefold().replace("\0", "")[:LONGEST_WORDS]
    body = records.pack(line)
    return {
        "key": record.key,
        "type": record.type,
        "project": record.project,
        "project_uid": record.project_uid,
        "workload": record.workload,
        "name": record.name,
        "uid": record.uid,
        "at": micros(record.at),
        "until": micros(record.until),
        "rank": record.rank,
        "words": words,
        "body": body,
        "size": ROW + len(words) + len(body),
    }


def _record(at: int, body: bytes) -> AnyRecord | None:
    """Returns the record. The time of the first writer stands, whatever a later one that knew more said: a record never
    changes its place.
    """
    record = records.decode(records.unpack(body))
    if record is None or micros(record.at) == at:
        return record
    return replace(record, at=moment(at))


def _conditions(wanted: RecordFilter) -> list[sa.ColumnElement[bool]]:
    c = table.c
    exact = {"workload": wanted.workload, "name": wanted.name, "uid": wanted.uid}
    if not all(_storable(value) for value in (wanted.project, *exact.values(), wanted.text)):
        return [sa.false()]
    about = sa.and_(sa.true(), *(c[column] == value for column, value in exact.items() if value))
    used = sa.and_(c.type == "operation", sa.tuple_(c.workload, c.name).in_(sorted(wanted.also)))
    found: list[sa.ColumnElement[bool]] = [sa.or_(about, used) if wanted.also else about]
    if wanted.project:
        found.append(c.project == wanted.project)
    if wanted.types:
        found.append(c.type.in_(sorted(wanted.types)))
    if wanted.since is not None:
        found.append(c.until >= micros(wanted.since))
    if wanted.until is not None:
        found.append(c.at <= micros(wanted.until))
    if wanted.lifetime is not None:
        unmarked = sa.and_(c.project_uid == "", c.at >= micros(wanted.lifetime.created))
        found.append(sa.or_(c.project_uid == wanted.lifetime.uid, unmarked))
    if wanted.text:
        found.append(c.words.contains(wanted.text.casefold(), autoescape=True))
    return found


def _storable(text: str) -> bool:
    """Returns text that both databases can store: no NUL for PostgreSQL, no half of a surrogate pair for either."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _behind(cursor: str, *, oldest_first: bool) -> sa.ColumnElement[bool]:
    here = sa.tuple_(table.c.at, table.c.id)
    place = sa.tuple_(*(sa.literal(number, sa.BigInteger) for number in _place(cursor)))
    return here > place if oldest_first else here < place


def _cursor(at: int, row: int) -> str:
    return base64.urlsafe_b64encode(f"{at}.{row}".encode()).decode().rstrip("=")


def _place(cursor: str) -> tuple[int, int]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        at, _, row = text.partition(".")
        place = int(at), int(row)
    except (binascii.Error, ValueError):
        raise CursorError(f"{cursor[:40]!r} is no cursor of this list") from None
    if max(abs(number) for number in place) >= 1 << 63:
        raise CursorError(f"{cursor[:40]!r} is no cursor of this list")
    return place

"""The same event or end of many pods, or of one again and again, told as one line. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pincompute.gateway.history import exit_reasons
from pincompute.gateway.history.timeline_entry import Entry, short
from pincompute.store.records import EventRecord, ExitRecord

NEAR = timedelta(minutes=10)  # the same again within this is the same line


@dataclass(slots=True)
class _RepeatedEvents:
    """The same thing, perhaps of many objects."""

    first: EventRecord | ExitRecord
    until: datetime
    count: int
    objects: set[str]


def entries(records: Iterable[EventRecord | ExitRecord]) -> Iterator[Entry]:
    """The oldest first. What came again after a longer while is a line of its own."""
    open_groups: dict[Hashable, _RepeatedEvents] = {}
    closed: list[_RepeatedEvents] = []
    for record in records:
        kind, named, count = _kind(record), _object(record), record.count if isinstance(record, EventRecord) else 1
        group = open_groups.get(kind)
        if group is None or record.at - group.until > NEAR:
            closed += (group,) if group else ()
            open_groups[kind] = _RepeatedEvents(record, record.until, count, {named})
            continue
        group.until = max(group.until, record.until)
        group.count += count
        group.objects.add(named)
    yield from (_entry(group) for group in (*closed, *open_groups.values()))


def _kind(record: EventRecord | ExitRecord) -> Hashable:
    """What makes two of them the same to a reader."""
    if isinstance(record, ExitRecord):
        return record.uid, record.name, record.container, record.code, record.reason, record.expected
    return record.uid, record.name, record.about, record.reason, _pattern(record)


def _pattern(event: EventRecord) -> str:
    """The message without what differs from pod to pod: names, and figures such as durations."""
    return "".join(c for c in event.message.replace(event.object, "") if not c.isdigit()) if event.object else event.message


def _object(record: EventRecord | ExitRecord) -> str:
    return record.object if isinstance(record, EventRecord) else record.pod


def _entry(group: _RepeatedEvents) -> Entry:
    first, alone = group.first, len(group.objects) == 1
    return Entry(
        at=first.at,
        type=first.type,
        sentence=_event(first, group)
        if isinstance(first, EventRecord)
        else exit_reasons.sentence(first, len(group.objects), group.count),
        name=first.name,
        uid=first.uid,
        zone=first.zone if alone else "",
        cluster=first.cluster if alone else "",
        warning=first.warning if isinstance(first, EventRecord) else bool(exit_reasons.cure(first)),
        until=group.until if group.until > first.at else None,
        count=group.count,
    )


def _event(first: EventRecord, group: _RepeatedEvents) -> str:
    many = len(group.objects)
    who = f"{many} {first.about.lower()}s" if many > 1 else f"{first.about.lower()} {first.object}"
    times = f" ({group.count} times)" if group.count > many else ""
    return f"{who}: {first.reason}: {short(first.message)}{times}"

"""The same event of many pods, or the same again and again, told as one line. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pincompute.gateway.insight.entries import Entry, short
from pincompute.store.records import Event

NEAR = timedelta(minutes=10)  # the same event again within this is the same line


@dataclass(slots=True)
class _Group:
    """The same event, perhaps of many objects."""

    first: Event
    until: datetime
    count: int
    objects: set[str]


def entries(events: Iterable[Event]) -> Iterator[Entry]:
    open_groups: dict[tuple[str, ...], _Group] = {}
    closed: list[_Group] = []
    for event in events:
        key = (event.uid, event.name, event.about, event.reason, _pattern(event))
        group = open_groups.get(key)
        if group is None or event.at - group.until > NEAR:
            if group is not None:
                closed.append(group)
            open_groups[key] = _Group(event, event.last, event.count, {event.object})
            continue
        group.until = max(group.until, event.last)
        group.count += event.count
        group.objects.add(event.object)
    yield from (_entry(group) for group in (*closed, *open_groups.values()))


def _entry(group: _Group) -> Entry:
    first, many = group.first, len(group.objects)
    who = f"{many} {first.about.lower()}s" if many > 1 else f"{first.about.lower()} {first.object}"
    times = f" ({group.count} times)" if group.count > many else ""
    return Entry(
        at=first.at,
        type="event",
        sentence=f"{who}: {first.reason}: {short(first.message)}{times}",
        name=first.name,
        uid=first.uid,
        zone=first.zone if many == 1 else "",
        cluster=first.cluster if many == 1 else "",
        warning=first.warning,
        until=group.until if group.until > first.at else None,
        count=group.count,
    )


def _pattern(event: Event) -> str:
    """The message with what differs from pod to pod left out: names, and figures such as durations."""
    return "".join(c for c in event.message.replace(event.object, "") if not c.isdigit()) if event.object else event.message

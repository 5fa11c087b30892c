"""Records with sensible defaults, so that a test names only what it is about, and a store in a hurry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pincompute.kube.backoff import Pace
from pincompute.store.database import Patience
from pincompute.store.history import Filter
from pincompute.store.records import AnyRecord, Event, Exit, Operation, Revision, State
from pincompute.store.store import Options, Store

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
OF_HELLO: dict[str, Any] = {"project": "demo", "workload": "PinApp", "name": "hello", "uid": "uid-hello"}
DEADLINE = 30.0  # seconds in which what must happen has happened, on a machine that is busy


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def state(seconds: float = 0, phase: str = "Running", **changes: Any) -> State:
    return State(**{**OF_HELLO, "at": after(seconds), "after": phase, **changes})


def revision(generation: int = 1, **changes: Any) -> Revision:
    return Revision(**{**OF_HELLO, "at": after(generation), "generation": generation, **changes})


def event(count: int = 1, seconds: float = 0, **changes: Any) -> Event:
    facts = {
        "cluster": "a1",
        "at": NOW,
        "last": after(seconds),
        "event_uid": "e1",
        "about": "Pod",
        "object": "hello-a1-0",
        "reason": "BackOff",
        "message": "Back-off restarting failed container",
        "count": count,
    }
    return Event(**{**OF_HELLO, **facts, **changes})


def exit_of(code: int = 1, seconds: float = 0, **changes: Any) -> Exit:
    facts = {"at": after(seconds), "pod": "hello-a1-0", "pod_uid": "p1", "container": "web", "code": code}
    return Exit(**{**OF_HELLO, **facts, **changes})


def operation(request_id: str = "r1", **changes: Any) -> Operation:
    return Operation(**{**OF_HELLO, "at": NOW, "request_id": request_id, "verb": "scale", "author": "alice", **changes})


def opened(url: str, spool: Path, **options: Any) -> Store:
    """Impatient, so that outages are noticed soon."""
    hurry = {"patience": Patience(connect=2.0, statement=5.0, lock=0.1), "pace": Pace(base=0.01, cap=0.1)}
    return Store.open(url, spool=spool, options=Options(**{**hurry, **options}))


async def everything(store: Store, project: str = "demo") -> list[AnyRecord]:
    """All records, page by page, the oldest first."""
    found: list[AnyRecord] = []
    cursor = ""
    while True:
        page = await store.history.page(Filter(project), cursor, 7, oldest_first=True)
        found += page.records
        cursor = page.cursor
        if not cursor:
            return found

"""Builds records with sensible defaults, and a store with short time-outs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pincompute.kube.backoff import BackoffLimits
from pincompute.store.database import DatabaseTimeouts
from pincompute.store.history_store import HistoryStore, StoreOptions
from pincompute.store.history_table import RecordFilter
from pincompute.store.records import AnyRecord, EventRecord, ExitRecord, OperationRecord, RevisionRecord, StateRecord

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
OF_HELLO: dict[str, Any] = {"project": "demo", "workload": "PinApp", "name": "hello", "uid": "uid-hello"}
DEADLINE = 30.0  # seconds in which what must happen has happened, on a machine that is busy


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def state(seconds: float = 0, phase: str = "Running", **changes: Any) -> StateRecord:
    return StateRecord(**{**OF_HELLO, "at": after(seconds), "after": phase, **changes})


def revision(generation: int = 1, **changes: Any) -> RevisionRecord:
    return RevisionRecord(**{**OF_HELLO, "at": after(generation), "generation": generation, **changes})


def event(count: int = 1, seconds: float = 0, **changes: Any) -> EventRecord:
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
    return EventRecord(**{**OF_HELLO, **facts, **changes})


def exit_of(code: int = 1, seconds: float = 0, **changes: Any) -> ExitRecord:
    facts = {"at": after(seconds), "pod": "hello-a1-0", "pod_uid": "p1", "container": "web", "code": code}
    return ExitRecord(**{**OF_HELLO, **facts, **changes})


def operation(request_id: str = "r1", **changes: Any) -> OperationRecord:
    return OperationRecord(**{**OF_HELLO, "at": NOW, "request_id": request_id, "verb": "scale", "author": "alice", **changes})


def opened(url: str, folder: Path, **options: Any) -> HistoryStore:
    """Impatient, so that outages are noticed soon."""
    hurry = {"patience": DatabaseTimeouts(connect=2.0, statement=5.0, lock=0.1), "pace": BackoffLimits(base=0.01, cap=0.1)}
    return HistoryStore(url, outbox=folder, options=StoreOptions(**{**hurry, **options}))


async def everything(store: HistoryStore, project: str = "demo") -> list[AnyRecord]:
    """All records, page by page, the oldest first."""
    found: list[AnyRecord] = []
    cursor = ""
    while True:
        page = await store.history.page(RecordFilter(project), cursor, 7, oldest_first=True)
        found += page.records
        cursor = page.cursor
        if not cursor:
            return found

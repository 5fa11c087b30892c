"""Keeps every change by resource version, for watches and for pages of an old version.

Versions count up by one for the whole store. `compact` drops the oldest; a request for what was dropped gets `Gone`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pincompute.api.meta import Key, Manifest
from pincompute.testing.apiserver import error_responses
from pincompute.testing.apiserver.label_selectors import Predicate

EventType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One line of a watch."""

    type: EventType
    object: Manifest
    resource_version: str


@dataclass(frozen=True, slots=True)
class StoredChange:
    """One write: `before` is None for a creation, `after` for a removal; `last` is the object as the event shows it."""

    version: int
    kind: str
    key: Key
    before: Manifest | None
    after: Manifest | None
    last: Manifest

    def event(self) -> StoredEvent:
        what: EventType = "ADDED" if self.before is None else "DELETED" if self.after is None else "MODIFIED"
        return StoredEvent(what, self.last, str(self.version))

    def seen(self, selected: Predicate) -> StoredEvent | None:
        """The event as a watch with a selector sees it: what leaves the selection is deleted, what enters it is added."""
        was = self.before is not None and selected(self.before)
        now = self.after is not None and selected(self.after)
        if self.before is not None and was and not now:
            metadata = {**self.before["metadata"], "resourceVersion": str(self.version)}
            return StoredEvent("DELETED", {**self.before, "metadata": metadata}, str(self.version))
        if not now:
            return None
        return StoredEvent("MODIFIED" if was else "ADDED", self.last, str(self.version))


class VersionHistory:
    def __init__(self) -> None:
        self.version = 1
        self.oldest = 0
        self._changes: dict[str, list[StoredChange]] = {}

    def fork(self) -> VersionHistory:
        twin = VersionHistory()
        twin.version, twin.oldest = self.version, self.oldest
        twin._changes = {kind: list(changes) for kind, changes in self._changes.items()}
        return twin

    def next(self) -> int:
        self.version += 1
        return self.version

    def add(self, change: StoredChange) -> None:
        self._changes.setdefault(change.kind, []).append(change)

    def since(self, kind: str, version: int) -> Iterator[StoredChange]:
        """Changes of one kind after a version, oldest first."""
        if version < self.oldest:
            raise error_responses.gone(f"too old resource version: {version} ({self.version})")
        changes = self._changes.get(kind, [])
        start = bisect_right(changes, version, key=lambda change: change.version)
        return iter(changes[start:])

    def rewind(self, kind: str, objects: dict[Key, Manifest], version: int) -> dict[Key, Manifest]:
        """The objects of a kind as they were at a version."""
        past = dict(objects)
        for change in reversed(list(self.since(kind, version))):
            if change.before is None:
                past.pop(change.key, None)
            else:
                past[change.key] = change.before
        return past

    def compact(self, version: int) -> None:
        """Forget everything up to a version."""
        self.oldest = max(self.oldest, min(version, self.version))
        for kind, changes in self._changes.items():
            start = bisect_right(changes, self.oldest, key=lambda change: change.version)
            self._changes[kind] = changes[start:]

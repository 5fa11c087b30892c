"""Commits writes: tables, history and listeners change together, and consequences follow until none is left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeAlias

from pincompute.api.meta import Key, Manifest, Resource
from pincompute.testing.apiserver import error_responses
from pincompute.testing.apiserver.jsondata import copy
from pincompute.testing.apiserver.object_tables import ObjectTables
from pincompute.testing.apiserver.served_kinds import ServedKind
from pincompute.testing.apiserver.version_history import StoredChange, StoredEvent, VersionHistory

Listener: TypeAlias = Callable[[Resource[Any], StoredEvent], None]
Consequences: TypeAlias = Callable[[Resource[Any], StoredChange], None]


class Transactions:
    """`consequences` is called for every change, after the write that caused it; its own writes are changes too."""

    def __init__(self, consequences: Consequences, copied: Callable[[Any], Any] = copy) -> None:
        self.tables = ObjectTables()
        self.history = VersionHistory()
        self._copied = copied
        self.listeners: list[Listener] = []
        self._consequences = consequences
        self._unsettled: deque[tuple[Resource[Any], StoredChange]] = deque()
        self._settling = False
        self._rehearsing = False

    def fork(self, consequences: Consequences) -> Transactions:
        """Returns another instance in the same state without listeners."""
        twin = Transactions(consequences, self._copied)
        twin.tables = self.tables.fork()
        twin.history = self.history.fork()
        return twin

    def find(self, resource: Resource[Any], key: Key) -> Manifest:
        self.tables.kind(resource)
        obj = self.tables.get(resource, key)
        if obj is None:
            raise error_responses.not_found(resource, key.name)
        return obj

    def as_of(self, resource: Resource[Any], version: int) -> dict[Key, Manifest]:
        """Returns the objects of a kind at a version."""
        objects = self.tables.objects[str(resource)]
        return objects if version == self.history.version else self.history.rewind(str(resource), objects, version)

    @contextmanager
    def rehearsal(self) -> Generator[None]:
        """Answers the commits inside but stores nothing."""
        self._rehearsing = True
        try:
            yield
        finally:
            self._rehearsing = False

    def replace(self, kind: ServedKind, key: Key, old: Manifest, new: Manifest) -> Manifest:
        """Stores a new state, unless nothing changed or the last thing that kept an object under deletion is gone."""
        if new == old:
            return old
        metadata = new["metadata"]
        ending = "deletionTimestamp" in metadata and not metadata.get("finalizers")
        if ending and not metadata.get("deletionGracePeriodSeconds") and str(kind.resource) != "namespaces":
            self.commit(kind, key, old, None)
            return new
        return self.commit(kind, key, old, new)

    def commit(self, kind: ServedKind, key: Key, before: Manifest | None, after: Manifest | None) -> Manifest:
        """Returns the object as it is now, or as it last was; None stands for absence."""
        state: Manifest = after or before or {}
        if self._rehearsing:
            return state
        version = self.history.next()
        last = {**state, "metadata": {**state["metadata"], "resourceVersion": str(version)}}
        stored = last if after is not None else None
        name = str(kind.resource)
        self.tables.put(name, key, before, stored)
        change = StoredChange(version, name, key, before, stored, last)
        self.history.add(change)
        for listener in tuple(self.listeners):
            event = change.event()
            listener(kind.resource, StoredEvent(event.type, self._copied(event.object), event.resource_version))
        self._unsettled.append((kind.resource, change))
        self._settle()
        return last

    def _settle(self) -> None:
        if self._settling:
            return
        self._settling = True
        try:
            while self._unsettled:
                self._consequences(*self._unsettled.popleft())
        finally:
            self._settling = False

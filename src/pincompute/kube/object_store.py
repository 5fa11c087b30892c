"""Stores the objects of one kind in one cluster, with their indexes and sums. It does no I/O.

Versions only rise: an older state never replaces a newer one, whether it comes from a watch, a list or the answer to our own
write, and an object that we deleted never comes back. Lists and watches may therefore lag behind our own writes without
setting the cache back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Generic, Literal, TypeAlias, TypeVar

from msgspec.structs import replace

from pincompute.api.meta import Key, Object
from pincompute.kube.indexer import BuiltIndex, Index, RankedIndex, build

T = TypeVar("T", bound=Object)

GONE = 8192  # uids remembered; far more than answers and events can be on their way
FOREVER = sys.maxsize  # a version above all others

Event: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]
Listener: TypeAlias = Callable[[Event, T, T | None], None]
"""Gets the event, the object (its last known state when DELETED), and what was known before."""


def version(resource_version: str) -> int:
    """Returns a resource version as a number; those of one cluster compare as numbers (KEP-5504)."""
    return int(resource_version or 0)


class ObjectStore(Generic[T]):
    """Holds objects by namespace and name."""

    def __init__(self, indexes: Mapping[str, Index[T]]) -> None:
        self._kept = {name: build(index) for name, index in indexes.items()}
        self._objects: dict[str, dict[str, T]] = {}
        self._gone: dict[str, int] = {}  # uids that went lately, and the version up to which they are gone
        self._listeners: list[Listener[T]] = []

    def listen(self, listener: Listener[T]) -> None:
        self._listeners.append(listener)

    def get(self, key: Key) -> T | None:
        return self._objects.get(key.namespace, {}).get(key.name)

    def all(self, namespace: str = "") -> Sequence[T]:
        if namespace:
            return tuple(self._objects.get(namespace, {}).values())
        return tuple(obj for objects in self._objects.values() for obj in objects.values())

    def by(self, index: str, value: str) -> Iterable[T]:
        """Yields objects by index value. A ranked index yields one by one, until the next change."""
        filed = self._index(index)
        found = (self._objects[key.namespace][key.name] for key in filed.keys(value))
        return found if isinstance(filed, RankedIndex) else tuple(found)

    def values(self, index: str) -> tuple[str, ...]:
        return tuple(self._index(index).values())

    def total(self, name: str, group: str, after: int = -1) -> Mapping[str, int]:
        return self._index(name).total(group, after)

    def _index(self, name: str) -> BuiltIndex[T]:
        if name not in self._kept:
            raise LookupError(f"no index {name!r}; declared: {', '.join(self._kept) or 'none'}")
        return self._kept[name]

    def __len__(self) -> int:
        return sum(len(objects) for objects in self._objects.values())

    def put(self, obj: T) -> None:
        """Records a state of an object, perhaps an old one."""
        self._put(obj.key, obj)

    def remove(self, obj: T) -> None:
        """Records that this object went; `obj` is its last state, under the version of its deletion. Where a selector
        narrows the cache, the object may only have left the selection, and come back in a later version.
        """
        last = version(obj.metadata.resource_version)
        self._remember_gone(obj.metadata.uid, last)
        old = self.get(obj.key)
        if old is not None and version(old.metadata.resource_version) <= last:
            self._drop(old)

    def bury(self, key: Key, uid: str) -> None:
        """Records that we deleted this object and that the API server said that it is gone."""
        self._remember_gone(uid, FOREVER)
        old = self.get(key)
        if old is not None and old.metadata.uid == uid:
            self._drop(old)

    def mark_ending(self, key: Key, uid: str, now: datetime) -> None:
        """Records that this object is being deleted; the state that says so, of a later version, is on its way."""
        old = self.get(key)
        if old is not None and old.metadata.uid == uid and not old.deleting:
            self._set(key, replace(old, metadata=replace(old.metadata, deletion_timestamp=now)), old)

    def listing(self) -> Listing[T]:
        return Listing(self)

    def reset(self, obj: T) -> None:
        """Replaces everything by the state of a server whose versions went backwards, after a restore from a backup."""
        old = self.get(obj.key)
        if old != obj:
            self._set(obj.key, obj, old)

    def settle(self, seen: set[Key], upto: int | None) -> None:
        """Ends a list: what it did not show is gone, unless it is newer than the list (`upto` None: no exception)."""
        if upto is None:
            self._gone.clear()
        for old in self.all():
            newer = upto is not None and version(old.metadata.resource_version) > upto
            if old.key not in seen and not newer:
                self._remember_gone(old.metadata.uid, upto or 0)
                self._drop(old)

    def _remember_gone(self, uid: str, upto: int) -> None:
        self._gone[uid] = max(upto, self._gone.pop(uid, 0))
        if len(self._gone) > GONE:
            del self._gone[next(iter(self._gone))]

    def _put(self, key: Key, obj: T) -> None:
        meta = obj.metadata
        number = version(meta.resource_version)
        if number <= self._gone.get(meta.uid, -1):
            return
        old = self.get(key)
        if old is None or version(old.metadata.resource_version) < number:
            self._set(key, obj, old)

    def _set(self, key: Key, obj: T, old: T | None) -> None:
        if old is not None and old.metadata.uid != obj.metadata.uid:
            self._drop(old)  # deleted and made again between two lists
            old = None
        self._refile(key, old, obj)
        self._objects.setdefault(key.namespace, {})[obj.metadata.name] = obj
        if old is None:
            self._publish("ADDED", obj, None)
        elif _differ(old, obj):
            self._publish("MODIFIED", obj, old)

    def _drop(self, old: T) -> None:
        self._refile(old.key, old, None)
        objects = self._objects[old.metadata.namespace]
        del objects[old.metadata.name]
        if not objects:
            del self._objects[old.metadata.namespace]
        self._publish("DELETED", old, old)

    def _refile(self, key: Key, old: T | None, new: T | None) -> None:
        for index in self._kept.values():
            index.change(key, old, new)

    def _publish(self, event: Event, obj: T, old: T | None) -> None:
        for listener in self._listeners:
            listener(event, obj, old)


class Listing(Generic[T]):
    """A list in progress. Objects take effect page by page, absences only when the last page has come."""

    def __init__(self, store: ObjectStore[T]) -> None:
        self._store = store
        self._seen: set[Key] = set()

    def page(self, objects: Iterable[T], rolled_back: bool) -> None:
        accept = self._store.reset if rolled_back else self._store.put
        for obj in objects:
            self._seen.add(obj.key)
            accept(obj)

    def present(self, key: Key) -> None:
        """Records that the key is on the list, though the object could not be read."""
        self._seen.add(key)

    def end(self, resource_version: str, rolled_back: bool) -> None:
        self._store.settle(self._seen, None if rolled_back else version(resource_version))


def _differ(old: Object, new: Object) -> bool:
    """Returns whether anything that a slim object shows has changed; a new version alone is no change."""
    meta = replace(old.metadata, resource_version=new.metadata.resource_version)
    return replace(old, metadata=meta) != new

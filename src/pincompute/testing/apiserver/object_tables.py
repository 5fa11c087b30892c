"""Stores objects with their indexes: by kind and key, by uid, by owner. It never changes a stored object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pincompute.api.meta import Key, Manifest, Resource
from pincompute.testing.apiserver import error_responses
from pincompute.testing.apiserver.served_kinds import ServedKind


class ObjectTables:
    def __init__(self) -> None:
        self.kinds: dict[str, ServedKind] = {}
        self.objects: dict[str, dict[Key, Manifest]] = {}
        self._places: dict[str, tuple[str, Key]] = {}
        self._owned: dict[str, set[tuple[str, Key]]] = {}

    def fork(self) -> ObjectTables:
        """Tables of their own that hold the same objects."""
        twin = ObjectTables()
        twin.kinds = dict(self.kinds)
        twin.objects = {name: dict(objects) for name, objects in self.objects.items()}
        twin._places = dict(self._places)
        twin._owned = {uid: set(owned) for uid, owned in self._owned.items() if owned}
        return twin

    def add_kind(self, kind: ServedKind) -> None:
        name = str(kind.resource)
        self.kinds[name] = kind
        self.objects.setdefault(name, {})

    def drop_kind(self, name: str) -> None:
        del self.kinds[name]
        self.objects.pop(name)

    def kind(self, resource: Resource[Any]) -> ServedKind:
        found = self.kinds.get(str(resource))
        if found is None:
            raise error_responses.refuse(404, f"the server could not find the requested resource ({resource})")
        return found

    def get(self, resource: Resource[Any], key: Key) -> Manifest | None:
        return self.objects.get(str(resource), {}).get(key)

    def put(self, name: str, key: Key, before: Manifest | None, after: Manifest | None) -> None:
        """Replace an object; None stands for its absence."""
        if before is not None:
            self._forget(name, key, before)
        if after is None:
            self.objects[name].pop(key, None)
            return
        self.objects[name][key] = after
        self._places[after["metadata"]["uid"]] = (name, key)
        for reference in after["metadata"].get("ownerReferences", ()):
            self._owned.setdefault(reference["uid"], set()).add((name, key))

    def _forget(self, name: str, key: Key, before: Manifest) -> None:
        self._places.pop(before["metadata"]["uid"], None)
        for reference in before["metadata"].get("ownerReferences", ()):
            self._owned.get(reference["uid"], set()).discard((name, key))

    def place(self, uid: str) -> tuple[Resource[Any], Key] | None:
        found = self._places.get(uid)
        return (self.kinds[found[0]].resource, found[1]) if found else None

    def owned(self, uid: str) -> Iterator[tuple[Resource[Any], Key]]:
        for name, key in sorted(self._owned.get(uid, ())):
            yield self.kinds[name].resource, key

    def within(self, namespace: str) -> Iterator[tuple[Resource[Any], Key]]:
        for name, objects in self.objects.items():
            for key in sorted(key for key in objects if key.namespace == namespace):
                yield self.kinds[name].resource, key

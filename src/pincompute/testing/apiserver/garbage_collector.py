"""Collects garbage by owner uid and ends namespaces, as kube-controller-manager does, but at once.

A dependent goes when none of its owners exists (background). A foreground deletion waits for the dependents that block it; an
orphaning one releases them first. The store calls `settle` for every object that changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from pincompute.api.builtin import NAMESPACES
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.testing.apiserver.jsondata import items, part
from pincompute.testing.apiserver.object_tables import ObjectTables
from pincompute.testing.apiserver.version_history import StoredChange

Propagation: TypeAlias = Literal["Background", "Foreground", "Orphan"]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_MANAGER = "kube-controller-manager"


class GarbageWrites(Protocol):
    """What garbage collection needs of the store."""

    def patch(
        self, resource: Resource[Any], key: Key, patch: Any, *, content_type: Literal["merge-patch"], manager: str
    ) -> Manifest: ...

    def delete(self, resource: Resource[Any], key: Key, *, propagation: Propagation) -> Manifest: ...

    def finalize(self, namespace: str) -> None:
        """Let a namespace go that is deleting and empty."""
        ...


@dataclass(frozen=True, slots=True)
class GarbageCollector:
    tables: ObjectTables
    writes: GarbageWrites

    def settle(self, resource: Resource[Any], change: StoredChange) -> None:
        """The consequences of one change."""
        key = change.key
        obj = self.tables.get(resource, key)
        if obj is None or obj["metadata"]["uid"] != change.last["metadata"]["uid"]:
            self._owner_went(change.last)
        elif "deletionTimestamp" in obj["metadata"]:
            self._deleting(resource, key, obj)
        if obj is not None:
            self._judge(resource, key)
        self._settle_namespace(resource, key)

    def _owner_went(self, last: Manifest) -> None:
        for resource, key in self.tables.owned(last["metadata"]["uid"]):
            self._judge(resource, key)
        for reference in last["metadata"].get("ownerReferences", []):
            owner = self._owner(reference["uid"], last["metadata"].get("namespace", ""))
            if owner is not None and FOREGROUND in owner["metadata"].get("finalizers", []):
                self._release(owner)

    def _judge(self, resource: Resource[Any], key: Key) -> None:
        """Delete an object that lost all its owners; drop its references to those that are gone."""
        obj = self.tables.get(resource, key)
        references: list[Manifest] = items(part(obj, "metadata"), "ownerReferences")
        if obj is None or not references or "deletionTimestamp" in obj["metadata"]:
            return
        solid = [r for r in references if self._owner(r["uid"], key.namespace) is not None]
        if not solid:
            self._remove(resource, key, "Background")
        elif len(solid) < len(references):
            self._edit(resource, key, {"ownerReferences": solid})

    def _deleting(self, resource: Resource[Any], key: Key, obj: Manifest) -> None:
        finalizers = obj["metadata"].get("finalizers", [])
        uid = obj["metadata"]["uid"]
        if ORPHAN in finalizers:
            for kind, name in list(self.tables.owned(uid)):
                dependent = self.tables.get(kind, name)
                references = items(part(dependent, "metadata"), "ownerReferences")
                self._edit(kind, name, {"ownerReferences": [r for r in references if r["uid"] != uid] or None})
            self._edit(resource, key, {"finalizers": [f for f in finalizers if f != ORPHAN] or None})
        elif FOREGROUND in finalizers:
            for kind, name in list(self.tables.owned(uid)):
                dependent = self.tables.get(kind, name)
                if dependent is not None and "deletionTimestamp" not in dependent["metadata"]:
                    self._remove(kind, name, "Foreground")
            self._release(obj)

    def _release(self, owner: Manifest) -> None:
        """Let a foreground deletion end when nothing that blocks it is left."""
        uid = owner["metadata"]["uid"]
        place = self.tables.place(uid)
        if place is None or any(_blocks(self.tables.get(*name), uid) for name in self.tables.owned(uid)):
            return
        current = self.tables.get(*place) or owner
        finalizers = [f for f in current["metadata"].get("finalizers", []) if f != FOREGROUND]
        self._edit(*place, {"finalizers": finalizers or None})

    def _settle_namespace(self, resource: Resource[Any], key: Key) -> None:
        name = key.name if resource.plural == NAMESPACES.plural else key.namespace
        namespace = self.tables.get(NAMESPACES, Key("", name)) if name else None
        if namespace is None or "deletionTimestamp" not in namespace["metadata"]:
            return
        for kind, content in list(self.tables.within(name)):
            obj = self.tables.get(kind, content)
            if obj is not None and "deletionTimestamp" not in obj["metadata"]:
                self._remove(kind, content, "Background")
        if not any(True for _ in self.tables.within(name)):
            self.writes.finalize(name)

    def _owner(self, uid: str, namespace: str) -> Manifest | None:
        """The object of that uid, if an object in `namespace` may be owned by it."""
        place = self.tables.place(uid)
        if place is None or place[1].namespace not in ("", namespace):
            return None
        return self.tables.get(*place)

    def _edit(self, resource: Resource[Any], key: Key, metadata: Manifest) -> None:
        self.writes.patch(resource, key, {"metadata": metadata}, content_type="merge-patch", manager=_MANAGER)

    def _remove(self, resource: Resource[Any], key: Key, propagation: Propagation) -> None:
        self.writes.delete(resource, key, propagation=propagation)


def _blocks(dependent: Manifest | None, uid: str) -> bool:
    references = items(part(dependent, "metadata"), "ownerReferences")
    return any(r["uid"] == uid and r.get("blockOwnerDeletion") for r in references)

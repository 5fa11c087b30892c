"""Puts CustomResourceDefinitions into effect: a kind and its objects exist while its definition does."""

from __future__ import annotations

from typing import Any, Protocol

from pincompute.api.meta import Key, Manifest, Resource
from pincompute.testing.apiserver import served_kinds
from pincompute.testing.apiserver.object_tables import ObjectTables
from pincompute.testing.apiserver.version_history import StoredChange


class DefinitionWrites(Protocol):
    def update(
        self, resource: Resource[Any], key: Key, body: Manifest, *, subresource: str = "", manager: str = ""
    ) -> Manifest: ...

    def delete(self, resource: Resource[Any], key: Key) -> Manifest: ...


def settle(writes: DefinitionWrites, tables: ObjectTables, change: StoredChange) -> None:
    """The consequences of a change to a definition."""
    if change.after is None:
        _withdraw(writes, tables, change.last)
        return
    tables.add_kind(served_kinds.defined(change.after))
    if change.before is None:
        established = {**change.after, "status": _established(change.after)}
        writes.update(served_kinds.CRDS, change.key, established, subresource="status", manager="kube-apiserver")


def _withdraw(writes: DefinitionWrites, tables: ObjectTables, definition: Manifest) -> None:
    resource = served_kinds.defined(definition).resource
    for key in list(tables.objects[str(resource)]):
        writes.delete(resource, key)
    tables.drop_kind(str(resource))


def _established(definition: Manifest) -> Manifest:
    spec = definition["spec"]
    since = definition["metadata"]["creationTimestamp"]
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": since, "reason": reason, "message": message}
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    stored = [version["name"] for version in spec["versions"] if version.get("storage")]
    return {"conditions": conditions, "acceptedNames": spec["names"], "storedVersions": stored}

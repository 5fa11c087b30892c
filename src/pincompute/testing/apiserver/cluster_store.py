"""Stores one cluster's objects with the semantics of a real API server, synchronously and without network.

The store hands out copies and never changes a stored object in place. Garbage collection and the end of namespaces happen
before the call that caused them returns, while a real cluster takes a moment. Callers that never change what they gave or got
say so (`shares`); for them nothing is copied, which saves most of the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from pincompute.api.builtin import NAMESPACES
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.testing.apiserver import (
    continue_tokens,
    crd_controller,
    error_responses,
    label_selectors,
    object_preparation,
    patch_formats,
    preconditions,
    resize_subresource,
    scale_subresource,
    served_kinds,
    server_side_apply,
)
from pincompute.testing.apiserver.continue_tokens import StoredPage
from pincompute.testing.apiserver.garbage_collector import GarbageCollector, Propagation
from pincompute.testing.apiserver.jsondata import copy, same
from pincompute.testing.apiserver.served_kinds import CRDS, ServedKind
from pincompute.testing.apiserver.server_side_apply import FieldWriter
from pincompute.testing.apiserver.transactions import Consequences, Listener, Transactions
from pincompute.testing.apiserver.version_history import StoredChange, StoredEvent

ContentType: TypeAlias = Literal["merge-patch", "strategic-merge-patch", "json-patch", "apply-patch"]

_SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


class ClusterStore:
    """One cluster's objects.

    `now` is the store's clock; `uid` makes the uids, and the suffixes of generated names. `shares`: objects come in and go
    out without being copied. `applied`: the kinds that are ever applied, None for all; of the others no field owners are
    kept, which is most of what a write costs. `origin`: a store whose kinds, objects and history this one begins with.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        resources: Iterable[Resource[Any]] = (),
        *,
        uid: Callable[[], str] = lambda: str(uuid4()),
        shares: bool = False,
        applied: Container[Resource[Any]] | None = None,
        origin: ClusterStore | None = None,
    ) -> None:
        self._now = now
        self._uid = uid
        self._applied = applied
        self._copy: Callable[[Any], Any] = same if shares else copy
        self._transactions = origin.state(self._consequences) if origin else Transactions(self._consequences, self._copy)
        self._tables = self._transactions.tables
        self._collector = GarbageCollector(self._tables, self)
        if origin is None:
            self._begin(resources)

    def state(self, consequences: Consequences) -> Transactions:
        """Returns what another store needs to continue from here. Objects are shared, so it costs little."""
        return self._transactions.fork(consequences)

    def _begin(self, resources: Iterable[Resource[Any]]) -> None:
        for resource in served_kinds.BUILT_IN:
            self._tables.add_kind(served_kinds.built_in(resource))
        for resource in resources:
            self.register(resource)
        for name in _SYSTEM_NAMESPACES:
            self.create(NAMESPACES, "", {"metadata": {"name": name}})

    # -- kinds ----------------------------------------------------------------------------------------------------------

    def register(
        self, resource: Resource[Any], *, status: bool = True, schema: Manifest | None = None, scale: Manifest | None = None
    ) -> None:
        """Serves a custom kind; `schema` and `scale` as in its CRD. A kind that is served already keeps its objects."""
        self._tables.add_kind(served_kinds.custom(resource, status=status, schema=schema, scale=scale))

    def kinds(self) -> tuple[ServedKind, ...]:
        """Returns everything that is served."""
        return tuple(self._tables.kinds.values())

    # -- reads ----------------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The store's time."""
        return self._now()

    @property
    def resource_version(self) -> str:
        return str(self._transactions.history.version)

    def get(self, resource: Resource[Any], key: Key, *, subresource: str = "") -> Manifest:
        obj = self._copy(self._transactions.find(resource, key))
        return scale_subresource.read(self._tables.kind(resource), obj) if subresource == "scale" else obj

    def list(
        self,
        resource: Resource[Any],
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        *,
        at: str = "",
    ) -> StoredPage:
        """Returns objects in order of namespace and name. `at` lists an earlier version exactly (Gone once compacted)."""
        self._tables.kind(resource)
        token = continue_tokens.decode(continue_) if continue_ else None
        version = token.version if token else int(at or self._transactions.history.version)
        objects = self._transactions.as_of(resource, version)
        selected = label_selectors.matcher(label_selector, field_selector, resource.plural)
        after = token.after if token else Key("", "")
        keys = [key for key in sorted(objects) if key > after and namespace in ("", key.namespace) and selected(objects[key])]
        shown = keys[:limit] if limit else keys
        rest = len(keys) - len(shown)
        return StoredPage(
            [self._copy(objects[key]) for key in shown],
            str(version),
            continue_tokens.ContinueToken(version, shown[-1]).encode() if rest else "",
            rest if rest and not label_selector and not field_selector else None,
        )

    # -- watching -------------------------------------------------------------------------------------------------------

    def events(
        self, resource: Resource[Any], since: str, namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> list[StoredEvent]:
        """Returns what a watch from a version would have shown by now. Raises Gone when that version is compacted away."""
        self._tables.kind(resource)
        selected = label_selectors.matcher(label_selector, field_selector, resource.plural)
        changes = self._transactions.history.since(str(resource), int(since))
        found = (change.seen(selected) for change in changes if namespace in ("", change.key.namespace))
        return [
            StoredEvent(event.type, self._copy(event.object), event.resource_version) for event in found if event is not None
        ]

    def bookmark(self, resource: Resource[Any]) -> StoredEvent:
        """Returns how far a watch of this kind is."""
        metadata = {"resourceVersion": self.resource_version}
        body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return StoredEvent("BOOKMARK", body, self.resource_version)

    def compact(self, resource_version: str = "") -> None:
        """Drops history up to a version (empty: all of it): older watches and continue tokens get Gone."""
        self._transactions.history.compact(int(resource_version or self._transactions.history.version))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` with every event as it happens, inside the write; returns the way to end it."""
        self._transactions.listeners.append(listener)
        return lambda: self._transactions.listeners.remove(listener)

    # -- writes ---------------------------------------------------------------------------------------------------------

    def create(
        self, resource: Resource[Any], namespace: str, body: Manifest, *, manager: str = "", dry_run: bool = False
    ) -> Manifest:
        if dry_run:
            with self.rehearsal():
                return self.create(resource, namespace, body, manager=manager)
        kind = self._tables.kind(resource)
        body = self._copy(body)
        metadata = object_preparation.addressed(kind, namespace, body)
        if metadata.get("resourceVersion"):
            raise error_responses.refuse(500, "resourceVersion should not be set on objects to be created")
        key = self._new_key(resource, namespace, metadata)
        writer = self._writer(kind, manager, "")
        obj = object_preparation.born(kind, key, body, writer.time, self._uid())
        if self._tables.get(resource, key) is not None:
            raise error_responses.already_exists(resource, key.name)
        return self._copy(self._transactions.commit(kind, key, None, self._managed(kind, kind.empty, obj, writer)))

    def update(
        self, resource: Resource[Any], key: Key, body: Manifest, *, subresource: str = "", manager: str = ""
    ) -> Manifest:
        """Replaces an object. A version in the body must be the present one; custom kinds must name one."""
        kind = preconditions.subresource_kind(self._tables, resource, subresource)
        old = self._transactions.find(resource, key)
        body = self._copy(body)
        if subresource == "scale":
            body = scale_subresource.write(kind, old, body)
        else:
            preconditions.replacement(kind, key, old, body)
        return self._replace(kind, key, old, body, subresource, manager)

    def patch(
        self,
        resource: Resource[Any],
        key: Key,
        patch: Any,
        *,
        content_type: ContentType,
        manager: str = "",
        force: bool = False,
        subresource: str = "",
    ) -> Manifest:
        """Patches an object. `manager` is required, and `force` has a meaning, for apply-patch alone."""
        kind = preconditions.subresource_kind(self._tables, resource, subresource)
        if content_type == "apply-patch":
            return self._apply(kind, key, self._copy(patch), self._writer(kind, manager, subresource), force=force)
        old = self._transactions.find(resource, key)
        target = scale_subresource.read(kind, old) if subresource == "scale" else old
        body = patch_formats.patched(target, self._copy(patch), content_type, custom=kind.custom)
        if subresource == "scale":
            body = scale_subresource.write(kind, old, body)
        else:
            preconditions.identity(kind, key, body)
        return self._replace(kind, key, old, body, subresource, manager)

    def delete(
        self,
        resource: Resource[Any],
        key: Key,
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: Propagation | Literal[""] = "Background",
        grace_seconds: int | None = None,
    ) -> Manifest:
        """Returns the object as it was, or as it stays while finalizers or a pod's grace period hold it.

        A pod on a node stays, being deleted, until somebody deletes it with `grace_seconds` 0, as a kubelet does.
        """
        kind = self._tables.kind(resource)
        old = self._transactions.find(resource, key)
        preconditions.preconditions(resource, key, old, uid, resource_version)
        marked = object_preparation.deleting(kind, old, self._now(), propagation, grace_seconds)
        if marked is None:
            return self._copy(self._transactions.commit(kind, key, old, None))
        return self._copy(old if marked == old else self._transactions.commit(kind, key, old, marked))

    def rehearsal(self) -> AbstractContextManager[None]:
        """Checks and answers the writes inside but stores nothing (dry run)."""
        return self._transactions.rehearsal()

    def finalize(self, namespace: str) -> None:
        """Removes a namespace that is being deleted and empty."""
        key = Key("", namespace)
        self._transactions.commit(self._tables.kind(NAMESPACES), key, self._transactions.find(NAMESPACES, key), None)

    # -- how writes work ------------------------------------------------------------------------------------------------

    def _consequences(self, resource: Resource[Any], change: StoredChange) -> None:
        if resource == CRDS:
            crd_controller.settle(self, self._tables, change)
        self._collector.settle(resource, change)

    def _writer(self, kind: ServedKind, manager: str, subresource: str) -> FieldWriter:
        time = object_preparation.timestamp(self._now())
        return FieldWriter(manager, kind.resource.api_version, time, subresource, kind.hidden(subresource))

    def _new_key(self, resource: Resource[Any], namespace: str, metadata: Manifest) -> Key:
        return preconditions.new_key(self._tables, resource, namespace, metadata, self._uid().replace("-", "")[:5])

    def _replace(self, kind: ServedKind, key: Key, old: Manifest, body: Manifest, subresource: str, manager: str) -> Manifest:
        preconditions.version(kind.resource, key, old, body)
        if subresource == "resize":
            body = resize_subresource.resized(old, body)
        new = object_preparation.updated(kind, old, body, subresource)
        writer = self._writer(kind, manager, subresource)
        stored = self._copy(self._transactions.replace(kind, key, old, self._managed(kind, old, new, writer)))
        return scale_subresource.read(kind, stored) if subresource == "scale" else stored

    def _managed(self, kind: ServedKind, old: Manifest, new: Manifest, writer: FieldWriter) -> Manifest:
        """Returns the new state with the fields that its writer owns now."""
        if not self._tracks(kind):
            return new
        bare = server_side_apply.with_managed(new, [])
        return server_side_apply.with_managed(new, server_side_apply.after_update(old, bare, writer, kind.shape))

    def _tracks(self, kind: ServedKind) -> bool:
        return self._applied is None or kind.resource in self._applied

    def _apply(self, kind: ServedKind, key: Key, config: Manifest, writer: FieldWriter, *, force: bool) -> Manifest:
        """Applies on the server; creates what is missing."""
        if not self._tracks(kind):
            raise ValueError(f"{kind.resource} are applied, but this store was told that they never are")
        config = preconditions.applicable(kind, key, config, writer.manager)
        old = self._tables.get(kind.resource, key)
        if old is None:
            return self._create_by_apply(kind, key, config, writer)
        preconditions.version(kind.resource, key, old, config)
        merged = server_side_apply.apply(old, object_preparation.expected(kind, config), writer, kind.shape, force=force)
        new = object_preparation.updated(kind, old, merged, writer.subresource)
        return self._copy(self._transactions.replace(kind, key, old, new))

    def _create_by_apply(self, kind: ServedKind, key: Key, config: Manifest, writer: FieldWriter) -> Manifest:
        preconditions.creatable_by_apply(kind, key, config["metadata"], writer.subresource)
        self._new_key(kind.resource, key.namespace, config["metadata"])
        config = object_preparation.expected(kind, config)
        applied = server_side_apply.apply({"metadata": {}}, config, writer, kind.shape, force=True)
        obj = object_preparation.born(kind, key, applied, writer.time, self._uid())
        return self._copy(self._transactions.commit(kind, key, None, obj))

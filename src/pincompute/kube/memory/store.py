"""One cluster's objects with the semantics of a real API server, synchronous and without a network.

Everything handed out is a copy, everything stored is never changed in place. The surprising rule: garbage collection and the
end of namespaces happen at once, before the call that caused them returns; on a real cluster they take a moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import uuid4

import msgspec

from pincompute.api.core import NAMESPACES
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.kube.errors import Cause
from pincompute.kube.memory import admission, apply, definitions, kinds, pages, patches, refusals, scale, selectors
from pincompute.kube.memory.apply import Writer
from pincompute.kube.memory.garbage import Collector, Propagation
from pincompute.kube.memory.journal import Change, Event, Journal
from pincompute.kube.memory.kinds import CRDS, Kind
from pincompute.kube.memory.pages import Page
from pincompute.kube.memory.tables import Tables

ContentType: TypeAlias = Literal["merge-patch", "strategic-merge-patch", "json-patch", "apply-patch"]
Listener: TypeAlias = Callable[[Resource[Any], Event], None]

_SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_CHANGED_SINCE_READ = "the object has been modified; please apply your changes to the latest version and try again"


def copy(value: Any) -> Any:
    """A deep copy of JSON data; refuses what is not JSON."""
    return msgspec.json.decode(msgspec.json.encode(value))


class Store:
    """`now` is the store's clock; `uid` makes the uids, and the suffixes of generated names."""

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        resources: Iterable[Resource[Any]] = (),
        *,
        uid: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._now = now
        self._uid = uid
        self._tables = Tables()
        self._journal = Journal()
        self._listeners: list[Listener] = []
        self._unsettled: deque[tuple[Resource[Any], Change]] = deque()
        self._settling = False
        self._rehearsing = False
        self._collector = Collector(self._tables, self)
        for resource in kinds.BUILT_IN:
            self._tables.add_kind(kinds.built_in(resource))
        for resource in resources:
            self.register(resource)
        for name in _SYSTEM_NAMESPACES:
            self.create(NAMESPACES, "", {"metadata": {"name": name}})

    # -- kinds ----------------------------------------------------------------------------------------------------------

    def register(
        self, resource: Resource[Any], *, status: bool = True, schema: Manifest | None = None, scale: Manifest | None = None
    ) -> None:
        """Serve a custom kind; `schema` and `scale` as in its CRD. A kind that is served already keeps its objects."""
        self._tables.add_kind(kinds.custom(resource, status=status, schema=schema, scale=scale))

    def kinds(self) -> tuple[Kind, ...]:
        """Everything served."""
        return tuple(self._tables.kinds.values())

    # -- reads ----------------------------------------------------------------------------------------------------------

    @property
    def resource_version(self) -> str:
        return str(self._journal.version)

    def get(self, resource: Resource[Any], key: Key, *, subresource: str = "") -> Manifest:
        obj = copy(self._find(resource, key))
        return scale.read(self._tables.kind(resource), obj) if subresource == "scale" else obj

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
    ) -> Page:
        """Objects in order of namespace and name. `at` lists an earlier version exactly (Gone once compacted)."""
        self._tables.kind(resource)
        token = pages.decode(continue_) if continue_ else None
        version = token.version if token else int(at or self._journal.version)
        objects = self._as_of(resource, version)
        selected = selectors.matcher(label_selector, field_selector, resource.plural)
        after = token.after if token else Key("", "")
        keys = [key for key in sorted(objects) if key > after and namespace in ("", key.namespace) and selected(objects[key])]
        shown = keys[:limit] if limit else keys
        rest = len(keys) - len(shown)
        return Page(
            [copy(objects[key]) for key in shown],
            str(version),
            pages.Token(version, shown[-1]).encode() if rest else "",
            rest if rest and not label_selector and not field_selector else None,
        )

    def _as_of(self, resource: Resource[Any], version: int) -> dict[Key, Manifest]:
        objects = self._tables.objects[str(resource)]
        return objects if version == self._journal.version else self._journal.rewind(str(resource), objects, version)

    def _find(self, resource: Resource[Any], key: Key) -> Manifest:
        self._tables.kind(resource)
        obj = self._tables.get(resource, key)
        if obj is None:
            raise refusals.not_found(resource, key.name)
        return obj

    # -- watching -------------------------------------------------------------------------------------------------------

    def events(
        self, resource: Resource[Any], since: str, namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> list[Event]:
        """What a watch from a version would have shown by now. Raises Gone when that version is compacted away."""
        self._tables.kind(resource)
        selected = selectors.matcher(label_selector, field_selector, resource.plural)
        changes = self._journal.since(str(resource), int(since))
        found = (change.seen(selected) for change in changes if namespace in ("", change.key.namespace))
        return [Event(event.type, copy(event.object), event.resource_version) for event in found if event is not None]

    def bookmark(self, resource: Resource[Any]) -> Event:
        """How far a watch of this kind is."""
        metadata = {"resourceVersion": self.resource_version}
        body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return Event("BOOKMARK", body, self.resource_version)

    def compact(self, resource_version: str = "") -> None:
        """Forget history up to a version (empty: all of it): older watches and continue tokens get Gone."""
        self._journal.compact(int(resource_version or self._journal.version))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event as it happens, inside the write; returns the way to end it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # -- writes ---------------------------------------------------------------------------------------------------------

    def create(
        self, resource: Resource[Any], namespace: str, body: Manifest, *, manager: str = "", dry_run: bool = False
    ) -> Manifest:
        kind = self._tables.kind(resource)
        body = copy(body)
        metadata = admission.addressed(kind, namespace, body)
        if metadata.get("resourceVersion"):
            raise refusals.bad_request("resourceVersion should not be set on objects to be created")
        key = self._new_key(resource, namespace, metadata)
        obj = admission.born(kind, key, body, self._time(), self._uid())
        if self._tables.get(resource, key) is not None:
            raise refusals.already_exists(resource, key.name)
        obj = apply.with_managed(obj, apply.after_update(kind.empty, obj, self._writer(kind, manager, ""), kind.shape))
        if dry_run:
            with self.rehearsal():
                return copy(self._commit(kind, key, None, obj))
        return copy(self._commit(kind, key, None, obj))

    def update(
        self, resource: Resource[Any], key: Key, body: Manifest, *, subresource: str = "", manager: str = ""
    ) -> Manifest:
        """Replace. A version in the body must be the present one; custom kinds must name one."""
        kind = self._door(resource, subresource)
        old = self._find(resource, key)
        body = copy(body)
        if subresource == "scale":
            body = scale.write(kind, old, body)
        else:
            self._check_identity(kind, key, body)
            self._check_preconditions(resource, key, old, (body.get("metadata") or {}).get("uid", ""), "")
            if kind.custom and not (body.get("metadata") or {}).get("resourceVersion"):
                cause = Cause("metadata.resourceVersion", "Invalid value: 0: must be specified for an update")
                raise refusals.invalid(resource, key.name, (cause,))
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
        kind = self._door(resource, subresource)
        if content_type == "apply-patch":
            return self._apply(kind, key, copy(patch), manager=manager, force=force, subresource=subresource)
        old = self._find(resource, key)
        target = scale.read(kind, old) if subresource == "scale" else old
        body = patches.patched(target, copy(patch), content_type, custom=kind.custom)
        if subresource == "scale":
            body = scale.write(kind, old, body)
        else:
            self._check_identity(kind, key, body)
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
        """The object as it was, or as it stays while finalizers or a pod's grace period hold it.

        A pod on a node stays, deleting, until somebody deletes it with `grace_seconds` 0, as a kubelet does.
        """
        kind = self._tables.kind(resource)
        old = self._find(resource, key)
        self._check_preconditions(resource, key, old, uid, resource_version)
        marked = admission.deleting(kind, old, self._now(), propagation, grace_seconds)
        if marked is None:
            return copy(self._commit(kind, key, old, None))
        return copy(old if marked == old else self._commit(kind, key, old, marked))

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Writes inside are checked and answered, but nothing is stored (dry run)."""
        self._rehearsing = True
        try:
            yield
        finally:
            self._rehearsing = False

    def finalize(self, namespace: str) -> None:
        """Let a namespace go that is deleting and empty."""
        key = Key("", namespace)
        self._commit(self._tables.kind(NAMESPACES), key, self._find(NAMESPACES, key), None)

    # -- how writes work ------------------------------------------------------------------------------------------------

    def _time(self) -> str:
        return admission.timestamp(self._now())

    def _writer(self, kind: Kind, manager: str, subresource: str) -> Writer:
        api_version = kind.resource.api_version
        return Writer(manager, api_version, self._time(), subresource, kind.hidden(subresource))

    def _door(self, resource: Resource[Any], subresource: str) -> Kind:
        kind = self._tables.kind(resource)
        served = {"": True, "status": kind.status, "scale": kind.scale is not None}
        if not served.get(subresource, False):
            raise refusals.refuse(404, "the server could not find the requested resource")
        return kind

    def _new_key(self, resource: Resource[Any], namespace: str, metadata: Manifest) -> Key:
        name = metadata.get("name", "")
        if not name and metadata.get("generateName"):
            name = metadata["generateName"] + self._uid().replace("-", "")[:5]
        if not name:
            cause = Cause("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")
            raise refusals.invalid(resource, "", (cause,))
        if bool(namespace) is not resource.namespaced:
            expected = "a namespace" if resource.namespaced else "no namespace"
            raise refusals.bad_request(f"{resource.plural} {name!r}: expected {expected}, got {namespace!r}")
        if namespace:
            self._check_namespace(resource, namespace, name)
        return Key(namespace, name)

    def _check_namespace(self, resource: Resource[Any], namespace: str, name: str) -> None:
        found = self._tables.get(NAMESPACES, Key("", namespace))
        if found is None:
            raise refusals.not_found(NAMESPACES, namespace)
        if "deletionTimestamp" in found["metadata"]:
            text = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = Cause("metadata.namespace", f"namespace {namespace} is being terminated", "NamespaceTerminating")
            raise refusals.refuse(403, f'{resource} "{name}" is forbidden: {text}', resource, name, (cause,))

    def _check_identity(self, kind: Kind, key: Key, body: Manifest) -> None:
        metadata = admission.addressed(kind, key.namespace, body)
        name = metadata.get("name", "")
        if name != key.name:
            raise refusals.bad_request(f"the name of the object ({name}) does not match the name on the URL ({key.name})")

    def _check_preconditions(self, resource: Resource[Any], key: Key, old: Manifest, uid: str, version: str) -> None:
        for label, wanted, got in (
            ("UID", uid, old["metadata"]["uid"]),
            ("ResourceVersion", version, old["metadata"]["resourceVersion"]),
        ):
            if wanted and wanted != got:
                why = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {got}"
                raise refusals.conflict(resource, key, why)

    def _replace(self, kind: Kind, key: Key, old: Manifest, body: Manifest, subresource: str, manager: str) -> Manifest:
        given: Manifest = body.get("metadata") or {}
        if given.get("resourceVersion", "") not in ("", old["metadata"]["resourceVersion"]):
            raise refusals.conflict(kind.resource, key, _CHANGED_SINCE_READ)
        door = "" if subresource == "scale" else subresource
        new = admission.updated(kind, old, body, door)
        written = self._writer(kind, manager, subresource)
        new = apply.with_managed(new, apply.after_update(old, apply.with_managed(new, []), written, kind.shape))
        stored = copy(self._settle_update(kind, key, old, new))
        return scale.read(kind, stored) if subresource == "scale" else stored

    def _apply(self, kind: Kind, key: Key, config: Manifest, *, manager: str, force: bool, subresource: str) -> Manifest:
        """Server-side apply; creates what is missing."""
        resource = kind.resource
        if not manager:
            raise refusals.bad_request(
                "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch"
            )
        if (config.get("metadata") or {}).get("managedFields"):
            raise refusals.bad_request("metadata.managedFields must be nil")
        config.setdefault("metadata", {}).setdefault("name", key.name)
        self._check_identity(kind, key, config)
        old = self._tables.get(resource, key)
        writer = self._writer(kind, manager, subresource)
        if old is None:
            return self._create_by_apply(kind, key, config, writer)
        given = config["metadata"]
        if given.get("resourceVersion", "") not in ("", old["metadata"]["resourceVersion"]):
            raise refusals.conflict(resource, key, _CHANGED_SINCE_READ)
        self._check_preconditions(resource, key, old, given.get("uid", ""), "")
        config = admission.expected(kind, config)
        merged = apply.apply(old, config, writer, kind.shape, force=force)
        new = admission.updated(kind, old, merged, subresource)
        return copy(self._settle_update(kind, key, old, new))

    def _create_by_apply(self, kind: Kind, key: Key, config: Manifest, writer: Writer) -> Manifest:
        metadata = config["metadata"]
        if writer.subresource or metadata.get("uid") or metadata.get("resourceVersion"):
            raise refusals.not_found(kind.resource, key.name) if writer.subresource else self._absent(kind, key, metadata)
        self._new_key(kind.resource, key.namespace, metadata)
        config = admission.expected(kind, config)
        applied = apply.apply({"metadata": {}}, config, writer, kind.shape, force=True)
        obj = admission.born(kind, key, applied, writer.time, self._uid())
        return copy(self._commit(kind, key, None, obj))

    def _absent(self, kind: Kind, key: Key, metadata: Manifest) -> Exception:
        """An apply that names a uid or a version is not meant to create."""
        wanted = metadata.get("uid") or metadata.get("resourceVersion")
        return refusals.conflict(kind.resource, key, f"Precondition failed: in precondition: {wanted}, in object meta: ")

    def _settle_update(self, kind: Kind, key: Key, old: Manifest, new: Manifest) -> Manifest:
        """Store a new state, unless nothing changed or the last thing that kept a deleting object is gone."""
        if new == old:
            return old
        metadata = new["metadata"]
        ending = "deletionTimestamp" in metadata and not metadata.get("finalizers")
        if ending and not metadata.get("deletionGracePeriodSeconds") and str(kind.resource) != "namespaces":
            self._commit(kind, key, old, None)
            return new
        return self._commit(kind, key, old, new)

    def _commit(self, kind: Kind, key: Key, before: Manifest | None, after: Manifest | None) -> Manifest:
        state: Manifest = after or before or {}
        if self._rehearsing:
            return state
        version = self._journal.next()
        last = {**state, "metadata": {**state["metadata"], "resourceVersion": str(version)}}
        name = str(kind.resource)
        self._tables.put(name, key, before, last if after is not None else None)
        change = Change(version, name, key, before, last if after is not None else None, last)
        self._journal.add(change)
        for listener in tuple(self._listeners):
            event = change.event()
            listener(kind.resource, Event(event.type, copy(event.object), event.resource_version))
        self._unsettled.append((kind.resource, change))
        self._settle()
        return last

    def _settle(self) -> None:
        """Carry out the consequences of changes, and those of the consequences, one after the other."""
        if self._settling:
            return
        self._settling = True
        try:
            while self._unsettled:
                resource, change = self._unsettled.popleft()
                if resource == CRDS:
                    definitions.settle(self, self._tables, change)
                self._collector.settle(resource, change)
        finally:
            self._settling = False

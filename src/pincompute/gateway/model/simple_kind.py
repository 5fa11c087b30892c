"""One kind of the simple model, and the one way in which each is mapped to its resource and back.

What no field has words for is shown as `advanced`, a part of the resource's spec that is merged back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from pincompute.api import kinds as workloads
from pincompute.api.labels import RESTARTED_AT
from pincompute.api.meta import GROUP, Manifest, Object, Resource, Struct
from pincompute.gateway.model import codecs, field_mapping, full_resource, status_form
from pincompute.gateway.model.field_mapping import Data, Table
from pincompute.gateway.model.status_form import Status

RESTARTED = ("template", "metadata", "annotations", RESTARTED_AT)  # set by restart; kept by whoever replaces the template
AUTHOR = f"{GROUP}/author"  # annotation: who wrote the object last
HIDDEN = (f"{GROUP}/", "kubectl.kubernetes.io/")  # keys of the platform and of kubectl: not the user's

S = TypeVar("S", bound=Struct)


@dataclass(frozen=True, slots=True, eq=False)
class SimpleKind(Generic[S]):
    """One kind in both forms. `path` is its collection in URLs, `workload` its entry among the workload kinds.

    `example` and `patch` stand in the OpenAPI document, where a create and a change are described.
    """

    path: str
    type: type[S]
    resource: Resource[Any]
    table: Table
    status_of: Callable[[Any], Struct]
    example: Data
    patch: Data
    workload: workloads.WorkloadKind | None = None

    @property
    def name(self) -> str:
        return self.type.__name__

    @property
    def noun(self) -> str:
        """As users call one."""
        return self.workload.word if self.workload is not None else self.name.lower()

    @property
    def in_project(self) -> bool:
        return self.resource.namespaced

    def to_simple(self, obj: Object) -> S:
        """Of a cached object. Whatever an object holds, it can be shown."""
        about = _about(self, obj)
        spec = stated(_spec_of(obj))
        said, rest = _spec(self.table, spec)
        try:
            return msgspec.convert({**about, **said, **({"advanced": rest} if rest else {})}, self.type)
        except msgspec.ValidationError:  # an object stored before a rule was made: shown as it is
            return msgspec.convert({**about, "advanced": spec}, self.type)

    def to_resource(self, obj: Object) -> Manifest:
        """Of a cached object, in full."""
        return full_resource.full(self.resource, obj)

    def of_manifest(self, manifest: Manifest) -> S:
        """Of a resource that is wanted and not there yet."""
        return self.to_simple(msgspec.convert(manifest, self.resource.type))

    def spec_of(self, manifest: Manifest) -> Data:
        """The spec of a resource, stated."""
        wanted: Any = msgspec.convert(manifest, self.resource.type)
        return stated(wanted.spec)

    def to_manifest(self, simple: S) -> Manifest:
        """The resource that a simple object means, without status and without what the API server fills in."""
        return self.manifest(_json(simple))

    def manifest(self, data: Data) -> Manifest:
        """The same of JSON data of the right shape."""
        return self.manifest_and_clashes(data)[0]

    def manifest_and_clashes(self, data: Data) -> tuple[Manifest, list[field_mapping.Path]]:
        """With the places below `advanced` that contradict another field."""
        names = {"name": data.get("name"), "namespace": data.get("project") if self.in_project else None}
        notes = {part: data.get(part) for part in ("labels", "annotations")}
        metadata = {name: value for name, value in {**names, **notes}.items() if value}
        said = field_mapping.expand(self.table, data)
        if self.in_project:
            said.setdefault("template", {}).setdefault("spec", {}).setdefault("containers", [])
        spec, clashes = field_mapping.merge(said, data.get("advanced") or {})
        head = {"apiVersion": self.resource.api_version, "kind": self.resource.kind}
        return {**head, "metadata": metadata, "spec": spec}, clashes

    def locate(self, data: Data, field: str) -> str:
        """Where the user finds in the simple form what `field` names in the resource."""
        path = field_mapping.parts(field)
        if path[:1] == ("metadata",):
            return field_mapping.text(("project", *path[2:]) if path[1:2] == ("namespace",) else path[1:])
        if path[:1] != ("spec",):
            return field
        found = field_mapping.locate(self.table, data, path[1:])
        return field_mapping.text(found if found is not None else ("advanced", *path[1:]))


def _spec_of(obj: Any) -> Struct:
    return obj.spec


def stated(value: Struct) -> Data:
    """As JSON data, without what is at its default: said or not, it means the same."""
    made: Data = {}
    for name, said, default in _defaults(type(value)):
        part = getattr(value, name)
        if part != default:
            made[said] = stated(part) if isinstance(part, Struct) else _json(part)
    return made


@cache
def _defaults(kind: type[Struct]) -> tuple[tuple[str, str, Any], ...]:
    """Of each field its name, its name on the wire, and what it is if nothing is said."""
    found = msgspec.structs.fields(kind)
    return tuple((f.name, f.encode_name, f.default_factory() if callable(f.default_factory) else f.default) for f in found)


def _json(value: Any) -> Any:
    """As JSON data; msgspec would keep tuples, which equal no list."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _about(kind: SimpleKind[Any], obj: Object) -> Data:
    """Everything but the spec."""
    meta = obj.metadata
    said = {
        "kind": kind.name,
        "name": meta.name,
        "project": meta.namespace if kind.in_project else "",
        "labels": users(meta.labels),
        "annotations": users(meta.annotations),
        "id": meta.uid,
        "version": version(obj),
        "generation": meta.generation,
        "author": meta.annotations.get(AUTHOR),
        "created": meta.creation_timestamp,
        "deleting": meta.deletion_timestamp,
        "status": kind.status_of(obj),
    }
    return {name: value for name, value in said.items() if value}


def version(obj: Object) -> str:
    """Of what is asked for: another one after every change by a user, the same however the status moves."""
    meta = obj.metadata
    notes = (users(meta.labels), users(meta.annotations))
    said = msgspec.json.encode((meta.uid, meta.generation, notes), order="deterministic")
    return hashlib.blake2s(said, digest_size=8).hexdigest()


def users(mapping: dict[str, str]) -> dict[str, str]:
    """The user's own labels or annotations."""
    return {key: value for key, value in mapping.items() if not key.startswith(HIDDEN)}


def _spec(table: Table, spec: Data) -> tuple[Data, Data]:
    return field_mapping.simplify(table, field_mapping.without(codecs.plain(spec), RESTARTED))


def _workload_status(obj: Any) -> Status:
    return status_form.status(obj.status, obj.metadata.generation)


def of_workload(workload: workloads.WorkloadKind, simple: type[S], table: Table, example: Data, patch: Data) -> SimpleKind[S]:
    """Of something that runs: all such kinds have the same status."""
    named: Data = {"kind": simple.__name__, **example}
    return SimpleKind(workload.plural, simple, workload.workload, table, _workload_status, named, patch, workload)

"""Maps one kind of the simple form to its resource and back; all kinds are mapped in the same way.

What no field of the simple form expresses is shown as `advanced`: a part of the resource's spec that is merged back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, reduce
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from pincompute.api import kinds as workloads
from pincompute.api.labels import CONTAINERS_RESTARTED_AT, RESTARTED_AT
from pincompute.api.meta import GROUP, Manifest, Object, Resource, Struct, doc
from pincompute.domain import operation_annotation
from pincompute.gateway.model import codecs, container_settings, field_mapping, status_form
from pincompute.gateway.model.field_mapping import Data, Table
from pincompute.gateway.model.field_tables import users_words
from pincompute.gateway.model.status_form import Status

RESTARTED = tuple(  # set by restart; kept by whoever replaces the template
    ("template", "metadata", "annotations", key) for key in (RESTARTED_AT, CONTAINERS_RESTARTED_AT)
)
_REPLICAS = {"pod": "replica", "pods": "replicas"}  # what Kubernetes calls the replicas of a workload
HIDDEN = (f"{GROUP}/", "kubectl.kubernetes.io/")  # keys of the platform and of kubectl: not the user's


class SimpleObject(Struct):
    """The fields of every kind. From `id` on they are answers: a request may hold them, and only the version has an effect."""

    name: Annotated[str, doc("Name, unique among its kind in its project.")]
    labels: Annotated[dict[str, str] | None, doc("Words to find it by.")] = None
    annotations: Annotated[dict[str, str] | None, doc("Notes of yours.")] = None
    advanced: Annotated[dict[str, Any] | None, doc("What no other field can say: a part of the resource's spec.")] = None
    id: Annotated[str | None, doc("Identifies this very object, also among namesakes.")] = None
    version: Annotated[str | None, doc("Changes with every change. In a replacement: the version that is replaced.")] = None
    generation: Annotated[int | None, doc("Counts the changes of what is asked for.")] = None
    author: Annotated[
        str | None, doc("Who wrote the present spec. Absent when Kubernetes does not record it, as for `kubectl scale`.")
    ] = None
    created: Annotated[datetime | None, doc("When it was created.")] = None
    deleting: Annotated[datetime | None, doc("Since when it is being deleted.")] = None


ANSWERS = frozenset({"id", "version", "generation", "author", "created", "deleting", "status"})
"""Fields that the platform fills in."""

S = TypeVar("S", bound=SimpleObject)


@dataclass(frozen=True, slots=True, eq=False)
class SimpleKind(Generic[S]):
    """One kind in both forms. `path` is its collection in URLs, `workload` its entry among the workload kinds.

    The OpenAPI document shows `example` for a create and `patch` for a change.
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

    def in_users_words(self, text: str) -> str:
        """A message about the resource, with the names that its kind and its fields have in the simple form.

        A value in quotes stays as it is.
        """
        words = {**users_words(self.table), self.resource.kind: self.name, **(_REPLICAS if self.workload is not None else {})}
        return re.sub(r"(?<![\"\w])[A-Za-z]+(?:\.[a-z]\w*)*", lambda found: words.get(found[0], found[0]), text)

    @property
    def noun(self) -> str:
        """As users call one."""
        return self.workload.word if self.workload is not None else self.name.lower()

    def title(self, project: str, name: str) -> str:
        """How messages name an object."""
        return f"{self.noun} {project}/{name}" if project else f"{self.noun} {name}"

    @property
    def in_project(self) -> bool:
        return self.resource.namespaced

    def to_simple(self, obj: Object) -> S:
        """The simple form of a cached object. Every object has one, whatever it holds."""
        about = _about(self, obj)
        spec = stated_spec(obj)
        shown = reduce(field_mapping.without, RESTARTED, codecs.plain(spec))
        simple, rest = field_mapping.simplify(self.table, shown)
        try:
            return msgspec.convert(
                {**about, **container_settings.fold(simple), **({"advanced": rest} if rest else {})}, self.type
            )
        except msgspec.ValidationError:  # the object was stored before a rule was made
            return msgspec.convert({**about, "advanced": spec}, self.type)

    def of_manifest(self, manifest: Manifest) -> S:
        """The simple form of a resource that does not exist yet."""
        return self.to_simple(msgspec.convert(manifest, self.resource.type))

    def spec_of(self, manifest: Manifest) -> Data:
        """The spec of a resource that does not exist yet, without defaults."""
        return stated_spec(msgspec.convert(manifest, self.resource.type))

    def to_manifest(self, data: Data) -> tuple[Manifest, list[field_mapping.Path]]:
        """The resource that `data` of the right shape means, and the places below `advanced` that contradict another field.

        The resource has no status and nothing that the API server fills in.
        """
        names = {"name": data.get("name"), "namespace": data.get("project") if self.in_project else None}
        notes = {part: data.get(part) for part in ("labels", "annotations")}
        metadata = {name: value for name, value in {**names, **notes}.items() if value}
        expanded = field_mapping.expand(self.table, container_settings.spell_out(data).data)
        if self.in_project:
            expanded.setdefault("template", {}).setdefault("spec", {}).setdefault("containers", [])
        spec, clashes = field_mapping.merge(expanded, data.get("advanced") or {})
        head = {"apiVersion": self.resource.api_version, "kind": self.resource.kind}
        return {**head, "metadata": metadata, "spec": spec}, clashes

    def locate(self, data: Data, field: str) -> str:
        """The field of the simple form that stands for `field` of the resource."""
        path = field_mapping.parts(field)
        if path[:1] == ("metadata",):
            return field_mapping.text(("project", *path[2:]) if path[1:2] == ("namespace",) else path[1:])
        if path[:1] != ("spec",):
            return field
        spelled = container_settings.spell_out(data)
        found = field_mapping.locate(self.table, spelled.data, path[1:])
        return field_mapping.text(spelled.written(found) if found is not None else ("advanced", *path[1:]))


def stated_spec(obj: Any) -> Data:
    """The spec of an object as JSON data, without fields at their defaults: stated or not, they mean the same."""
    return _stated(obj.spec)


def _stated(value: Struct) -> Data:
    data: Data = {}
    for name, encoded, default in _defaults(type(value)):
        part = getattr(value, name)
        if part != default:
            data[encoded] = _stated(part) if isinstance(part, Struct) else codecs.json_data(part)
    return data


@cache
def _defaults(kind: type[Struct]) -> tuple[tuple[str, str, Any], ...]:
    """The name of each field, its encoded name, and its default."""
    found = msgspec.structs.fields(kind)
    return tuple((f.name, f.encode_name, f.default_factory() if callable(f.default_factory) else f.default) for f in found)


def _about(kind: SimpleKind[Any], obj: Object) -> Data:
    """All fields of the simple form but those of the spec."""
    meta = obj.metadata
    fields = {
        "kind": kind.name,
        "name": meta.name,
        "project": meta.namespace if kind.in_project else "",
        "labels": users(meta.labels),
        "annotations": users(meta.annotations),
        "id": meta.uid,
        "version": version(obj),
        "generation": meta.generation,
        "author": operation_annotation.author(obj) or None,
        "created": meta.creation_timestamp,
        "deleting": meta.deletion_timestamp,
        "status": kind.status_of(obj),
    }
    return {name: value for name, value in fields.items() if value}


def version(obj: Object) -> str:
    """Names what users asked for: it changes with every change by a user and stays the same while the status moves."""
    meta = obj.metadata
    notes = (users(meta.labels), users(meta.annotations))
    content = msgspec.json.encode((meta.uid, meta.generation, notes), order="deterministic")
    return hashlib.blake2s(content, digest_size=8).hexdigest()


def users(mapping: dict[str, str]) -> dict[str, str]:
    """The labels or annotations that are the user's own."""
    return {key: value for key, value in mapping.items() if not key.startswith(HIDDEN)}


def _workload_status(obj: Any) -> Status:
    return status_form.status(obj.status, obj.metadata.generation)


def of_workload(workload: workloads.WorkloadKind, simple: type[S], table: Table, example: Data, patch: Data) -> SimpleKind[S]:
    """A kind of workload. All of them have the same status."""
    named: Data = {"kind": simple.__name__, **example}
    return SimpleKind(workload.plural, simple, workload.workload, table, _workload_status, named, patch, workload)

"""Defines the parts that all Kubernetes objects share, and the description of a resource type.

Cached objects are *slim*: a struct names only the fields that some code reads, and decoding skips everything else. A slim
object is therefore never written back. A write sends only the fields that its writer owns.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

GROUP = "pincompute.io"
VERSION = "v1alpha1"
NAME = "^[a-z]([-a-z0-9]*[a-z0-9])?$"  # names of apps, clusters, zones, projects: DNS labels that begin with a letter

Manifest: TypeAlias = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON data on its way to or from an API server."""


def doc(description: str, **schema: Any) -> msgspec.Meta:
    """Describes a field for `kubectl explain`; `schema` adds OpenAPI keywords, with `_` for `-` in extensions' names.

    Limits stand only in the generated schema, never in the decoder: the API server enforces them on writes, and an object
    stored before a limit was tightened must still be readable.
    """
    return msgspec.Meta(
        description=description, extra_json_schema={key.replace("_", "-"): value for key, value in schema.items()}
    )


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """Base of everything that is decoded from an API server: immutable, camelCase on the wire."""


class OwnerReference(Struct):
    kind: str
    name: str
    uid: str
    api_version: str = ""
    controller: bool = False
    block_owner_deletion: bool | None = None


class ObjectMeta(Struct):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class Key(NamedTuple):
    """Name of an object within its kind and cluster; cluster-scoped kinds have an empty namespace."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Object(Struct):
    """Any Kubernetes object as far as caches and the engine read it."""

    metadata: ObjectMeta

    @property
    def key(self) -> Key:
        return Key(self.metadata.namespace, self.metadata.name)

    @property
    def deleting(self) -> bool:
        return self.metadata.deletion_timestamp is not None


T_co = TypeVar("T_co", bound=Object, covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class Resource(Generic[T_co]):
    """One resource type: where it is served and the struct its objects decode to. Two that are served alike are equal.

    Without `bookmarks` a watch may be silent for as long as nothing happens; API servers send none for events.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    type: type[T_co]
    bookmarks: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of the collection (no name) or of one object."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{tail}"

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Resource)
            and (self.plural, self.group, self.version) == (other.plural, other.group, other.version)
        )

    def __hash__(self) -> int:
        return hash(self.plural)  # tells nearly all apart, and is remembered by the string

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

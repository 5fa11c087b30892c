"""What a write answers with: the object as it is now, what will happen, and where to watch it."""

from __future__ import annotations

from typing import Annotated, Any, cast

import msgspec

from pincompute.api.meta import Object, Struct, doc
from pincompute.gateway.model import SIMPLE, SimpleKind
from pincompute.gateway.model.diff import Change


class Links(Struct):
    """Where to look next."""

    self: Annotated[str, doc("The object.")]
    watch: Annotated[str, doc("Its changes as they happen.")]
    events: Annotated[str, doc("What happened to it.")] = ""
    explain: Annotated[str, doc("Why it runs where it runs, or why not.")] = ""


class WriteResponse(Struct):
    """The answer to a write. With dryRun nothing was written, and the item is as it would be."""

    message: Annotated[str, doc("What will happen, in a sentence.")]
    links: Annotated[Links, doc("Where to look next.")]
    changes: Annotated[tuple[Change, ...], doc("What changes.")] = ()
    waits_for: Annotated[tuple[str, ...], doc("What still has to happen until a deletion is complete.")] = ()
    dry_run: Annotated[bool, doc("Nothing was written.")] = False


class EncodedWriteResponse(WriteResponse, kw_only=True):
    """With the object as it is encoded already."""

    item: msgspec.Raw


class Difference(Struct):
    """What would change if the document were sent."""

    changes: Annotated[tuple[Change, ...], doc("Field by field; empty when nothing would change.")] = ()
    text: Annotated[str, doc("The same as a unified diff of YAML.")] = ""
    creates: Annotated[bool, doc("There is no such object yet.")] = False
    message: Annotated[str, doc("What would happen, in a sentence.")] = ""


class ListResponse(Struct):
    """One page of a list."""

    cursor: Annotated[str, doc("Asks for the next page; absent on the last.")] = ""
    missing: Annotated[tuple[str, ...], doc("Clusters that do not answer; what is said of them is their last.")] = ()
    version: Annotated[str, doc("The state that the list shows; lists of later states have later ones.")] = ""


class ResourceList(ListResponse, kw_only=True):
    """One page of a list of resources in full."""

    items: Annotated[tuple[dict[str, Any], ...], doc("Each as the API server has it, without managedFields.")]


def written(kind: SimpleKind[Any]) -> type[WriteResponse]:
    """The answer to a write of this kind, for the OpenAPI document."""
    made = msgspec.defstruct(f"{kind.name}Written", [("item", kind.type)], bases=(WriteResponse,), kw_only=True, rename="camel")
    return cast("type[WriteResponse]", made)


def listed(kind: SimpleKind[Any]) -> type[ListResponse]:
    """A list of this kind, for the OpenAPI document."""
    items: Any = tuple[kind.type, ...]
    made = msgspec.defstruct(f"{kind.name}List", [("items", items)], bases=(ListResponse,), kw_only=True, rename="camel")
    return cast("type[ListResponse]", made)


def encode(written: WriteResponse) -> bytes:
    return msgspec.json.encode(written)


def raw(kind: SimpleKind[Any], obj: Object) -> msgspec.Raw:
    """An object in the simple model, as it is encoded already."""
    return msgspec.Raw(SIMPLE.encoded(kind, obj))


def links(kind: SimpleKind[Any], project: str, name: str) -> Links:
    if not kind.in_project:
        return Links(self=f"/v1/{kind.path}/{name}", watch=f"/v1/{kind.path}/watch")
    root = f"/v1/projects/{project}/{kind.path}/{name}"
    return Links(self=root, watch=f"{root}/watch", events=f"{root}/events", explain=f"{root}/explain")


def what(kind: SimpleKind[Any], project: str, name: str) -> str:
    """As problems name it."""
    return f"{kind.noun} {project}/{name}" if project else f"{kind.noun} {name}"

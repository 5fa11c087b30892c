"""Makes responses of reads and writes, and defines the parameters and headers of requests that they depend on."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, cast

import msgspec
from litestar import Response
from litestar.params import HeaderParameter, QueryParameter

from pincompute.api.meta import Object, Struct, doc
from pincompute.gateway.cache_reads import ReadAge, read_version
from pincompute.gateway.model import SIMPLE, SimpleKind
from pincompute.gateway.model.diff import Change
from pincompute.gateway.model.simple_kind import version

ObjectName: TypeAlias = tuple[str, str]
"""Project, empty for kinds outside of projects, and name."""

JSON = "application/json"
VERSION = "Pincompute-Version"
AGE = "Pincompute-Age"
PARTIAL = "Pincompute-Partial"
REPEATED = "Idempotency-Replayed"

_MIN_VERSION = "Answer from this state or a later one: an answer's Pincompute-Version."
_LABELS = "Only with this label: key=value, or key; several mean all of them."
_KEY = "The same request under the same key is done once: it may be sent again."
_IF_MATCH = "Only if the object is in this version: its ETag."

MinVersion: TypeAlias = Annotated[str, HeaderParameter(name="Pincompute-Min-Version", description=_MIN_VERSION)]
IfMatch: TypeAlias = Annotated[str, HeaderParameter(name="If-Match", description=_IF_MATCH)]
Cursor: TypeAlias = Annotated[str, QueryParameter(description="The cursor of the page before.")]
DryRun: TypeAlias = Annotated[bool, QueryParameter(name="dryRun", description="Judge it as if it were done, and do nothing.")]
IdempotencyKey: TypeAlias = Annotated[str, HeaderParameter(name="Idempotency-Key", max_length=255, description=_KEY)]
Labels: TypeAlias = Annotated[list[str] | None, QueryParameter(description=_LABELS)]
LastEventId: TypeAlias = Annotated[str, HeaderParameter(name="Last-Event-ID", description="Resume behind this event.")]


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
    warnings: Annotated[tuple[str, ...], doc("What was accepted although nobody could check it.")] = ()


class EncodedWriteResponse(WriteResponse, kw_only=True):
    """A write response with an object that is already encoded."""

    item: msgspec.Raw


class Difference(Struct):
    """What would change if the document were sent."""

    changes: Annotated[tuple[Change, ...], doc("Field by field; empty when nothing would change.")] = ()
    text: Annotated[str, doc("The same as a unified diff of YAML.")] = ""
    kept: Annotated[
        dict[str, Any], doc("What the document does not state and what stays as it is, such as a scaled count.")
    ] = {}
    creates: Annotated[bool, doc("There is no such object yet.")] = False
    message: Annotated[str, doc("What would happen, in a sentence.")] = ""
    warnings: Annotated[tuple[str, ...], doc("What would be accepted although nobody can check it.")] = ()


class ListResponse(Struct):
    """One page of a list."""

    cursor: Annotated[str, doc("Asks for the next page; absent on the last.")] = ""
    unreachable: Annotated[
        tuple[str, ...], doc("Zones that do not answer, at least in part; what is said of them is their last.")
    ] = ()
    version: Annotated[str, doc("The state that the list shows; lists of later states have later ones.")] = ""


class ResourceList(ListResponse, kw_only=True):
    """One page of a list of resources in full."""

    items: Annotated[tuple[dict[str, Any], ...], doc("Each as the API server has it, without managedFields.")]


def written_type(kind: SimpleKind[Any]) -> type[WriteResponse]:
    """The answer to a write of this kind, for the OpenAPI document."""
    made = msgspec.defstruct(f"{kind.name}Written", [("item", kind.type)], bases=(WriteResponse,), kw_only=True, rename="camel")
    return cast("type[WriteResponse]", made)


def listed_type(kind: SimpleKind[Any]) -> type[ListResponse]:
    """A list of this kind, for the OpenAPI document."""
    items: Any = tuple[kind.type, ...]
    made = msgspec.defstruct(f"{kind.name}List", [("items", items)], bases=(ListResponse,), kw_only=True, rename="camel")
    return cast("type[ListResponse]", made)


def raw(kind: SimpleKind[Any], obj: Object) -> msgspec.Raw:
    """An object in the simple form, encoded once for each version."""
    return msgspec.Raw(SIMPLE.encoded(kind, obj))


def links(kind: SimpleKind[Any], project: str, name: str) -> Links:
    if not kind.in_project:
        return Links(self=f"/v1/{kind.path}/{name}", watch=f"/v1/{kind.path}/watch")
    root = f"/v1/projects/{project}/{kind.path}/{name}"
    return Links(self=root, watch=f"{root}/watch", events=f"{root}/events", explain=f"{root}/explain")


def fresh(freshness: ReadAge, unreachable: tuple[str, ...] = ()) -> dict[str, str]:
    """Headers with the age of the data. Partial: the host, or a part of these zones, is unreachable."""
    partial = [*(() if freshness.reachable else ("host",)), *unreachable]
    headers = {VERSION: freshness.version, AGE: f"{freshness.age:.3f}"}
    return {**headers, PARTIAL: ",".join(partial)} if partial else headers


def read(body: bytes, headers: dict[str, str]) -> Response[bytes]:
    return Response(body, media_type=JSON, headers=headers)


def written(kind: SimpleKind[Any], obj: Object | None, body: WriteResponse, status: int = 200) -> Response[bytes]:
    """The response to a write. With its version a client asks other gateways for a state that shows the write."""
    number = int(obj.metadata.resource_version or 0) if obj is not None else 0
    headers = {VERSION: read_version(kind.resource, number), "ETag": f'"{version(obj)}"'} if obj is not None else {}
    return Response(msgspec.json.encode(body), media_type=JSON, status_code=status, headers=headers)


def expected(if_match: str) -> str:
    """The version of an If-Match header; empty for none and for `*`."""
    return if_match.removeprefix("W/").strip('"') if if_match != "*" else ""

"""Handles objects of every kind in the same way: list, get, watch, create, replace, patch, delete, diff.

Kinds in projects have their lists and streams twice: for one project, and for all projects that the caller may see. Objects
are read in the simple form, or under `/v1/resources` as full resources.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias, cast

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIType, Operation, Reference, RequestBody, Schema
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call, Verb, may
from pincompute.gateway.middleware import CALL
from pincompute.gateway.model import RESOURCE, SIMPLE, ObjectEncoder, SimpleKind
from pincompute.gateway.model.document_parser import YAML_TYPES, parse
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.workloads import event_stream, list_query, responses
from pincompute.gateway.workloads.list_query import LONGEST_PAGE, USUAL_PAGE, ListQuery, OfTier, Sort
from pincompute.gateway.workloads.object_writer import WriteOptions
from pincompute.gateway.workloads.read_service import ListRequest, ReadService
from pincompute.gateway.workloads.responses import (
    Cursor,
    DryRun,
    IdempotencyKey,
    IfMatch,
    Labels,
    LastEventId,
    MinVersion,
    ObjectName,
)
from pincompute.gateway.workloads.write_service import Removal, WriteService

Caller: TypeAlias = NamedDependency[Call]
Names: TypeAlias = NamedDependency[ObjectName]
Filters: TypeAlias = NamedDependency[ListQuery]
Document: TypeAlias = NamedDependency[Data]
Options: TypeAlias = NamedDependency[WriteOptions]
Reads: TypeAlias = NamedDependency[CacheReads]
Reader: TypeAlias = NamedDependency[ReadService]
Writer: TypeAlias = NamedDependency[WriteService]

LONG = 64 * 1024  # bytes of a document that is read in a thread
LONGEST_NAME = 253  # characters of a name in a record; one that is longer is refused
_EVENTS = ResponseSpec(str, description="Server-sent events", media_type=event_stream.MEDIA_TYPE)


def _workload_query(
    tier: Annotated[OfTier, QueryParameter(description="Only of this tier.")] = "",
    zone: Annotated[str, QueryParameter(description="Only what runs, or is asked to run, in this zone.")] = "",
    in_state: Annotated[str, QueryParameter(name="state", description="Only in this state, for example Running.")] = "",
    label: Labels = None,
    text: Annotated[str, QueryParameter(description="Only what mentions this: name, labels, images, message.")] = "",
    sort: Annotated[Sort, QueryParameter(description="Default: by name.")] = "",
    limit: Annotated[int, QueryParameter(description="Objects of a page.", ge=1, le=LONGEST_PAGE)] = USUAL_PAGE,
) -> ListQuery:
    return ListQuery(tier, zone, in_state, list_query.labels(label or ()), text, sort, limit)


def _project_query(
    label: Labels = None,
    text: Annotated[str, QueryParameter(description="Only what mentions this: name, labels, description.")] = "",
    sort: Annotated[Literal["", "name", "created", "-name", "-created"], QueryParameter(description="Default: by name.")] = "",
    limit: Annotated[int, QueryParameter(description="Projects of a page.", ge=1, le=LONGEST_PAGE)] = USUAL_PAGE,
) -> ListQuery:
    return ListQuery(labels=list_query.labels(label or ()), text=text, sort=sort, limit=limit)


def _every_object() -> ListQuery:
    return ListQuery()


def _everywhere() -> ObjectName:
    return "", ""


def _of_query(project: Annotated[str, QueryParameter(description="Only of this project.")] = "") -> ObjectName:
    return project, ""


def _of_project(project: FromPath[str]) -> ObjectName:
    return project, ""


def _in_project(project: FromPath[str], name: FromPath[str]) -> ObjectName:
    return project, name


def _a_project(project: FromPath[str]) -> ObjectName:
    return "", project


async def _document(request: Request[Any, Any, Any]) -> Data:
    """Raises Problem. A long document is read in a thread, so that others are served meanwhile."""
    body, content_type = await request.body(), request.headers.get("content-type", "")
    if len(body) < LONG:
        return parse(body, content_type)
    return await asyncio.to_thread(parse, body, content_type)


def _options(call: Caller, idempotency_key: IdempotencyKey = "", dry_run: DryRun = False) -> WriteOptions:
    return WriteOptions(call, idempotency_key, call.judged_only(dry_run))


def _removal(call: Caller, if_match: IfMatch = "", dry_run: DryRun = False) -> Removal:
    return Removal(responses.expected(if_match), call.judged_only(dry_run))


_WORKLOADS = "Also its workloads. Without this, a project that has some is refused."


def _project_removal(
    call: Caller,
    if_match: IfMatch = "",
    dry_run: DryRun = False,
    workloads: Annotated[bool, QueryParameter(description=_WORKLOADS)] = False,
) -> Removal:
    return Removal(responses.expected(if_match), call.judged_only(dry_run), workloads)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where objects of a kind are: their path, and what a request says of their names and filters.

    `writer` provides the WriteService of a kind whose writes have rules of their own.
    """

    path: str
    names: Callable[..., ObjectName]
    filters: Callable[..., ListQuery] = _every_object
    writer: Mapping[str, Provide] = field(default_factory=dict[str, Provide])


class _Places:
    """Where the objects of a kind are: all, those of one project, and one. All projects are in one place."""

    def __init__(self, kind: SimpleKind[Any], writer: Mapping[str, Provide]) -> None:
        if kind.in_project:
            self.all = _Place(f"/{kind.path}", _of_query, _workload_query)
            self.some = _Place(f"/projects/{{project:str}}/{kind.path}", _of_project, _workload_query, writer)
            self.one = _Place(f"{self.some.path}/{{name:str}}", _in_project, _every_object, writer)
        else:
            self.all = self.some = _Place("/projects", _everywhere, _project_query, writer)
            self.one = _Place("/projects/{project:str}", _a_project, _every_object, writer)


@dataclass(frozen=True, slots=True)
class ReadForm:
    """A form in which a kind is read; `noun` is how operations call it."""

    encoder: ObjectEncoder
    root: str
    noun: str
    page: type[Any]
    item: ResponseSpec


def _forms(kind: SimpleKind[Any]) -> Iterator[ReadForm]:
    full = ResponseSpec(dict[str, Any], description=f"The {kind.resource.kind}: the CustomResourceDefinition says its fields")
    yield ReadForm(SIMPLE, "/v1", kind.name, responses.listed_type(kind), ResponseSpec(kind.type, description="The object"))
    yield ReadForm(RESOURCE, "/v1/resources", f"{kind.name}Resource", responses.ResourceList, full)


def routes(kind: SimpleKind[Any], writer: Callable[..., WriteService] | None = None) -> tuple[HTTPRouteHandler, ...]:
    """`writer` makes the WriteService of a kind whose writes have rules of their own."""
    places = _Places(kind, {"writer": Provide(writer, sync_to_thread=False)} if writer else {})
    return (*_reads(kind, places), *_streams(kind, places), *_writes(kind, places))


def _reads(kind: SimpleKind[Any], places: _Places) -> Iterator[HTTPRouteHandler]:
    for form in _forms(kind):
        yield _list(kind, form, places.all, f"listAll{form.noun}s" if kind.in_project else f"list{form.noun}s")
        if kind.in_project:
            yield _list(kind, form, places.some, f"list{form.noun}s")
        yield _get(kind, form, places.one)


def _list(kind: SimpleKind[Any], form: ReadForm, place: _Place, name: str) -> HTTPRouteHandler:
    page = ResponseSpec(form.page, description="A page of the list")
    about = "Of one project." if place.names is _of_project else "Of all projects that the caller may see."

    @get(f"{form.root}{place.path}", description=about, **_describe(kind, "list", name, page, place))
    async def list_objects(
        call: Caller,
        reads: Reads,
        reader: Reader,
        names: Names,
        filters: Filters,
        cursor: Cursor = "",
        min_version: MinVersion = "",
    ) -> Response[bytes]:
        await reads.at_least(min_version)
        return responses.read(*reader.page(kind, ListRequest(call, names[0], filters, form=form.encoder), cursor))

    return list_objects


def _get(kind: SimpleKind[Any], form: ReadForm, place: _Place) -> HTTPRouteHandler:
    @get(f"{form.root}{place.path}", **_describe(kind, "get", f"get{form.noun}", form.item, place))
    async def get_object(names: Names, reads: Reads, reader: Reader, min_version: MinVersion = "") -> Response[bytes]:
        """One, as it is now."""
        await reads.at_least(min_version)
        return responses.read(*reader.one(kind, names, form.encoder))

    return get_object


def _streams(kind: SimpleKind[Any], places: _Places) -> Iterator[HTTPRouteHandler]:
    name = f"watchAll{kind.name}s" if kind.in_project else f"watch{kind.name}s"
    yield _watch(kind, places.all, name, "Changes in all projects that the caller may see, as they happen.")
    if kind.in_project:
        yield _watch(kind, places.some, f"watch{kind.name}s", "Changes in one project, as they happen.")
        yield _watch(kind, places.one, f"watch{kind.name}", "Changes of one, as they happen.")


def _watch(kind: SimpleKind[Any], place: _Place, operation: str, about: str) -> HTTPRouteHandler:
    @get(f"/v1{place.path}/watch", description=about, **_describe(kind, "watch", operation, _EVENTS, place))
    async def watch_objects(
        call: Caller, reader: Reader, names: Names, filters: Filters, last_event_id: LastEventId = ""
    ) -> Stream:
        project, name = names
        return reader.stream(kind, ListRequest(call, project, filters, name), last_event_id)

    return watch_objects


def _writes(kind: SimpleKind[Any], places: _Places) -> Iterator[HTTPRouteHandler]:
    written = ResponseSpec(responses.written_type(kind), description="As it is now, and what will happen")
    whole, path = _whole_document(kind), f"/v1{places.one.path}"
    created = _describe(kind, "create", f"create{kind.name}", written, places.some, 201, 200)
    replaced = _describe(kind, "update", f"replace{kind.name}", written, places.one)
    patched = _describe(kind, "update", f"patch{kind.name}", written, places.one)
    deleted = _describe(kind, "delete", f"delete{kind.name}", written, places.one, 202)
    removal = Provide(_removal if kind.in_project else _project_removal, sync_to_thread=False)
    deleted["dependencies"] = {**deleted["dependencies"], "removal": removal}

    @post(f"/v1{places.some.path}", operation_class=whole, **created)
    async def create(
        names: Names, document: Document, options: Options, writer: Writer, request: Request[Any, Any, Any]
    ) -> Response[bytes]:
        """Create one. With an Idempotency-Key it may be sent again."""
        _note(request, kind, document)
        return await writer.create(kind, names[0], document, options)

    @put(path, operation_class=whole, **replaced)
    async def replace(
        names: Names, document: Document, options: Options, writer: Writer, if_match: IfMatch = ""
    ) -> Response[bytes]:
        """Make it as the document says."""
        return await writer.replace(kind, names, document, options, responses.expected(if_match))

    @patch(path, operation_class=_merge_patch(kind), **patched)
    async def change(
        names: Names, document: Document, options: Options, writer: Writer, if_match: IfMatch = ""
    ) -> Response[bytes]:
        """Change what the merge patch says, in the simple form."""
        return await writer.patch(kind, names, document, options, responses.expected(if_match))

    @delete(path, **deleted)
    async def remove(names: Names, writer: Writer, removal: NamedDependency[Removal]) -> Response[bytes]:
        """Delete it: answered when accepted, with what it still waits for. Asking again is harmless."""
        return await writer.delete(kind, names, removal)

    yield from (create, replace, change, remove)
    if kind.in_project:
        yield _diff(kind, places.one, whole)


def _note(request: Request[Any, Any, Any], kind: SimpleKind[Any], document: Data) -> None:
    """Notes for the audit record what is to be created. Its name stands in the document and not in the path."""
    metadata = document.get("metadata")
    full = cast("Data", metadata).get("name") if isinstance(metadata, dict) else None
    name = document.get("name", full)
    if isinstance(name, str):
        call: Call = request.scope[CALL]  # type: ignore[literal-required]
        about = {"name" if kind.in_project else "project": name[:LONGEST_NAME]}
        request.scope[CALL] = dataclasses.replace(call, **about)  # type: ignore[literal-required]


def _diff(kind: SimpleKind[Any], one: _Place, whole: type[Operation]) -> HTTPRouteHandler:
    differences = _describe(kind, "get", f"diff{kind.name}", ResponseSpec(responses.Difference), one)

    @post(f"/v1{one.path}/diff", operation_class=whole, **differences)
    async def diff(names: Names, document: Document, writer: Writer) -> Response[bytes]:
        """What would change if the document were sent; nothing is written."""
        return responses.read(msgspec.json.encode(await writer.difference(kind, names, document)), {})

    return diff


def _describe(
    kind: SimpleKind[Any], verb: Verb, name: str, answer: ResponseSpec, place: _Place, *status: int
) -> dict[str, Any]:
    """What a handler does, for the middleware and the OpenAPI document; the first status is the usual one."""
    answers = dict.fromkeys(status or (200,), answer)
    given = {"names": place.names, "filters": place.filters, "options": _options}
    dependencies = {name: Provide(provider, sync_to_thread=False) for name, provider in given.items()}
    return {
        "opt": may(kind.path, verb, stream=verb == "watch", noun=kind.noun),
        "operation_id": name,
        "status_code": next(iter(answers)),
        "responses": answers,
        "tags": [kind.path],
        "dependencies": {**dependencies, "document": Provide(_document), **place.writer},
    }


def _whole_document(kind: SimpleKind[Any]) -> type[Operation]:
    schema = Reference(f"#/components/schemas/{kind.name}")
    description = f"{kind.name} in the simple form, or a {kind.resource.kind}"
    return _with_body(kind.name, ("application/json", YAML_TYPES[0]), schema, kind.example, description)


def _merge_patch(kind: SimpleKind[Any]) -> type[Operation]:
    """RFC 7386, of the simple form."""
    schema = Schema(type=OpenAPIType.OBJECT, title=f"{kind.name}Patch")
    types = ("application/merge-patch+json", "application/json")
    return _with_body(kind.name, types, schema, kind.patch, f"Merge patch of the {kind.name}")


def _with_body(
    name: str, types: tuple[str, ...], schema: Schema | Reference, example: Data, description: str
) -> type[Operation]:
    """Describes the body of a handler that parses it itself."""
    content = {each: OpenAPIMediaType(schema=schema, examples={name: Example(value=example)}) for each in types}

    @dataclass
    class WithBody(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(content=content, description=description, required=True)

    return WithBody

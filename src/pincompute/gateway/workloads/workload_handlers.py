"""The routes of a kind, the same for every kind: list, get, watch, create, replace, patch, delete, and what would change.

Lists and streams exist twice for kinds in projects: of one project, and of all that the caller may see. What is read is in the
simple model, or under `/v1/resources` in full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from pincompute.gateway.call_context import Call, Verb, may
from pincompute.gateway.model import RESOURCE, SIMPLE, ObjectEncoder, SimpleKind
from pincompute.gateway.workloads import event_stream, list_query, response_bodies, response_headers
from pincompute.gateway.workloads.list_query import LONGEST_PAGE, USUAL_PAGE, ListQuery, OfTier, Sort
from pincompute.gateway.workloads.object_writer import WriteOptions
from pincompute.gateway.workloads.read_service import ListRequest, ReadService
from pincompute.gateway.workloads.request_bodies import takes, takes_patch
from pincompute.gateway.workloads.response_bodies import Difference
from pincompute.gateway.workloads.response_headers import (
    Cursor,
    DryRun,
    IdempotencyKey,
    IfMatch,
    Labels,
    LastEventId,
    MinVersion,
)
from pincompute.gateway.workloads.write_service import WriteService

Body = Request[Any, Any, Any]


def _filters(
    tier: Annotated[OfTier, QueryParameter(description="Only of this tier.")] = "",
    zone: Annotated[str, QueryParameter(description="Only what runs, or is asked to run, in this zone.")] = "",
    in_state: Annotated[str, QueryParameter(name="state", description="Only in this state, for example Running.")] = "",
    label: Labels = None,
    text: Annotated[str, QueryParameter(description="Only what mentions this: name, labels, images, message.")] = "",
    sort: Annotated[Sort, QueryParameter(description="By name if not said.")] = "",
    limit: Annotated[int, QueryParameter(description="Objects of a page.", ge=1, le=LONGEST_PAGE)] = USUAL_PAGE,
) -> ListQuery:
    return ListQuery(tier, zone, in_state, list_query.labels(label or ()), text, sort, limit)


_FILTERED = {"filters": Provide(_filters, sync_to_thread=False)}


def describe(kind: SimpleKind[Any], verb: Verb, name: str, answer: ResponseSpec, *status: int) -> dict[str, Any]:
    """What a route does, for the door and for the OpenAPI document; the first status is the usual one."""
    opt = may(kind.path, verb, stream=verb == "watch", noun=kind.noun)
    answers = dict.fromkeys(status or (200,), answer)
    return {"opt": opt, "operation_id": name, "status_code": next(iter(answers)), "responses": answers, "tags": [kind.path]}


@dataclass(frozen=True, slots=True)
class ReadForm:
    """A kind in one of the forms in which it is read; `noun` is how operations call it."""

    form: ObjectEncoder
    root: str
    noun: str
    page: ResponseSpec
    item: ResponseSpec


def simple(kind: SimpleKind[Any]) -> ReadForm:
    page = ResponseSpec(response_bodies.listed(kind), description="A page of the list")
    return ReadForm(SIMPLE, "/v1", kind.name, page, ResponseSpec(kind.type, description="The object"))


def full(kind: SimpleKind[Any]) -> ReadForm:
    page = ResponseSpec(response_bodies.ResourceList, description="A page of the list")
    item = ResponseSpec(dict[str, Any], description=f"The {kind.resource.kind}: the CustomResourceDefinition says its fields")
    return ReadForm(RESOURCE, "/v1/resources", f"{kind.name}Resource", page, item)


def routes(kind: SimpleKind[Any]) -> tuple[HTTPRouteHandler, ...]:
    """Of a kind that lives in projects."""
    return (*lists(kind, simple(kind)), *lists(kind, full(kind)), *streams(kind), *changes(kind))


def lists(kind: SimpleKind[Any], reading: ReadForm) -> tuple[HTTPRouteHandler, ...]:
    root, noun, form = reading.root, reading.noun, reading.form

    @get(f"{root}/{kind.path}", dependencies=_FILTERED, **describe(kind, "list", f"listAll{noun}s", reading.page))
    async def list_all(
        call: NamedDependency[Call],
        catalog: NamedDependency[ReadService],
        filters: NamedDependency[ListQuery],
        project: Annotated[str, QueryParameter(description="Only of this project.")] = "",
        cursor: Cursor = "",
        min_version: MinVersion = "",
    ) -> Response[bytes]:
        """Of all projects that the caller may see."""
        return await catalog.listed(kind, ListRequest(call, project, filters, form=form), cursor, min_version)

    @get(_root(kind, root), dependencies=_FILTERED, **describe(kind, "list", f"list{noun}s", reading.page))
    async def list_some(
        project: FromPath[str],
        call: NamedDependency[Call],
        catalog: NamedDependency[ReadService],
        filters: NamedDependency[ListQuery],
        cursor: Cursor = "",
        min_version: MinVersion = "",
    ) -> Response[bytes]:
        """Of one project."""
        return await catalog.listed(kind, ListRequest(call, project, filters, form=form), cursor, min_version)

    @get(_one(kind, root), **describe(kind, "get", f"get{noun}", reading.item))
    async def get_one(
        project: FromPath[str], name: FromPath[str], catalog: NamedDependency[ReadService], min_version: MinVersion = ""
    ) -> Response[bytes]:
        """One, as it is now."""
        return await catalog.shown(kind, (project, name), min_version, form)

    return list_all, list_some, get_one


def streams(kind: SimpleKind[Any]) -> tuple[HTTPRouteHandler, ...]:
    events = ResponseSpec(str, description="Server-sent events", media_type=event_stream.MEDIA_TYPE)

    @get(f"/v1/{kind.path}/watch", dependencies=_FILTERED, **describe(kind, "watch", f"watchAll{kind.name}s", events))
    async def watch_all(
        call: NamedDependency[Call],
        catalog: NamedDependency[ReadService],
        filters: NamedDependency[ListQuery],
        project: FromQuery[str] = "",
        last_event_id: LastEventId = "",
    ) -> Stream:
        """Changes in all projects that the caller may see, as they happen."""
        return catalog.stream(kind, ListRequest(call, project, filters), last_event_id)

    @get(f"{_root(kind)}/watch", dependencies=_FILTERED, **describe(kind, "watch", f"watch{kind.name}s", events))
    async def watch_some(
        project: FromPath[str],
        call: NamedDependency[Call],
        catalog: NamedDependency[ReadService],
        filters: NamedDependency[ListQuery],
        last_event_id: LastEventId = "",
    ) -> Stream:
        """Changes in one project, as they happen."""
        return catalog.stream(kind, ListRequest(call, project, filters), last_event_id)

    @get(f"{_one(kind)}/watch", **describe(kind, "watch", f"watch{kind.name}", events))
    async def watch_one(
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        catalog: NamedDependency[ReadService],
        last_event_id: LastEventId = "",
    ) -> Stream:
        """Changes of one, as they happen."""
        return catalog.stream(kind, ListRequest(call, project, ListQuery(), name), last_event_id)

    return watch_all, watch_some, watch_one


def changes(kind: SimpleKind[Any]) -> tuple[HTTPRouteHandler, ...]:
    written = ResponseSpec(response_bodies.written(kind), description="As it is now, and what will happen")
    document, merge = takes(kind), takes_patch(kind)

    @post(_root(kind), operation_class=document, **describe(kind, "create", f"create{kind.name}", written, 201, 200))
    async def create(
        project: FromPath[str],
        request: Body,
        call: NamedDependency[Call],
        desk: NamedDependency[WriteService],
        idempotency_key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> Response[bytes]:
        """Create one. With an Idempotency-Key it may be sent again."""
        return await desk.create(kind, project, await desk.document(request), WriteOptions(call, idempotency_key, dry_run))

    @put(_one(kind), operation_class=document, **describe(kind, "update", f"replace{kind.name}", written))
    async def replace(
        project: FromPath[str],
        name: FromPath[str],
        request: Body,
        call: NamedDependency[Call],
        desk: NamedDependency[WriteService],
        if_match: IfMatch = "",
        idempotency_key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> Response[bytes]:
        """Make it as the document says."""
        author = WriteOptions(call, idempotency_key, dry_run)
        return await desk.replace(
            kind, (project, name), await desk.document(request), author, response_headers.expected(if_match)
        )

    @patch(_one(kind), operation_class=merge, **describe(kind, "update", f"patch{kind.name}", written))
    async def change(
        project: FromPath[str],
        name: FromPath[str],
        request: Body,
        call: NamedDependency[Call],
        desk: NamedDependency[WriteService],
        if_match: IfMatch = "",
        idempotency_key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> Response[bytes]:
        """Change what the merge patch says, in the simple model."""
        author = WriteOptions(call, idempotency_key, dry_run)
        return await desk.patch(
            kind, (project, name), await desk.document(request), author, response_headers.expected(if_match)
        )

    @delete(_one(kind), **describe(kind, "delete", f"delete{kind.name}", written, 202))
    async def remove(
        project: FromPath[str],
        name: FromPath[str],
        desk: NamedDependency[WriteService],
        if_match: IfMatch = "",
        dry_run: DryRun = False,
    ) -> Response[bytes]:
        """Delete it: answered when accepted, with what it still waits for. Asking again is harmless."""
        return await desk.delete(kind, (project, name), response_headers.expected(if_match), dry_run=dry_run)

    @post(f"{_one(kind)}/diff", operation_class=document, **describe(kind, "get", f"diff{kind.name}", ResponseSpec(Difference)))
    async def diff(
        project: FromPath[str], name: FromPath[str], request: Body, desk: NamedDependency[WriteService]
    ) -> Response[bytes]:
        """What would change if the document were sent; nothing is written."""
        found = desk.difference(kind, (project, name), await desk.document(request))
        return response_headers.read(msgspec.json.encode(found), {})

    return create, replace, change, remove, diff


def _root(kind: SimpleKind[Any], root: str = "/v1") -> str:
    return f"{root}/projects/{{project:str}}/{kind.path}"


def _one(kind: SimpleKind[Any], root: str = "/v1") -> str:
    return f"{_root(kind, root)}/{{name:str}}"

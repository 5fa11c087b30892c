"""The routes of a kind, the same for every kind: list, get, watch, create, replace, patch, delete, and what would change.

Lists and streams exist twice for kinds in projects: of one project, and of all that the caller may see.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.response import Stream

from pincompute.gateway.calls import Call, may
from pincompute.gateway.model import Kind
from pincompute.gateway.reads import Reads
from pincompute.gateway.workloads import answers, queries, watching
from pincompute.gateway.workloads.answers import DryRun, IdempotencyKey, IfMatch, LastEventId, MinVersion
from pincompute.gateway.workloads.catalog import Asked, Catalog
from pincompute.gateway.workloads.desk import Desk
from pincompute.gateway.workloads.outcomes import Difference, Listed, Written
from pincompute.gateway.workloads.queries import LONGEST_PAGE, SORTS, USUAL_PAGE, Query
from pincompute.gateway.workloads.schemas import takes, takes_patch

Body = Request[Any, Any, Any]


def _query(
    tier: Annotated[str, Parameter(description="Only of this tier.")] = "",
    zone: Annotated[str, Parameter(description="Only what runs, or is asked to run, in this zone.")] = "",
    state: Annotated[str, Parameter(description="Only in this state, for example Running.")] = "",
    label: Annotated[list[str] | None, Parameter(description="Only with this label: key=value, or key; all of them.")] = None,
    text: Annotated[str, Parameter(description="Only what mentions this: name, labels, images, message.")] = "",
    sort: Annotated[
        str, Parameter(description=f"One of {', '.join(SORTS)}; by name if not said.", pattern="|".join(("", *SORTS)))
    ] = "",
    limit: Annotated[int, Parameter(description="Objects of a page.", ge=1, le=LONGEST_PAGE)] = USUAL_PAGE,
) -> Query:
    return Query(tier, zone, state, queries.labels(label or ()), text, sort, limit)


_GIVEN = {"query": Provide(_query, sync_to_thread=False)}


def routes(kind: Kind[Any]) -> tuple[HTTPRouteHandler, ...]:
    """Of a kind that lives in projects."""
    return (*reading(kind), *writing(kind))


def reading(kind: Kind[Any]) -> tuple[HTTPRouteHandler, ...]:
    root = f"/v1/projects/{{project:str}}/{kind.path}"
    listed, tags = {200: ResponseSpec(Listed[kind.type], description="A page of the list")}, [kind.path]
    events = {200: ResponseSpec(str, description="Server-sent events", media_type=watching.MEDIA_TYPE)}

    @get(
        f"/v1/{kind.path}",
        opt=may(kind.path, "list"),
        operation_id=f"listAll{kind.name}s",
        responses=listed,
        tags=tags,
        dependencies=_GIVEN,
    )
    async def list_all(
        call: Call,
        catalog: Catalog,
        reads: Reads,
        query: Query,
        project: str = "",
        cursor: str = "",
        min_version: MinVersion = "",
    ) -> Response[bytes]:
        """Of all projects that the caller may see."""
        await answers.caught_up(reads, min_version)
        found = catalog.listed(kind, Asked(call, project, query), cursor)
        return answers.read(found.body, answers.fresh(found.freshness, found.missing))

    @get(root, opt=may(kind.path, "list"), operation_id=f"list{kind.name}s", responses=listed, tags=tags, dependencies=_GIVEN)
    async def list_some(
        project: str, call: Call, catalog: Catalog, reads: Reads, query: Query, cursor: str = "", min_version: MinVersion = ""
    ) -> Response[bytes]:
        """Of one project."""
        await answers.caught_up(reads, min_version)
        found = catalog.listed(kind, Asked(call, project, query), cursor)
        return answers.read(found.body, answers.fresh(found.freshness, found.missing))

    @get(
        f"/v1/{kind.path}/watch",
        opt=may(kind.path, "watch", stream=True),
        operation_id=f"watchAll{kind.name}s",
        responses=events,
        tags=tags,
        dependencies=_GIVEN,
    )
    async def watch_all(
        call: Call, catalog: Catalog, query: Query, project: str = "", last_event_id: LastEventId = ""
    ) -> Stream:
        """Changes in all projects that the caller may see, as they happen."""
        return _stream(catalog, kind, Asked(call, project, query), last_event_id)

    @get(
        f"{root}/watch",
        opt=may(kind.path, "watch", stream=True),
        operation_id=f"watch{kind.name}s",
        responses=events,
        tags=tags,
        dependencies=_GIVEN,
    )
    async def watch_some(project: str, call: Call, catalog: Catalog, query: Query, last_event_id: LastEventId = "") -> Stream:
        """Changes in one project, as they happen."""
        return _stream(catalog, kind, Asked(call, project, query), last_event_id)

    @get(
        f"{root}/{{name:str}}/watch",
        opt=may(kind.path, "watch", stream=True),
        operation_id=f"watch{kind.name}",
        responses=events,
        tags=tags,
    )
    async def watch_one(project: str, name: str, call: Call, catalog: Catalog, last_event_id: LastEventId = "") -> Stream:
        """Changes of one, as they happen."""
        return _stream(catalog, kind, Asked(call, project, Query(), name), last_event_id)

    @get(
        f"{root}/{{name:str}}",
        opt=may(kind.path, "get"),
        operation_id=f"get{kind.name}",
        responses={200: ResponseSpec(kind.type)},
        tags=tags,
    )
    async def get_one(project: str, name: str, desk: Desk, reads: Reads, min_version: MinVersion = "") -> Response[bytes]:
        """One, as it is now."""
        await answers.caught_up(reads, min_version)
        return desk.shown(kind, project, name)

    return list_all, list_some, watch_all, watch_some, watch_one, get_one


def _stream(catalog: Catalog, kind: Kind[Any], asked: Asked, last_id: str) -> Stream:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(catalog.stream(kind, asked, last_id), media_type=watching.MEDIA_TYPE, headers=headers)


def writing(kind: Kind[Any]) -> tuple[HTTPRouteHandler, ...]:
    root = f"/v1/projects/{{project:str}}/{kind.path}"
    one, tags = f"{root}/{{name:str}}", [kind.path]
    spec = ResponseSpec(Written[kind.type], description="As it is now, and what will happen")

    @post(
        root,
        opt=may(kind.path, "create"),
        operation_id=f"create{kind.name}",
        responses={201: spec},
        tags=tags,
        operation_class=takes(kind),
    )
    async def create(
        project: str, request: Body, call: Call, desk: Desk, key: IdempotencyKey = "", dry_run: DryRun = False
    ) -> Response[bytes]:
        """Create one. With an Idempotency-Key it may be sent again."""
        document = await desk.document(request)
        return await desk.create(kind, project, document, desk.author(call, key, dry_run=dry_run))

    @put(
        one,
        opt=may(kind.path, "update"),
        operation_id=f"replace{kind.name}",
        responses={200: spec},
        tags=tags,
        operation_class=takes(kind),
    )
    async def replace(
        project: str, name: str, request: Body, call: Call, desk: Desk, if_match: IfMatch = "", dry_run: DryRun = False
    ) -> Response[bytes]:
        """Make it as the document says."""
        document = await desk.document(request)
        return await desk.replace(
            kind, (project, name), document, desk.author(call, dry_run=dry_run), answers.expected(if_match)
        )

    @patch(
        one,
        opt=may(kind.path, "update"),
        operation_id=f"patch{kind.name}",
        responses={200: spec},
        tags=tags,
        operation_class=takes_patch(kind),
    )
    async def change(
        project: str, name: str, request: Body, call: Call, desk: Desk, if_match: IfMatch = "", dry_run: DryRun = False
    ) -> Response[bytes]:
        """Change what the merge patch says, in the simple model."""
        document = await desk.document(request)
        return await desk.patch(kind, (project, name), document, desk.author(call, dry_run=dry_run), answers.expected(if_match))

    @delete(
        one, opt=may(kind.path, "delete"), operation_id=f"delete{kind.name}", status_code=202, responses={202: spec}, tags=tags
    )
    async def remove(project: str, name: str, desk: Desk, if_match: IfMatch = "", dry_run: DryRun = False) -> Response[bytes]:
        """Delete it: answered when accepted, with what it still waits for. Asking again is harmless."""
        return await desk.delete(kind, (project, name), answers.expected(if_match), dry_run=dry_run)

    @post(
        f"{one}/diff",
        opt=may(kind.path, "get", cost=2),
        operation_id=f"diff{kind.name}",
        status_code=200,
        responses={200: ResponseSpec(Difference)},
        tags=tags,
        operation_class=takes(kind),
    )
    async def diff(project: str, name: str, request: Body, desk: Desk) -> Response[bytes]:
        """What would change if the document were sent; nothing is written."""
        found = desk.difference(kind, (project, name), await desk.document(request))
        return answers.read(msgspec.json.encode(found), {})

    return create, replace, change, remove, diff

"""Projects and their members: who founds a project owns it, and one that still has workloads is not deleted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar import Response, delete, get, patch, post, put
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream

from pincompute.api.member_clusters import ProjectMember
from pincompute.api.meta import Struct, doc
from pincompute.gateway import problems
from pincompute.gateway.access import Authorizer, Roles
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call, may
from pincompute.gateway.model import PROJECT, field_mapping, in_projects
from pincompute.gateway.workloads import event_stream, list_query, response_bodies, response_headers
from pincompute.gateway.workloads.list_query import LONGEST_PAGE, USUAL_PAGE, ListQuery
from pincompute.gateway.workloads.object_writer import WriteOptions
from pincompute.gateway.workloads.project_members import ProjectMembers, founders
from pincompute.gateway.workloads.read_service import ListRequest, ReadService
from pincompute.gateway.workloads.request_bodies import takes, takes_patch
from pincompute.gateway.workloads.response_headers import (
    Cursor,
    DryRun,
    IdempotencyKey,
    IfMatch,
    Labels,
    LastEventId,
    MinVersion,
)
from pincompute.gateway.workloads.workload_handlers import Body, ReadForm, describe, full, simple
from pincompute.gateway.workloads.write_service import WriteService

_ALL = "/v1/projects"
_ONE = "/v1/projects/{project:str}"
_MEMBERS = f"{_ONE}/members"
_WRITTEN = ResponseSpec(response_bodies.written(PROJECT), description="As it is now, and what will happen")
_EVENTS = ResponseSpec(str, description="Server-sent events", media_type=event_stream.MEDIA_TYPE)


class NewMember(ProjectMember, forbid_unknown_fields=True):
    """A user, or a group, and their role."""


class MemberRole(Struct, forbid_unknown_fields=True):
    role: Annotated[str, doc("viewer, developer, operator, owner, or a role of this region.")]


class MemberList(Struct):
    items: Annotated[tuple[ProjectMember, ...], doc("Everybody with a role in the project.")]


def _filters(
    label: Labels = None,
    text: Annotated[str, QueryParameter(description="Only what mentions this: name, labels, description.")] = "",
    sort: Annotated[
        Literal["", "name", "created", "-name", "-created"], QueryParameter(description="By name if not said.")
    ] = "",
    limit: Annotated[int, QueryParameter(description="Projects of a page.", ge=1, le=LONGEST_PAGE)] = USUAL_PAGE,
) -> ListQuery:
    return ListQuery(labels=list_query.labels(label or ()), text=text, sort=sort, limit=limit)


_FILTERED = {"filters": Provide(_filters, sync_to_thread=False)}


def _reads(reading: ReadForm) -> tuple[HTTPRouteHandler, HTTPRouteHandler]:
    root, noun, form = f"{reading.root}/projects", reading.noun, reading.form

    @get(root, dependencies=_FILTERED, **describe(PROJECT, "list", f"list{noun}s", reading.page))
    async def list_projects(
        call: NamedDependency[Call],
        catalog: NamedDependency[ReadService],
        filters: NamedDependency[ListQuery],
        cursor: Cursor = "",
        min_version: MinVersion = "",
    ) -> Response[bytes]:
        """All that the caller may see."""
        return await catalog.listed(PROJECT, ListRequest(call, "", filters, form=form), cursor, min_version)

    @get(f"{root}/{{project:str}}", **describe(PROJECT, "get", f"get{noun}", reading.item))
    async def get_project(
        project: FromPath[str], catalog: NamedDependency[ReadService], min_version: MinVersion = ""
    ) -> Response[bytes]:
        """One, as it is now."""
        return await catalog.shown(PROJECT, ("", project), min_version, form)

    return list_projects, get_project


@get(f"{_ALL}/watch", dependencies=_FILTERED, **describe(PROJECT, "watch", "watchProjects", _EVENTS))
async def watch_projects(
    call: NamedDependency[Call],
    catalog: NamedDependency[ReadService],
    filters: NamedDependency[ListQuery],
    last_event_id: LastEventId = "",
) -> Stream:
    """Changes of all projects that the caller may see, as they happen."""
    return catalog.stream(PROJECT, ListRequest(call, "", filters), last_event_id)


@post(_ALL, operation_class=takes(PROJECT), **describe(PROJECT, "create", "createProject", _WRITTEN, 201, 200))
async def create_project(
    request: Body,
    call: NamedDependency[Call],
    desk: NamedDependency[WriteService],
    roles: NamedDependency[Roles],
    idempotency_key: IdempotencyKey = "",
    dry_run: DryRun = False,
) -> Response[bytes]:
    """Found a project. Whoever does owns it, unless the document names another owner."""
    document = await desk.document(request)
    if document.get("kind", PROJECT.name) == PROJECT.name:
        document = {**document, "members": founders(document.get("members"), call.caller.name, roles)}
    return await desk.create(PROJECT, "", document, WriteOptions(call, idempotency_key, dry_run))


@put(_ONE, operation_class=takes(PROJECT), **describe(PROJECT, "update", "replaceProject", _WRITTEN))
async def replace_project(
    project: FromPath[str],
    request: Body,
    call: NamedDependency[Call],
    desk: NamedDependency[WriteService],
    if_match: IfMatch = "",
    idempotency_key: IdempotencyKey = "",
    dry_run: DryRun = False,
) -> Response[bytes]:
    """Make it as the document says; members that it does not speak of stay."""
    document = await desk.document(request)
    if document.get("members") is None:
        document = {**document, "members": desk.present(PROJECT, ("", project)).get("members", [])}
    _refuse_members(desk, project, document)
    author = WriteOptions(call, idempotency_key, dry_run)
    return await desk.replace(PROJECT, ("", project), document, author, response_headers.expected(if_match))


@patch(_ONE, operation_class=takes_patch(PROJECT), **describe(PROJECT, "update", "patchProject", _WRITTEN))
async def patch_project(
    project: FromPath[str],
    request: Body,
    call: NamedDependency[Call],
    desk: NamedDependency[WriteService],
    if_match: IfMatch = "",
    idempotency_key: IdempotencyKey = "",
    dry_run: DryRun = False,
) -> Response[bytes]:
    """Change what the merge patch says."""
    document = await desk.document(request)
    _refuse_members(desk, project, document)
    author = WriteOptions(call, idempotency_key, dry_run)
    return await desk.patch(PROJECT, ("", project), document, author, response_headers.expected(if_match))


def _refuse_members(desk: WriteService, project: str, document: dict[str, Any]) -> None:
    """Members have rules of their own, which only their own routes check."""
    present = desk.present(PROJECT, ("", project)).get("members", [])
    asked = [field_mapping.at(document, path) for path in (("members",), ("spec", "members"))]
    if any(said not in (field_mapping.NOTHING, None, present) for said in asked):
        raise problems.invalid(
            (problems.FieldError("members", "the present members", f"members change one at a time: use {_MEMBERS}/{{name}}"),)
        )


@delete(_ONE, **describe(PROJECT, "delete", "deleteProject", _WRITTEN, 202))
async def delete_project(
    project: FromPath[str],
    desk: NamedDependency[WriteService],
    reads: NamedDependency[CacheReads],
    if_match: IfMatch = "",
    dry_run: DryRun = False,
) -> Response[bytes]:
    """Delete an empty project."""
    left = [(kind, obj) for kind in in_projects(reads.kinds) for obj in reads.host(kind.resource).list(project)]
    if left:
        names = ", ".join(f"{kind.noun} {obj.metadata.name}" for kind, obj in left[:10])
        raise problems.conflict(f"project {project} still has {len(left)} workloads: {names}", "delete these first")
    return await desk.delete(PROJECT, ("", project), response_headers.expected(if_match), dry_run=dry_run)


@get(_MEMBERS, opt=may("members", "list"), operation_id="listMembers", tags=["members"])
async def list_members(
    call: NamedDependency[Call], reads: NamedDependency[CacheReads], authorizer: NamedDependency[Authorizer]
) -> MemberList:
    """Everybody with a role in the project."""
    return MemberList(items=ProjectMembers(reads, authorizer, call).all())


@get(f"{_MEMBERS}/{{name:str}}", opt=may("members", "get"), operation_id="getMember", tags=["members"])
async def get_member(
    name: FromPath[str],
    call: NamedDependency[Call],
    reads: NamedDependency[CacheReads],
    authorizer: NamedDependency[Authorizer],
) -> ProjectMember:
    return ProjectMembers(reads, authorizer, call).get(name)


@post(_MEMBERS, opt=may("members", "create"), operation_id="addMember", status_code=201, tags=["members"])
async def add_member(
    data: JSONBody[NewMember],
    call: NamedDependency[Call],
    reads: NamedDependency[CacheReads],
    authorizer: NamedDependency[Authorizer],
) -> ProjectMember:
    """A user, or a group as group:NAME. Adding the same member again is harmless."""
    return await ProjectMembers(reads, authorizer, call).add(ProjectMember(name=data.name, role=data.role), only_new=True)


@put(f"{_MEMBERS}/{{name:str}}", opt=may("members", "update"), operation_id="setMember", tags=["members"])
async def set_member(
    name: FromPath[str],
    data: JSONBody[MemberRole],
    call: NamedDependency[Call],
    reads: NamedDependency[CacheReads],
    authorizer: NamedDependency[Authorizer],
) -> ProjectMember:
    """Add a member, or give them another role."""
    return await ProjectMembers(reads, authorizer, call).add(ProjectMember(name=name, role=data.role), only_new=False)


@delete(f"{_MEMBERS}/{{name:str}}", opt=may("members", "delete"), operation_id="removeMember", tags=["members"])
async def remove_member(
    name: FromPath[str],
    call: NamedDependency[Call],
    reads: NamedDependency[CacheReads],
    authorizer: NamedDependency[Authorizer],
) -> None:
    """Their rights in the project end at once, open streams included."""
    await ProjectMembers(reads, authorizer, call).remove(name)


ROUTES = (
    *(*_reads(simple(PROJECT)), *_reads(full(PROJECT)), watch_projects),
    *(create_project, replace_project, patch_project, delete_project),
    *(list_members, get_member, add_member, set_member, remove_member),
)

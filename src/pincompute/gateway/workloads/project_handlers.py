"""Handles projects and their members: a project's creator owns it, and its workloads are not deleted by accident."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody

from pincompute.api.meta import Manifest, Object, Struct, doc
from pincompute.api.projects import ProjectMember
from pincompute.gateway import problems
from pincompute.gateway.access import Authorizer, Roles, object_permissions
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call, Verb, may
from pincompute.gateway.gateway_settings import GatewaySettings
from pincompute.gateway.model import PROJECT, SimpleKind, in_projects
from pincompute.gateway.model.document_validation import DesiredResource
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.model.simple_kind import stated_spec
from pincompute.gateway.workloads import object_handlers, project_policy_handlers
from pincompute.gateway.workloads.object_writer import ObjectWriter, WriteOptions
from pincompute.gateway.workloads.project_members import ProjectMembers, with_an_owner
from pincompute.gateway.workloads.responses import ObjectName
from pincompute.gateway.workloads.write_service import Removal, WriteService

_MEMBERS = "/v1/projects/{project:str}/members"
_MEMBER = f"{_MEMBERS}/{{name:str}}"


class NewMember(ProjectMember, forbid_unknown_fields=True):
    """A user, or a group, and their role."""


class MemberRole(Struct, forbid_unknown_fields=True):
    role: Annotated[str, doc("viewer, developer, operator, owner, or a role of this region.")]


class MemberList(Struct):
    items: Annotated[tuple[ProjectMember, ...], doc("Everybody with a role in the project.")]


class ProjectObjectWriter(ObjectWriter):
    """Writes Project objects. A new one counts as one of its creator's projects; administrators create as many as they like."""

    def __init__(self, kind: SimpleKind[Any], reads: CacheReads, authorizer: Authorizer, most: int) -> None:
        super().__init__(kind, reads, authorizer)
        self._most = most

    def _reserved(
        self,
        project: str,  # noqa: ARG002 - only its creator matters
        before: Object | None,
        document: Manifest,  # noqa: ARG002 - likewise
        options: WriteOptions,
    ) -> AbstractContextManager[None]:
        caller = options.call.caller
        if before is not None or self._authorizer.decide(caller, object_permissions.ADMINISTRATION).allowed:
            return nullcontext()
        return self._reads.project_limits.reserve_project(caller.name, self._most)


class ProjectWriter(WriteService):
    """Writes projects. The creator of a project owns it, unless the document names another owner.

    Members change one at a time, by their own handlers.
    """

    def __init__(self, reads: CacheReads, authorizer: Authorizer, roles: Roles, most: int) -> None:
        """`most`: projects of one user; administrators create as many as they like."""
        super().__init__(reads, authorizer)
        self._roles = roles
        self._most = most

    def _writer(self, kind: SimpleKind[Any]) -> ObjectWriter:
        return ProjectObjectWriter(kind, self.reads, self._authorizer, self._most)

    def to_create(self, kind: SimpleKind[Any], project: str, document: Data, options: WriteOptions) -> DesiredResource:
        desired = super().to_create(kind, project, document, options)
        members = with_an_owner(kind.spec_of(desired.manifest).get("members", []), options.call.caller.name, self._roles)
        return desired.with_spec({**desired.manifest["spec"], "members": members})

    def to_replace(
        self, kind: SimpleKind[Any], names: ObjectName, obj: Object, document: Data, version: str
    ) -> DesiredResource:
        """A document that does not state the members, or what only administrators change, leaves it as it is."""
        desired = super().to_replace(kind, names, obj, document, version)
        kept = object_permissions.protected_fields(kind.path, stated_spec(obj))
        return _same_members(kind, obj, desired.with_spec({**kept, **desired.manifest["spec"]}))

    def to_patch(self, kind: SimpleKind[Any], names: ObjectName, obj: Object, document: Data, version: str) -> DesiredResource:
        return _same_members(kind, obj, super().to_patch(kind, names, obj, document, version))

    async def delete(self, kind: SimpleKind[Any], names: ObjectName, removal: Removal) -> Response[bytes]:
        """An empty project, or one whose workloads are to go with it."""
        _, project = names
        left = not removal.workloads and [
            (each, obj) for each in in_projects(self.reads.kinds) for obj in self.reads.host(each.resource).list(project)
        ]
        if left:
            workloads = ", ".join(f"{each.noun} {obj.metadata.name}" for each, obj in left[:10])
            raise problems.wrong_state(
                f"project {project} still has {len(left)} {'workload' if len(left) == 1 else 'workloads'}: {workloads}",
                f"delete these first, or with it: `pin project delete {project} --workloads`",
            )
        return await super().delete(kind, names, removal)


def _same_members(kind: SimpleKind[Any], obj: Object, desired: DesiredResource) -> DesiredResource:
    """However the request says it. A whole list would undo what somebody else changes at the same time."""
    if kind.spec_of(desired.manifest).get("members") != stated_spec(obj).get("members"):
        message = f"members change one at a time: use {_MEMBER.replace(':str', '')}"
        raise problems.invalid(problems.FieldError("members", "the present members", message))
    return desired


def _project_writer(
    reads: NamedDependency[CacheReads],
    authorizer: NamedDependency[Authorizer],
    roles: NamedDependency[Roles],
    settings: NamedDependency[GatewaySettings],
) -> ProjectWriter:
    return ProjectWriter(reads, authorizer, roles, settings.limits.projects_per_user)


def _project_members(
    reads: NamedDependency[CacheReads], authorizer: NamedDependency[Authorizer], call: NamedDependency[Call]
) -> ProjectMembers:
    return ProjectMembers(reads, authorizer, call)


def _describe(verb: Verb, operation: str) -> dict[str, Any]:
    provide = Provide(_project_members, sync_to_thread=False)
    return {"opt": may("members", verb), "operation_id": operation, "tags": ["members"], "dependencies": {"members": provide}}


@get(_MEMBERS, **_describe("list", "listMembers"))
async def list_members(members: NamedDependency[ProjectMembers]) -> MemberList:
    """Everybody with a role in the project."""
    return MemberList(items=members.all())


@get(_MEMBER, **_describe("get", "getMember"))
async def get_member(name: FromPath[str], members: NamedDependency[ProjectMembers]) -> ProjectMember:
    return members.get(name)


@post(_MEMBERS, status_code=201, **_describe("create", "addMember"))
async def add_member(data: JSONBody[NewMember], members: NamedDependency[ProjectMembers]) -> ProjectMember:
    """A user, or a group as group:NAME. Adding the same member again is harmless."""
    return await members.add(ProjectMember(name=data.name, role=data.role), only_new=True)


@put(_MEMBER, **_describe("update", "setMember"))
async def set_member(
    name: FromPath[str], data: JSONBody[MemberRole], members: NamedDependency[ProjectMembers]
) -> ProjectMember:
    """Add a member, or give them another role."""
    return await members.add(ProjectMember(name=name, role=data.role), only_new=False)


@delete(_MEMBER, **_describe("delete", "removeMember"))
async def remove_member(name: FromPath[str], members: NamedDependency[ProjectMembers]) -> None:
    """Their rights in the project end at once, open streams included."""
    await members.remove(name)


ROUTES = (
    *object_handlers.routes(PROJECT, _project_writer),
    *(list_members, get_member, add_member, set_member, remove_member),
    *project_policy_handlers.ROUTES,
)

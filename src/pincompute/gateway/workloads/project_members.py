"""Changes the members of a project, one at a time. `access.object_permissions` judges who may give and take which role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pincompute.api.projects import Project, ProjectMember
from pincompute.gateway import problems
from pincompute.gateway.access import Authorizer, Roles
from pincompute.gateway.access.roles import OWNER
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call
from pincompute.gateway.model import PROJECT
from pincompute.gateway.model.document_validation import DesiredResource
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.model.simple_kind import stated_spec, users
from pincompute.gateway.problems import FieldError
from pincompute.gateway.workloads.object_writer import ObjectWriter, WriteOptions

LONGEST_NAME = 253
MOST = 500


class ProjectMembers:
    """The members of one project, changed by one caller."""

    def __init__(self, reads: CacheReads, authorizer: Authorizer, call: Call) -> None:
        self._reads = reads
        self._authorizer = authorizer
        self._call = call

    def all(self) -> tuple[ProjectMember, ...]:
        project: Project = self._reads.existing(PROJECT, "", self._call.project)
        return project.spec.members

    def get(self, name: str) -> ProjectMember:
        return self._find(self.all(), name)

    async def add(self, member: ProjectMember, *, only_new: bool) -> ProjectMember:
        """Adds a member or changes the role of one. Raises Problem."""
        if not 0 < len(member.name) <= LONGEST_NAME:
            expected = f"1 to {LONGEST_NAME} characters"
            raise problems.invalid(FieldError("name", expected, f"has {len(member.name)} characters, {expected} are expected"))
        await self._write(lambda present: self._with(present, member, only_new=only_new))
        return member

    async def remove(self, name: str) -> None:
        await self._write(lambda present: self._without(present, name))

    def _with(self, present: tuple[ProjectMember, ...], member: ProjectMember, *, only_new: bool) -> tuple[ProjectMember, ...]:
        before = next((each for each in present if each.name == member.name), None)
        if before is None and len(present) >= MOST:
            raise problems.conflict(f"a project has at most {MOST} members", "give a role to a group instead: group:NAME")
        if before is not None and only_new and before != member:
            raise problems.already_exists(f"member {member.name}")
        if before is None:
            return (*present, member)
        return tuple(member if each.name == member.name else each for each in present)

    def _without(self, present: tuple[ProjectMember, ...], name: str) -> tuple[ProjectMember, ...]:
        self._find(present, name)
        return tuple(each for each in present if each.name != name)

    def _find(self, present: tuple[ProjectMember, ...], name: str) -> ProjectMember:
        found = next((each for each in present if each.name == name), None)
        if found is None:
            raise problems.not_found(f"member {name} of project {self._call.project}")
        return found

    async def _write(self, change: Callable[[tuple[ProjectMember, ...]], tuple[ProjectMember, ...]]) -> None:
        def wanted(obj: Any) -> DesiredResource:
            members = [{"name": member.name, "role": member.role} for member in change(obj.spec.members)]
            metadata = {"name": obj.metadata.name, "labels": users(obj.metadata.labels)}
            notes = {"annotations": users(obj.metadata.annotations)}
            return DesiredResource({"metadata": {**metadata, **notes}, "spec": {**stated_spec(obj), "members": members}})

        author = WriteOptions(self._call)
        await ObjectWriter(PROJECT, self._reads, self._authorizer).change(wanted, "", self._call.project, author)


def with_an_owner(members: list[Data], creator: str, roles: Roles) -> list[Data]:
    """The members of a new project, including an owner. Raises Problem for a role that does not exist."""
    given = [member.get("role", "") for member in members]
    unknown = [
        FieldError(f"members[{index}].role", "a role of /v1/roles", f"there is no role {role}: choose one of /v1/roles")
        for index, role in enumerate(given)
        if role and not roles.has(role)
    ]
    if unknown:
        raise problems.invalid(*unknown)
    others = [member for member in members if member["name"] != creator]
    return members if OWNER in given else [{"name": creator, "role": OWNER}, *others]

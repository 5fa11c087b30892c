"""Says which permission each field of an object needs, beyond that of the route, and judges a change by the resulting object.

Every writer of the gateway calls `check` with the present spec and the spec that would result. So it does not matter how a
request says a change: in the simple form, below `advanced`, as a full resource, as a patch, or by a rollback.

A kind in the table lists all its fields. A field that the table does not list is for administrators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from pincompute.api.meta import Manifest
from pincompute.api.projects import ProjectMember
from pincompute.gateway import problems
from pincompute.gateway.access.authorization import Authorizer
from pincompute.gateway.access.roles import OWNER
from pincompute.gateway.call_context import Call, Operation

ADMINISTRATION = Operation("policies", "update")
"""Only platform roles allow it: no role inside a project does."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a spec that a call changes. `before` and `after` are JSON data, None where the field is not set."""

    call: Call
    project: str
    field: str
    before: Any
    after: Any
    creates: bool


FieldRule: TypeAlias = Callable[[Authorizer, FieldChange], None]
"""Raises Problem when the caller may not make the change."""


def by_route(_authorizer: Authorizer, _change: FieldChange) -> None:
    """The permission that the route asks for is enough."""


def by_administrator(authorizer: Authorizer, change: FieldChange) -> None:
    if not authorizer.decide(change.call.caller, ADMINISTRATION).allowed:
        raise problems.forbidden(
            f"{change.field}: {change.call.caller.principal} may not change it: only administrators do",
            f"ask an administrator to change it, or leave {change.field} as it is",
        )


def by_route_of_its_own(authorizer: Authorizer, change: FieldChange) -> None:
    """An administrator changes it by one route alone, so that the audit log has an operation of its own for it."""
    if change.call.operation.resource == ADMINISTRATION.resource:
        return
    by_administrator(authorizer, change)
    name = _ADMIN_COMMANDS[change.field]
    raise problems.forbidden(
        f"{change.field}: only its own request changes it, so that the audit log shows who did",
        f"use PUT /v1/admin/projects/{change.project}/{name}, or `pin admin {name}`",
    )


_ADMIN_COMMANDS = {"spec.podSecurity": "pod-security", "spec.limits": "limits"}


def by_members(authorizer: Authorizer, change: FieldChange) -> None:
    """Nobody gives or takes a role with more permissions than their own, and a project keeps an owner."""
    before, after = _roles(change.before), _roles(change.after)
    for name in (*before, *(name for name in after if name not in before)):
        if before.get(name) != after.get(name):
            _check_member(authorizer, change, name, before.get(name, ""), after.get(name, ""))
    lost = OWNER in before.values() and OWNER not in after.values()
    if lost and not authorizer.everywhere(change.call.caller, Operation("members", "update")):
        raise problems.conflict(
            f"{change.project} would have no owner left", "make somebody else an owner first, then repeat this"
        )


FIELDS: Mapping[str, Mapping[str, FieldRule]] = {
    "projects": {
        "description": by_route,
        "members": by_members,
        "network": by_route,  # the receiver allows a connection; private addresses are refused to everybody
        "podSecurity": by_route_of_its_own,
        "limits": by_route_of_its_own,
    },
}
"""The rule of each field of a spec, by the collection of its kind."""


def check(authorizer: Authorizer, call: Call, kind: str, project: str, before: Manifest | None, after: Manifest) -> None:
    """Judges the spec `after` that replaces `before`, both without defaults; `before` is None for a new object.

    Raises Problem.
    """
    rules = FIELDS.get(kind)
    if rules is None:
        return
    present = before or {}
    for field in dict.fromkeys((*present, *after)):
        if present.get(field) != after.get(field):
            change = FieldChange(call, project, f"spec.{field}", present.get(field), after.get(field), creates=before is None)
            rules.get(field, by_administrator)(authorizer, change)


def protected_fields(kind: str, spec: Manifest) -> Manifest:
    """The fields of a spec that need more than the route's permission: a replacement that does not state them keeps them."""
    rules = FIELDS.get(kind, {})
    return {name: part for name, part in spec.items() if rules and rules.get(name) is not by_route}


def _check_member(authorizer: Authorizer, change: FieldChange, name: str, before: str, after: str) -> None:
    caller = change.call.caller
    if change.creates and (name, after) == (caller.name, OWNER):
        return  # who creates a project owns it
    if not authorizer.may_change_role(caller, change.project, before, after, creates=change.creates):
        what = f"give {name} the role {after}" if after else f"take the role {before} from {name}"
        raise problems.forbidden(
            f"{change.field}: {caller.principal} may not {what}: nobody can grant more than they have",
            "give a role that you hold, or ask an owner of the project",
        )


def _roles(members: Any) -> dict[str, str]:
    return {member.name: member.role for member in msgspec.convert(members or (), tuple[ProjectMember, ...])}

"""Decides whether a caller may do something. It is evaluated for each request, and again during streams; the default is no.

A caller without any role in a project gets the same answer for it as for one that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from pincompute.api.projects import Project, ProjectMember
from pincompute.gateway.access.permissions import NONE, Permissions, permission_for
from pincompute.gateway.access.roles import BEYOND_TOKENS, OF_THE_REGION, OWNER, SELF, Roles
from pincompute.gateway.access.service_tokens import GROUPS_LIFETIME, ServiceToken, TokenScope, scope_permissions
from pincompute.gateway.call_context import Caller, Operation, Verb

GROUP = "group:"
"""Where a name may be a user's or a group's, a group's begins with this."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A denial unless `allowed`. `why` is for the audit record; `hidden`: answer as if the project did not exist.

    `remedy` is empty where only others can give the permission.
    """

    why: str
    allowed: bool = False
    hidden: bool = False
    remedy: str = ""


ALLOWED = Decision("", allowed=True)
REMEMBERED = 20_000  # callers in projects


@dataclass(frozen=True, slots=True)
class HeldPermissions:
    """The permissions of a caller in one place and the roles they come from. `inside` is a project, otherwise the region.

    `withheld` are those that the subject of a service token has and the token's scope takes away; `scope` says which it is.
    """

    permissions: Permissions
    roles: tuple[str, ...]
    inside: bool
    withheld: Permissions = NONE
    scope: str = ""


def evaluate(held: HeldPermissions, operation: Operation, larger: str = "") -> Decision:
    """Deny by default. `larger` is a role with which a service token would allow it."""
    if permission_for(operation) in held.permissions:
        return ALLOWED
    if held.inside and not held.permissions:
        return Decision("no role in this project", hidden=True)
    if permission_for(operation) in held.withheld:
        other = f"create a token with `--role {larger}`, or use" if larger else "use"
        return Decision(f"this token is limited to {held.scope}", remedy=f"{other} your own login instead of the token")
    if not held.roles:
        return Decision("you have no role that allows it")
    return Decision(f"your {'role is' if len(held.roles) == 1 else 'roles are'} {' and '.join(held.roles)}")


Members = tuple[ProjectMember, ...]
NOBODY: Members = ()


class _CachedPermissions(NamedTuple):
    """Permissions and what they were computed from. The uid counts because all projects without members share one tuple."""

    uid: str
    members: Members
    token: ServiceToken | None
    held: HeldPermissions


class Authorizer:
    """Every decision sees the latest change, so streams ask again.

    What a caller holds is cached together with the objects it was computed from, and computed again when one of them changes.
    """

    def __init__(
        self,
        roles: Roles,
        project: Callable[[str], Project | None],
        token: Callable[[str], ServiceToken | None],
        now: Callable[[], float],
    ) -> None:
        """`project` and `token` look up by name and id what is in force now; `now` is in seconds since the epoch."""
        self._roles = roles
        self._project = project
        self._token = token
        self._now = now
        self._indexed: dict[str, tuple[Members, dict[str, str]]] = {}
        self._cached: dict[tuple[Caller, str], _CachedPermissions] = {}

    def decide(self, caller: Caller, operation: Operation, project: str = "", name: str = "") -> Decision:
        """`name` is not looked at yet: rights are given on projects, so that one thing in it is as another."""
        del name
        refused = self._ended(caller)
        if refused is not None:
            return refused
        held = self.held_permissions(caller, project)
        decision = evaluate(held, operation)
        if decision.allowed:
            return decision
        if held.withheld and project:
            decision = evaluate(held, operation, self._roles.smallest(operation))
        if not self.groups_ended(caller):
            return decision
        why = f"{decision.why}; no login has confirmed the groups of {caller.name} for {GROUPS_LIFETIME.days} days"
        return replace(decision, why=why, remedy=f"log in once as {caller.name}")

    def groups_ended(self, caller: Caller) -> bool:
        """The groups of a service token's subject count no more, because nobody has confirmed them for too long."""
        return bool(caller.groups) and caller.groups_until <= self._now()

    def permitted(self, caller: Caller, operation: Operation, projects: Iterable[str]) -> frozenset[str]:
        """Returns those of the projects in which the caller may do this: what a list over all projects may hold."""
        if self._ended(caller) is not None:
            return frozenset()
        wanted = permission_for(operation)
        return frozenset(project for project in projects if wanted in self.held_permissions(caller, project).permissions)

    def everywhere(self, caller: Caller, operation: Operation) -> bool:
        """A platform role allows it in every project, also in those to come."""
        if self._ended(caller) is not None:
            return False
        _, held = self._roles.of_platform(names(self._present(caller)))
        scope = self._scope(caller)
        return permission_for(operation) in held and (
            scope is None or (scope.project == "*" and permission_for(operation) in self._of(scope))
        )

    def belongs(self, caller: Caller, project: str) -> bool:
        """The caller has some right in the project."""
        return bool(self.held_permissions(caller, project).permissions)

    def may_change_role(self, caller: Caller, project: str, before: str, after: str, *, creates: bool = False) -> bool:
        """Tells whether the caller may give a member another role, empty for none.

        Nobody gives or takes more permissions than their own. `creates`: the caller creates the project, and so owns it.
        """
        verb: Verb = "update" if before and after else "create" if after else "delete"
        wanted = self._roles.of_project(before) | self._roles.of_project(after) | {("members", verb)}
        held = self.held_permissions(caller, project).permissions | (self._owner_rights(caller, project) if creates else NONE)
        return (not after or self._roles.has(after)) and wanted <= held

    def _owner_rights(self, caller: Caller, project: str) -> Permissions:
        scope, owners = self._scope(caller), self._roles.of_project(OWNER)
        return owners if scope is None else owners & self._inside(scope, project)

    def bind(self, scope: TokenScope) -> TokenScope | None:
        """Returns the scope bound to the project that has its name now, so that no later one opens; None when there is none."""
        if scope.project == "*":
            return scope
        found = self._project(scope.project)
        return None if found is None else msgspec.structs.replace(scope, project_uid=found.metadata.uid)

    def excess(self, caller: Caller, scope: TokenScope) -> Permissions:
        """What a token of this scope would allow beyond what the caller may; empty when it may be made."""
        place = "" if scope.project == "*" else scope.project
        _, platform = self._roles.of_platform(names(self._present(caller)))
        wanted = self._of(scope)
        return wanted - (platform if not place else self.held_permissions(caller, place).permissions)

    def held_permissions(self, caller: Caller, project: str) -> HeldPermissions:
        """What the caller holds in a project, or in the region when it is empty."""
        caller = self._present(caller)
        found = self._project(project) if project else None
        uid, members = (found.metadata.uid, found.spec.members) if found is not None else ("", NOBODY)
        token = self._token(caller.token_id) if caller.kind == "service" else None
        known = self._cached.get((caller, project))
        if known is not None and known.uid == uid and known.members is members and known.token is token:
            return known.held
        held = self._compute(caller, project, members)
        if len(self._cached) >= REMEMBERED:
            self._cached.clear()
        self._cached[caller, project] = _CachedPermissions(uid, members, token, held)
        return held

    def _present(self, caller: Caller) -> Caller:
        """The caller without groups that have ended."""
        return replace(caller, groups=frozenset()) if self.groups_ended(caller) else caller

    def _compute(self, caller: Caller, project: str, members: Members) -> HeldPermissions:
        if caller.kind == "anonymous":
            return HeldPermissions(NONE, (), inside=bool(project))
        known = names(caller)
        platform, held = self._roles.of_platform(known)
        scope, everything = self._scope(caller), self._roles.universe.all
        if not project:
            limit = everything if scope is None else self._outside(scope)
            basic = SELF if caller.kind == "platform" else self._roles.everybody
            return _narrowed(held | basic, limit, platform, scope, inside=False)
        limit = everything if scope is None else NONE if self._is_former(caller, project) else self._inside(scope, project)
        roles = self._index(project, members)
        given = tuple(sorted({roles[name] for name in known if name in roles}))
        own = NONE.union(*map(self._roles.of_project, given))
        return _narrowed((held | own) - OF_THE_REGION, limit, (*platform, *given), scope, inside=True)

    def _ended(self, caller: Caller) -> Decision | None:
        """A credential that was good when the call came in may not be so any more; without one, nothing is disclosed."""
        if caller.kind == "anonymous":
            return Decision("the caller is not logged in")
        if caller.expires <= self._now():
            return Decision("the credential has expired")
        if caller.kind == "service" and self._token(caller.token_id) is None:
            return Decision("the service token is no longer valid")
        return None

    def _scope(self, caller: Caller) -> TokenScope | None:
        """Returns the scope that narrows a service token; one that is gone is narrowed to nothing. Other callers have none."""
        if caller.kind != "service":
            return None
        token = self._token(caller.token_id)
        return TokenScope(project="") if token is None else token.scope

    def _of(self, scope: TokenScope) -> Permissions:
        return scope_permissions(scope, self._roles) - BEYOND_TOKENS

    def _inside(self, scope: TokenScope, project: str) -> Permissions:
        return self._of(scope) if scope.project in ("*", project) else NONE

    def _is_former(self, caller: Caller, project: str) -> bool:
        """Returns whether the caller's token was made for a former project of this name: it opens nothing in a later one.

        For a token of an earlier version, which names no uid, the times decide.
        """
        token, found = self._token(caller.token_id), self._project(project)
        if token is None or found is None or token.scope.project != project:
            return False
        if token.scope.project_uid:
            return token.scope.project_uid != found.metadata.uid
        created = found.metadata.creation_timestamp
        return created is not None and token.created_at < created

    def _outside(self, scope: TokenScope) -> Permissions:
        """A token of one project still may ask who it is, and for lists, which then hold that project only."""
        if scope.project == "*":
            return self._of(scope) | SELF
        return (self._of(scope) & self._roles.lists) | SELF

    def _index(self, project: str, members: Members) -> dict[str, str]:
        """Roles by name, once for each state of the project, which may have hundreds of members."""
        known = self._indexed.get(project)
        if known is None or known[0] is not members:
            if len(self._indexed) >= REMEMBERED:
                self._indexed.clear()
            known = self._indexed[project] = (members, {member.name: member.role for member in members})
        return known[1]


def _narrowed(
    whole: Permissions, limit: Permissions, roles: tuple[str, ...], scope: TokenScope | None, *, inside: bool
) -> HeldPermissions:
    said = "" if scope is None else describe_scope(scope)
    return HeldPermissions(whole & limit, roles, inside, whole - limit, said)


def describe_scope(scope: TokenScope) -> str:
    """`viewer`, `viewer in project demo`, `apps:get and logs:get`."""
    what = scope.role or "the operations"
    what += f" {', '.join(scope.operations)}" if scope.operations else ""
    return what if scope.project == "*" else f"{what} in project {scope.project}"


def names(caller: Caller) -> frozenset[str]:
    """All names by which roles may be given to this caller."""
    return frozenset((caller.name, *(GROUP + group for group in caller.groups)))

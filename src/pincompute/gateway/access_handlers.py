"""Handles requests about the session, service tokens and roles.

Nobody creates a token with more permissions than their own. Callers see only their own tokens, administrators see all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from pincompute.api.meta import Struct, doc
from pincompute.gateway import problems
from pincompute.gateway.access import Authorizer, Roles, ServiceToken, ServiceTokens, TokenScope
from pincompute.gateway.access.permissions import UnknownPermission
from pincompute.gateway.access.roles import BEYOND_TOKENS
from pincompute.gateway.access.service_tokens import LONGEST, NAME_PATTERN, scope_permissions
from pincompute.gateway.call_context import Call, Caller, Operation, RecordedChange, may
from pincompute.gateway.problems import FieldError

LONGEST_NAME = 63
MOST_OPERATIONS = 100
_RECORDED = ("id", "name", "project", "role", "operations", "expires")  # of a token that is made, for the audit record
EVERY_TOKEN = Operation("tokens", "get")  # in the region: what an administrator may


class Session(Struct):
    """Who calls, as the gateway sees it."""

    name: Annotated[str, doc("Who acts: a user's name, or a service token such as `ci-deploy, made by dev`.")]
    kind: Annotated[str, doc("user, service or platform.")]
    subject: Annotated[str, doc("Whose permissions these are: the name by which projects give roles.")] = ""
    display_name: Annotated[str, doc("How the issuer says the user likes to be called; it gives no rights.")] = ""
    groups: Annotated[tuple[str, ...], doc("Groups that the issuer named.")] = ()
    roles: Annotated[tuple[str, ...], doc("Platform roles.")] = ()
    expires: Annotated[datetime | None, doc("When the credential ends.")] = None
    scope: Annotated[str, doc("What the service token is limited to, such as viewer in project demo; empty for a login.")] = ""


class NewToken(Struct):
    """What a service token shall be allowed."""

    name: Annotated[
        str, doc("What it is called, such as ci-deploy.", minLength=1, maxLength=LONGEST_NAME, pattern=f"^{NAME_PATTERN}$")
    ]
    project: Annotated[str, doc("The project it is for; * for all.", minLength=1, maxLength=63)]
    role: Annotated[str, doc("At most what this role may; together with operations what both allow.")] = ""
    operations: Annotated[
        tuple[str, ...], doc("Such as apps:get or logs:*; empty for all of the role.", maxItems=MOST_OPERATIONS)
    ] = ()
    days: Annotated[int, doc("Days until it ends.", minimum=1, maximum=LONGEST.days)] = 30


class Token(Struct):
    """A service token; the secret is shown once, when it is made."""

    id: Annotated[str, doc("Names the token, also to revoke it.")]
    name: Annotated[str, doc("What it is for.")]
    subject: Annotated[str, doc("In whose name it acts.")]
    project: Annotated[str, doc("The project it is for; * for all.")]
    created: Annotated[datetime, doc("When it was made.")]
    expires: Annotated[datetime, doc("When it ends.")]
    role: Annotated[str, doc("At most what this role may.")] = ""
    operations: Annotated[tuple[str, ...], doc("At most these operations.")] = ()
    revoked: Annotated[datetime | None, doc("When it was revoked.")] = None
    secret: Annotated[str, doc("To be sent as a bearer token; never shown again.")] = ""


class TokenPage(Struct):
    items: Annotated[tuple[Token, ...], doc("Newest first.")]


class Role(Struct):
    name: Annotated[str, doc("As a project's member carries it.")]
    operations: Annotated[tuple[str, ...], doc("What it allows, such as apps:get.")]


class RolePage(Struct):
    items: Annotated[tuple[Role, ...], doc("By name.")]


@get("/v1/session", opt=may("session", "get"), operation_id="getSession", tags=["session"])
async def get_session(call: NamedDependency[Call], authorizer: NamedDependency[Authorizer]) -> Session:
    """Who am I?"""
    caller = call.caller
    expires = None if math.isinf(caller.expires) else datetime.fromtimestamp(caller.expires, UTC)
    held = authorizer.held_permissions(caller, "")
    return Session(
        name=caller.principal,
        kind=caller.kind,
        subject=caller.name,
        display_name=caller.display,
        groups=() if authorizer.groups_ended(caller) else tuple(sorted(caller.groups)),
        roles=held.roles,
        expires=expires,
        scope=held.scope,
    )


@get("/v1/tokens", opt=may("tokens", "list"), operation_id="listTokens", tags=["tokens"])
async def list_tokens(
    call: NamedDependency[Call], tokens: NamedDependency[ServiceTokens], authorizer: NamedDependency[Authorizer]
) -> TokenPage:
    """One's own, or all for administrators."""
    return TokenPage(items=tuple(_token(t) for t in tokens.all() if _sees(t, call.caller, authorizer)))


@post("/v1/tokens", opt=may("tokens", "create"), operation_id="createToken", tags=["tokens"])
async def create_token(
    data: JSONBody[NewToken],
    call: NamedDependency[Call],
    tokens: NamedDependency[ServiceTokens],
    authorizer: NamedDependency[Authorizer],
    roles: NamedDependency[Roles],
) -> Token:
    """The answer carries the secret; nobody sees it again."""
    _check(data, roles)
    scope = _scope(data)
    if authorizer.excess(call.caller, scope):
        raise problems.forbidden(
            f"{call.caller.principal} may not do all that this token could in project {data.project}",
            "name a lesser role, or fewer operations",
        )
    bound = authorizer.bind(scope)
    if bound is None:
        raise problems.not_found(f"project {data.project}")
    secret, made = await tokens.create(data.name, call.caller, call.caller.name, bound, timedelta(days=data.days))
    token = _token(made, secret)
    given = {field: value for field in _RECORDED if (value := getattr(token, field))}
    call.changes.extend(RecordedChange(field, after=value) for field, value in given.items())
    return token


@delete("/v1/tokens/{name:str}", opt=may("tokens", "delete"), operation_id="deleteToken", tags=["tokens"], status_code=204)
async def delete_token(
    name: FromPath[str],
    call: NamedDependency[Call],
    tokens: NamedDependency[ServiceTokens],
    authorizer: NamedDependency[Authorizer],
) -> None:
    """Revoke it: in force everywhere within seconds. Doing it again is harmless."""
    found = next((t for t in tokens.all() if t.id == name and _sees(t, call.caller, authorizer)), None)
    if found is None or not await tokens.revoke(name):
        raise problems.not_found(f"service token {name}")


@get("/v1/roles", opt=may("roles", "list"), operation_id="listRoles", tags=["roles"])
async def list_roles(roles: NamedDependency[Roles]) -> RolePage:
    """Every role that a member of a project may carry."""
    return RolePage(items=tuple(Role(name=name, operations=allowed) for name, allowed in sorted(roles.described().items())))


def _check(data: NewToken, roles: Roles) -> None:
    """Raises Problem for what no token can be."""
    if len(data.name) > LONGEST_NAME or not re.fullmatch(NAME_PATTERN, data.name):
        expected = f"1 to {LONGEST_NAME} letters, digits, spaces and . _ / @ -"
        raise problems.invalid(FieldError("name", expected, f"{data.name[:80]!r} is no name of a token: use {expected}"))
    if not 1 <= data.days <= LONGEST.days:
        raise problems.invalid(FieldError("days", f"a number from 1 to {LONGEST.days}", f"is {data.days}"))
    _check_scope(data, roles)


def _check_scope(data: NewToken, roles: Roles) -> None:
    if len(data.operations) > MOST_OPERATIONS:
        message = f"has {len(data.operations)} entries: name a role instead"
        raise problems.invalid(FieldError("operations", f"at most {MOST_OPERATIONS}", message))
    if data.role and not roles.has(data.role):
        known = ", ".join(sorted(roles.described()))
        raise problems.invalid(FieldError("role", f"one of {known}", f"there is no role {data.role!r}"))
    if not data.role and not data.operations:
        raise problems.invalid(FieldError("role", "a role, or operations", "the token would allow nothing"))
    try:
        allowed = scope_permissions(_scope(data), roles) - BEYOND_TOKENS
    except UnknownPermission as unknown:
        raise problems.invalid(FieldError("operations", "operations such as apps:get", str(unknown))) from None
    if not allowed:
        message = "no token may do these, or the role allows none of them: the token would allow nothing"
        raise problems.invalid(FieldError("operations", "operations that the role allows", message))


def _scope(data: NewToken) -> TokenScope:
    return TokenScope(project=data.project, role=data.role, operations=data.operations)


def _sees(token: ServiceToken, caller: Caller, authorizer: Authorizer) -> bool:
    return token.created_by == caller.name or authorizer.everywhere(caller, EVERY_TOKEN)


def _token(token: ServiceToken, secret: str = "") -> Token:
    return Token(
        id=token.id,
        name=token.name,
        subject=token.subject,
        project=token.scope.project,
        role=token.scope.role,
        operations=token.scope.operations,
        created=token.created_at,
        expires=token.expires_at,
        revoked=token.revoked_at,
        secret=secret,
    )


ROUTES: Sequence[ControllerRouterHandler] = (
    get_session,
    list_tokens,
    create_token,
    delete_token,
    list_roles,
)

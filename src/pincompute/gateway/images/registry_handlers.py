"""Issues tokens for the region's image registry, by the token protocol that docker and buildah speak.

A token lives five minutes and names every repository and action that it allows. It never allows more than its caller may do
at that moment: pull and push in the caller's projects by role, and pull of the platform's images. No token allows to delete. A
project whose images take all of its limit gets no token to push.

Source: https://distribution.github.io/distribution/spec/auth/token
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any, cast

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from pincompute.api.image_ownership import project_of
from pincompute.domain import registry_access
from pincompute.domain.registry_access import DELETE, PUSH, Access, Denial, InvalidScope
from pincompute.gateway import problems
from pincompute.gateway.access import Authorizer
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call, Operation, Verb, may
from pincompute.gateway.images import image_limit
from pincompute.gateway.images.registry_tokens import RegistryToken, RegistryTokens
from pincompute.gateway.images.repository_ownership import RepositoryOwnership
from pincompute.gateway.images.stored_bytes import StoredBytes
from pincompute.gateway.middleware import CALL
from pincompute.gateway.problems import FieldError, Problem
from pincompute.gateway.request_parameters import by_hand

_NO_DELETION = "the gateway deletes images, after it has asked what uses them: `pin image delete`"
_UNUSED = ("account", "client_id", "offline_token")  # clients send them; the caller is who the credential says


@get(
    "/v1/registry/token",
    opt=may("images", "open", audited=True, basic=True) | by_hand(*_UNUSED),
    operation_id="createRegistryToken",
    tags=["registry"],
)
async def create_registry_token(
    call: NamedDependency[Call],
    authorizer: NamedDependency[Authorizer],
    registry: NamedDependency[RegistryTokens],
    ownership: NamedDependency[RepositoryOwnership],
    reads: NamedDependency[CacheReads],
    stored: NamedDependency[StoredBytes],
    request: Request[Any, Any, Any],
    scopes: Annotated[
        list[str] | None, QueryParameter(name="scope", description="What it shall allow: repository:PROJECT/NAME:pull,push.")
    ] = None,
    service: Annotated[str, QueryParameter(description=f"The registry's name: {registry_access.SERVICE}.")] = "",
) -> Response[RegistryToken]:
    """A token for the image registry, for five minutes. A login or service token is the password, with any user name."""
    if service not in ("", registry_access.SERVICE):
        expected = registry_access.SERVICE
        raise problems.invalid(FieldError("service", expected, f"must be {expected}, which is the registry of this region"))
    asked = _asked(scopes or ())
    _note(request, call, asked)
    granted, denied = registry_access.decide(asked, _projects(call, authorizer))
    if refused := registry_access.refused(granted, denied):
        raise _refusal(call, refused)
    unusable = await ownership.unusable(access.repository for access in granted)
    granted, held = registry_access.decide(granted, lambda project, _: unusable.get(project, ""))
    if waiting := registry_access.refused(granted, held):
        raise _unavailable(waiting)
    await image_limit.judge(granted, reads.project_limits, stored)
    await ownership.note_pushes(access.repository for access in granted if access.action == PUSH)
    _note(request, call, granted)
    return Response(registry.issue(call.caller.name, granted), headers={"Cache-Control": "no-store"})


def _asked(scopes: Sequence[str]) -> tuple[Access, ...]:
    try:
        return registry_access.parse(scopes)
    except InvalidScope as invalid:
        raise problems.invalid(FieldError("scope", "such as repository:shop/web:pull,push", str(invalid))) from None


def _note(request: Request[Any, Any, Any], call: Call, accesses: Sequence[Access]) -> None:
    """Notes for the audit record what was asked for, and then what is granted."""
    named = " ".join(f"{action}:{repository}" for repository, action in accesses)
    projects = {project_of(repository) for repository, _ in accesses}
    project = projects.pop() if len(projects) == 1 else ""
    request.scope[CALL] = dataclasses.replace(call, project=project, name=named)  # type: ignore[literal-required]


def _projects(call: Call, authorizer: Authorizer) -> Callable[[str, str], str]:
    def denial(project: str, action: str) -> str:
        decision = authorizer.decide(call.caller, Operation("images", cast("Verb", action)), project)
        if decision.allowed:
            return _NO_DELETION if action == DELETE else ""
        return f"there is no project {project}, or you may not see it" if decision.hidden else decision.why

    return denial


def _refusal(call: Call, denied: Sequence[Denial]) -> Problem:
    errors = tuple(
        FieldError("scope", "what you may do", f"{call.caller.principal} may not {action} {repository}: {why}")
        for (repository, action), why in denied
    )
    detail = "; ".join(error.message for error in errors)
    if any(project_of(repository) for (repository, _), _ in denied):
        return Problem("forbidden", detail, "ask an owner of the project for a role that allows it", errors=errors)
    return Problem("forbidden", detail, "push to a repository of your project, PROJECT/NAME", errors=errors)


def _unavailable(held: Sequence[Denial]) -> Problem:
    """Clients of registries look for the sentence in the errors."""
    reasons = tuple(dict.fromkeys(denial.why for denial in held))
    found = problems.unavailable("; ".join(reasons), 2.0)
    found.errors = tuple(FieldError("scope", "a project without former images", why) for why in reasons)
    return found


ROUTES: Sequence[ControllerRouterHandler] = (create_registry_token,)

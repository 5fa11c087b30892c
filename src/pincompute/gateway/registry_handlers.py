"""The handler that issues tokens for the region's image registry, by the token protocol that docker and buildah speak.

A token lives five minutes and names every repository and action that it allows. It never allows more than its caller may do
at that moment: pull and push in the caller's projects by role, and pull of the platform's images.

Source: https://distribution.github.io/distribution/spec/auth/token
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from pincompute.api.image_ownership import project_of
from pincompute.api.meta import doc
from pincompute.domain import registry_access
from pincompute.domain.registry_access import Access, Denial, InvalidScope
from pincompute.gateway import problems
from pincompute.gateway.access import Authorizer
from pincompute.gateway.call_context import Call, Operation, Verb, may
from pincompute.gateway.middleware import CALL
from pincompute.gateway.problems import FieldError, Problem
from pincompute.gateway.request_parameters import by_hand
from pincompute.gateway.settings import RegistrySettings, SettingsError

_UNUSED = ("account", "client_id", "offline_token")  # clients send them; the caller is who the credential says


class RegistryToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token for the region's image registry. Its names are those of the registry's token protocol."""

    token: Annotated[str, doc("To be sent to the registry as a bearer token.")]
    access_token: Annotated[str, doc("The same token, for clients that look for it here.")]
    expires_in: Annotated[int, doc("Seconds until it ends.")]
    issued_at: Annotated[datetime, doc("When it was issued.")]


class RegistryTokens:
    """Signs tokens with the region's key for them."""

    def __init__(self, settings: RegistrySettings, now: Callable[[], float]) -> None:
        """`now` is in seconds since the epoch. Raises SettingsError for a key that cannot be used."""
        self._key = _load(settings.key) if settings.key else None
        self._now = now

    def issue(self, subject: str, granted: Sequence[Access]) -> RegistryToken:
        if self._key is None:
            raise problems.wrong_state(
                "this region has no image registry of its own", "use the registry that your administrators name"
            )
        now = int(self._now())
        claims = registry_access.claims(subject, granted, now, secrets.token_hex(16))
        signed = jwt.encode({"alg": registry_access.ALGORITHM, "kid": self._key.thumbprint()}, claims, self._key)
        issued = datetime.fromtimestamp(now, UTC)
        return RegistryToken(token=signed, access_token=signed, expires_in=registry_access.LIFETIME, issued_at=issued)


def _load(file: str) -> ECKey:
    try:
        return ECKey.import_key(Path(file).read_text("utf-8"))
    except (OSError, ValueError, JoseError) as problem:
        raise SettingsError(f"registry.key: {file} holds no private key that can be used: {problem}") from None


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
    _note(request, call, granted)
    return Response(registry.issue(call.caller.name, granted), headers={"Cache-Control": "no-store"})


def _asked(scopes: Sequence[str]) -> tuple[Access, ...]:
    try:
        return registry_access.parse(scopes)
    except InvalidScope as invalid:
        raise problems.invalid(FieldError("scope", "such as repository:shop/web:pull,push", str(invalid))) from None


def _note(request: Request[Any, Any, Any], call: Call, accesses: Sequence[Access]) -> None:
    """For the audit record: what was asked for, and then what is granted."""
    named = " ".join(f"{action}:{repository}" for repository, action in accesses)
    projects = {project_of(repository) for repository, _ in accesses}
    project = projects.pop() if len(projects) == 1 else ""
    request.scope[CALL] = dataclasses.replace(call, project=project, name=named)  # type: ignore[literal-required]


def _projects(call: Call, authorizer: Authorizer) -> Callable[[str, str], str]:
    def denial(project: str, action: str) -> str:
        decision = authorizer.decide(call.caller, Operation("images", cast("Verb", action)), project)
        if decision.allowed:
            return ""
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


ROUTES: Sequence[ControllerRouterHandler] = (create_registry_token,)

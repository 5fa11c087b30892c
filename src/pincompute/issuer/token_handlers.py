"""What programs ask: where things are, which keys, tokens for codes, the start of a device's login, the end of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from litestar import Response, get, post

from pincompute.issuer import html_forms
from pincompute.issuer.authorization_grants import DEVICE_LIFE, INTERVAL
from pincompute.issuer.html_forms import IssuerRequest
from pincompute.issuer.issuer_service import IssuerDependency, IssuerService
from pincompute.issuer.login_handlers import ACTIVATE, AUTHORIZE
from pincompute.issuer.oauth_errors import OAuthError
from pincompute.issuer.token_signing import CLIENT

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SCOPES = ("openid", "profile", "groups", "offline_access")
FRESH = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""On every answer that holds a token (RFC 6749, 5.1)."""


@get("/.well-known/openid-configuration")
async def discovery(service: IssuerDependency) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0, and the endpoints of RFC 7009 and RFC 8628."""
    url = service.url
    return {
        "issuer": url,
        "authorization_endpoint": f"{url}{AUTHORIZE}",
        "token_endpoint": f"{url}/token",
        "device_authorization_endpoint": f"{url}/device",
        "revocation_endpoint": f"{url}/revoke",
        "userinfo_endpoint": f"{url}/userinfo",
        "jwks_uri": f"{url}/keys",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [*GRANTS],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": service.signer.algorithms,
        "scopes_supported": list(SCOPES),
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "preferred_username", "groups"],
        "authorization_response_iss_parameter_supported": True,
    }


@get("/keys", media_type="application/jwk-set+json")
async def keys(service: IssuerDependency) -> Response[bytes]:
    return Response(service.signer.published(), headers={"Cache-Control": "max-age=300"})


@post("/token", status_code=200)
async def token(request: IssuerRequest, service: IssuerDependency) -> Response[dict[str, Any]]:
    form = await html_forms.fields(request)
    grant = GRANTS.get(form.get("grant_type", ""))
    if grant is None:
        raise OAuthError("unsupported_grant_type", f"grant_type must be one of {', '.join(GRANTS)}")
    _client(form)
    return Response(grant(service, form), headers=FRESH)


@post("/device", status_code=200)
async def device(request: IssuerRequest, service: IssuerDependency) -> Response[dict[str, Any]]:
    """RFC 8628, 3.1."""
    form = await html_forms.fields(request)
    _client(form)
    started = service.devices.start(form.get("scope", ""), service.now())
    where = f"{service.url}{ACTIVATE}"
    answer = {
        "device_code": started.secret,
        "user_code": started.code,
        "verification_uri": where,
        "verification_uri_complete": f"{where}?user_code={started.code}",
        "expires_in": int(DEVICE_LIFE),
        "interval": int(INTERVAL),
    }
    return Response(answer, headers=FRESH)


@post("/revoke", status_code=200)
async def revoke(request: IssuerRequest, service: IssuerDependency) -> Response[None]:
    """Ends the login of a refresh token (RFC 7009)."""
    form = await html_forms.fields(request)
    _client(form)
    service.sessions.revoke(_wanted(form, "token"))
    return Response(None, headers=FRESH)


@get("/userinfo")
async def userinfo(request: IssuerRequest, service: IssuerDependency) -> Response[dict[str, Any]]:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    try:
        claims = service.signer.verify(given.strip(), service.now()) if scheme.lower() == "bearer" else {}
    except ValueError:
        claims = {}
    user = service.users.get(str(claims.get("sub", "")))
    if user is None:
        raise OAuthError("invalid_token", "an access token of a user is wanted, as `Authorization: Bearer TOKEN`", 401)
    answer = {"sub": user.name, "preferred_username": user.name, "groups": list(user.groups)}
    return Response(answer, headers=FRESH)


@get("/healthz", media_type="text/plain")
async def healthz() -> str:
    return "ok\n"


def _of_code(service: IssuerService, form: Mapping[str, str]) -> dict[str, object]:
    code, redirect, verifier = (_wanted(form, name) for name in ("code", "redirect_uri", "code_verifier"))
    consent = service.codes.redeem(code, redirect, verifier, service.now())
    return service.tokens(consent, service.sessions.open(consent, service.now()))


def _of_device(service: IssuerService, form: Mapping[str, str]) -> dict[str, object]:
    consent = service.devices.poll(_wanted(form, "device_code"), service.now())
    return service.tokens(consent, service.sessions.open(consent, service.now()))


def _of_refresh(service: IssuerService, form: Mapping[str, str]) -> dict[str, object]:
    consent, following = service.sessions.renew(_wanted(form, "refresh_token"), service.now())
    return service.tokens(consent, following)


GRANTS: Mapping[str, Callable[[IssuerService, Mapping[str, str]], dict[str, object]]] = {
    "authorization_code": _of_code,
    "refresh_token": _of_refresh,
    DEVICE_GRANT: _of_device,
}


def _client(form: Mapping[str, str]) -> None:
    if form.get("client_id") != CLIENT:
        raise OAuthError("invalid_client", f"client_id must be {CLIENT}", 401)


def _wanted(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise OAuthError("invalid_request", f"{name} is missing")
    return value


ROUTES = (discovery, keys, token, device, revoke, userinfo, healthz)

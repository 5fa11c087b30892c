"""The issuer's endpoints: login pages for people, and OAuth 2.0 and OpenID Connect for programs.

The issuer has no session of its own. Name and password go with the request they are for, so a page of somebody else can never
act for a user who logged in before. Litestar's CSRF middleware checks that a form comes from one of our pages.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from litestar import Litestar, Request, Response, get, post
from litestar.config.csrf import CSRFConfig
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.response import Redirect
from litestar.template.base import csrf_token

from pincompute.issuer import login_pages
from pincompute.issuer.authorization_grants import (
    CHALLENGE,
    DEVICE_LIFE,
    INTERVAL,
    AuthorizationCodes,
    DeviceGrants,
    OAuthError,
    RefreshTokens,
)
from pincompute.issuer.issuer_folder import IssuerError
from pincompute.issuer.token_signing import CLIENT, LIFETIME, Consent, TokenSigner
from pincompute.issuer.users import LoginFailed, Users
from pincompute.kube.clock import Clock

log = logging.getLogger(__name__)

AUTHORIZE = "/authorize"
ACTIVATE = "/activate"
REFRESH_GRANT = "refresh_token"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
GRANTS = ("authorization_code", REFRESH_GRANT, DEVICE_GRANT)
_PKCE = ("code_challenge", "code_challenge_method")
PARAMETERS = ("response_type", "client_id", "redirect_uri", "scope", "state", "nonce", *_PKCE)
"""Of an authorization request."""
LOOPBACK = ("127.0.0.1", "localhost")
LONGEST = 2048  # characters of a parameter
LARGEST_FORM = 64 * 1024  # bytes
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""On every answer that holds a token (RFC 6749, 5.1)."""
PROGRAM = {"exclude_from_csrf": True}
"""A route's `opt`: programs send no cookie."""

IssuerRequest = Request[Any, Any, Any]


class IssuerService:
    """What the issuer holds while it runs."""

    def __init__(self, folder: Path, url: str, clock: Clock) -> None:
        """Makes what is missing in the folder. Raises IssuerError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.url = url
        self.clock = clock
        self.users = Users(folder, clock)
        self.signer = TokenSigner(folder, url)
        self.refresh_tokens = RefreshTokens(folder)
        self.codes = AuthorizationCodes()
        self.devices = DeviceGrants()

    def now(self) -> float:
        return self.clock.wall().timestamp()

    def tokens(self, consent: Consent, refresh: str) -> Response[dict[str, Any]]:
        """The answer of the token endpoint. Raises OAuthError when the user is gone or has another password."""
        user = self.users.get(consent.user)
        if user is None:
            self.refresh_tokens.revoke_user(consent.user)
            raise OAuthError("invalid_grant", f"there is no user {consent.user} any more")
        if user.credential != consent.credential:
            self.refresh_tokens.revoke(refresh)
            raise OAuthError("invalid_grant", "this login has ended, as it does when the password is changed; log in again")
        now = self.now()
        answer = {
            "access_token": self.signer.access_token(user, consent, now),
            "id_token": self.signer.id_token(user, consent, now),
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": int(LIFETIME),
            "scope": consent.scope,
        }
        return Response(answer, headers=NO_STORE)


Issuer = NamedDependency[IssuerService]
"""How a handler asks for it, by the name `issuer`."""


@get(AUTHORIZE)
async def authorize(request: IssuerRequest, issuer: Issuer) -> Response[str]:
    asked = _parameters(_single(request.query_params.multi_items()))
    redirect = _redirect(asked)
    try:
        _check(asked)
    except OAuthError as error:
        return _back(issuer, redirect, {"error": error.code, "error_description": error.description}, asked)
    return login_pages.login(AUTHORIZE, _hidden(request, asked), redirect=redirect)


@post(AUTHORIZE)
async def log_in(request: IssuerRequest, issuer: Issuer) -> Response[str]:
    form = await _form(request)
    asked = _parameters(form)
    redirect = _redirect(asked)
    _check(asked)
    name = form.get("username", "")
    try:
        user = await issuer.users.login(name, form.get("password", ""), _source(request))
    except LoginFailed as failed:
        return login_pages.login(AUTHORIZE, _hidden(request, asked), name, str(failed), redirect)
    now = issuer.now()
    consent = Consent(user.name, asked.get("scope", ""), asked.get("nonce", ""), now, user.credential)
    return _back(issuer, redirect, {"code": issuer.codes.issue(consent, redirect, asked["code_challenge"], now)}, asked)


@get(ACTIVATE)
async def activate(request: IssuerRequest, issuer: Issuer) -> Response[str]:
    code = _single(request.query_params.multi_items()).get("user_code", "")
    if not code:
        return login_pages.enter_code(ACTIVATE)
    device = issuer.devices.waiting(code, issuer.now())
    if device is None:
        return login_pages.enter_code(ACTIVATE, "No device waits with this code. Look at it again.")
    return login_pages.confirm_device(ACTIVATE, _hidden(request, {"user_code": device.code}), device.code)


@post(ACTIVATE)
async def connect_device(request: IssuerRequest, issuer: Issuer) -> Response[str]:
    form = await _form(request)
    device = issuer.devices.waiting(form.get("user_code", ""), issuer.now())
    if device is None:
        return login_pages.enter_code(ACTIVATE, "The code has expired or was used. Start again.")
    if form.get("answer") != "allow":
        device.answer = "denied"
        return login_pages.message("Refused", "The device was not connected. You can close this page.")
    name = form.get("username", "")
    try:
        user = await issuer.users.login(name, form.get("password", ""), _source(request))
    except LoginFailed as failed:
        hidden = _hidden(request, {"user_code": device.code})
        return login_pages.confirm_device(ACTIVATE, hidden, device.code, name, str(failed))
    device.answer = Consent(user.name, device.scope, "", issuer.now(), user.credential)
    return login_pages.message("Connected", "The device is logged in as you. You can close this page.")


@get("/.well-known/openid-configuration")
async def discovery(issuer: Issuer) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0, with the endpoints of RFC 7009 and RFC 8628."""
    url = issuer.url
    return {
        "issuer": url,
        "authorization_endpoint": f"{url}{AUTHORIZE}",
        "token_endpoint": f"{url}/token",
        "device_authorization_endpoint": f"{url}/device",
        "revocation_endpoint": f"{url}/revoke",
        "jwks_uri": f"{url}/keys",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANTS),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [issuer.signer.algorithm],
        "scopes_supported": ["openid", "profile", "groups", "offline_access"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "preferred_username", "groups"],
        "authorization_response_iss_parameter_supported": True,
    }


@get("/keys", media_type="application/jwk-set+json")
async def keys(issuer: Issuer) -> Response[bytes]:
    return Response(issuer.signer.published(), headers={"Cache-Control": "max-age=300"})


@post("/token", status_code=200, opt=PROGRAM)
async def token(request: IssuerRequest, issuer: Issuer) -> Response[dict[str, Any]]:
    form = await _form(request)
    grant, now = form.get("grant_type", ""), issuer.now()
    if grant not in GRANTS:
        raise OAuthError("unsupported_grant_type", f"grant_type must be one of {', '.join(GRANTS)}")
    _check_client(form)
    if grant == REFRESH_GRANT:
        consent, refresh = issuer.refresh_tokens.renew(_wanted(form, "refresh_token"), now)
        return issuer.tokens(consent, refresh)
    if grant == DEVICE_GRANT:
        consent = issuer.devices.poll(_wanted(form, "device_code"), now)
    else:
        code, redirect, verifier = (_wanted(form, name) for name in ("code", "redirect_uri", "code_verifier"))
        consent = issuer.codes.redeem(code, redirect, verifier, now)
    return issuer.tokens(consent, issuer.refresh_tokens.open(consent, now))


@post("/device", status_code=200, opt=PROGRAM)
async def device_authorization(request: IssuerRequest, issuer: Issuer) -> Response[dict[str, Any]]:
    """RFC 8628, 3.1."""
    form = await _form(request)
    _check_client(form)
    started = issuer.devices.start(form.get("scope", ""), _source(request), issuer.now())
    where = f"{issuer.url}{ACTIVATE}"
    answer = {
        "device_code": started.secret,
        "user_code": started.code,
        "verification_uri": where,
        "verification_uri_complete": f"{where}?user_code={started.code}",
        "expires_in": int(DEVICE_LIFE),
        "interval": int(INTERVAL),
    }
    return Response(answer, headers=NO_STORE)


@post("/revoke", status_code=200, opt=PROGRAM)
async def revoke(request: IssuerRequest, issuer: Issuer) -> Response[None]:
    """Ends the login of a refresh token (RFC 7009)."""
    form = await _form(request)
    _check_client(form)
    issuer.refresh_tokens.revoke(_wanted(form, "token"))
    return Response(None, headers=NO_STORE)


@get("/healthz", media_type="text/plain")
async def healthz() -> str:
    return "ok\n"


def build(service: IssuerService) -> Litestar:
    return Litestar(
        route_handlers=[
            *(authorize, log_in, activate, connect_device),
            *(discovery, keys, token, device_authorization, revoke, healthz),
        ],
        dependencies={"issuer": Provide(lambda: service, sync_to_thread=False)},
        exception_handlers={OAuthError: _refused, HTTPException: _http, Exception: _failed},
        csrf_config=CSRFConfig(
            secret=service.signer.form_secret,
            cookie_name="pincompute-form",
            cookie_secure=service.url.startswith("https:"),
            cookie_httponly=True,
        ),
        request_max_body_size=LARGEST_FORM,
        openapi_config=None,
        logging_config=None,
    )


def _refused(request: IssuerRequest, error: OAuthError) -> Response[Any]:
    """As a page for people, as JSON for programs."""
    if request.url.path in (AUTHORIZE, ACTIVATE):
        return login_pages.message("This does not work", error.description, error.status)
    challenge = {"WWW-Authenticate": f'Bearer error="{error.code}"'} if error.status == 401 else {}
    answer = {"error": error.code, "error_description": error.description}
    return Response(answer, status_code=error.status, headers=NO_STORE | challenge)


def _http(request: IssuerRequest, error: HTTPException) -> Response[Any]:
    forged = isinstance(error, PermissionDeniedException)
    detail = "the form is too old, or cookies are off: go back and load the page again" if forged else error.detail
    return _refused(request, OAuthError("invalid_request", detail, error.status_code))


def _failed(request: IssuerRequest, error: Exception) -> Response[Any]:
    known = str(error) if isinstance(error, IssuerError) else ""
    log.error("request failed", exc_info=None if known else error, extra={"path": request.url.path, "problem": known})
    return _refused(request, OAuthError("server_error", "the issuer failed; its log says why", 500))


async def _form(request: IssuerRequest) -> dict[str, str]:
    return _single((await request.form()).multi_items())


def _single(items: Any) -> dict[str, str]:
    """Raises OAuthError for a field that is there twice, or is a file (RFC 6749, 3.2)."""
    found: dict[str, str] = {}
    for name, value in items:
        if name in found or not isinstance(value, str):
            raise OAuthError("invalid_request", f"{name} must be there once, as text")
        found[name] = value
    return found


def _hidden(request: IssuerRequest, fields: Mapping[str, str]) -> dict[str, str]:
    """Fields of a form, with the value by which the CSRF middleware knows it."""
    return {**fields, "_csrf_token": csrf_token({"request": request})}


def _parameters(given: Mapping[str, str]) -> dict[str, str]:
    found = {name: given[name] for name in PARAMETERS if name in given}
    for name, value in found.items():
        if len(value) > LONGEST:
            raise OAuthError("invalid_request", f"{name} has more than {LONGEST} characters")
    return found


def _redirect(asked: Mapping[str, str]) -> str:
    """Returns where to redirect: to a program on the user's own machine, on any port (RFC 8252, 7.3). Raises OAuthError."""
    if asked.get("client_id") != CLIENT:
        raise OAuthError("invalid_request", f"client_id must be {CLIENT}")
    redirect = asked.get("redirect_uri", "")
    try:
        where = urlsplit(redirect)
        port = where.port
    except ValueError:
        where, port = urlsplit(""), None
    if where.scheme != "http" or where.netloc not in (f"{host}:{port}" for host in LOOPBACK) or where.fragment:
        raise OAuthError("invalid_request", "redirect_uri must be http://127.0.0.1:PORT/… or http://localhost:PORT/…")
    return redirect


def _check(asked: Mapping[str, str]) -> None:
    """Raises OAuthError, which goes back to the program."""
    if asked.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "response_type must be code")
    if asked.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(asked.get("code_challenge", "")):
        raise OAuthError("invalid_request", "PKCE is required: code_challenge with code_challenge_method S256")


def _back(issuer: IssuerService, redirect: str, answer: dict[str, str], asked: Mapping[str, str]) -> Response[str]:
    """Redirects to the program, with the state it gave and the issuer that answers (RFC 9207)."""
    where = urlsplit(redirect)
    state = {"state": asked["state"]} if "state" in asked else {}
    query = urlencode([*parse_qsl(where.query, keep_blank_values=True), *(answer | state | {"iss": issuer.url}).items()])
    return Redirect(where._replace(query=query).geturl(), status_code=303, headers=login_pages.headers(redirect))


def _check_client(form: Mapping[str, str]) -> None:
    if form.get("client_id") != CLIENT:
        raise OAuthError("invalid_client", f"client_id must be {CLIENT}", 401)


def _wanted(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise OAuthError("invalid_request", f"{name} is missing")
    return value


def _source(request: IssuerRequest) -> str:
    return network(request.client.host) if request.client else ""


def network(host: str) -> str:
    """The address that attempts are counted by. One user has a whole /64 of IPv6, so that is one address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.IPv6Network((address, 64), strict=False))

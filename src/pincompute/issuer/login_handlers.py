"""Pages for people: the login on the way back to a program, and the page where a device's code is entered.

The surprising rule: there is no session of the issuer's own. Name and password go with the request they are for, so a page of
somebody else can never act for a user who logged in before.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

from litestar import Response, get, post
from litestar.response import Redirect

from pincompute.issuer import html_forms, html_pages
from pincompute.issuer.authorization_grants import CHALLENGE
from pincompute.issuer.html_forms import FIELD, IssuerRequest
from pincompute.issuer.issuer_service import IssuerDependency, IssuerService, LoginFailed
from pincompute.issuer.oauth_errors import OAuthError
from pincompute.issuer.token_signing import CLIENT, Consent

AUTHORIZE = "/authorize"
ACTIVATE = "/activate"
KEPT = ("response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method")
LOOPBACK = ("127.0.0.1", "localhost")
LONGEST = 2048  # characters of a parameter


@get(AUTHORIZE, include_in_schema=False)
async def authorize(request: IssuerRequest, service: IssuerDependency) -> Response[str]:
    asked = _kept(html_forms.query(request))
    redirect = _redirect(asked)
    try:
        _check(asked)
    except OAuthError as error:
        return _back(service, redirect, {"error": error.code, "error_description": error.description}, asked)
    return _login(request, asked, redirect)


@post(AUTHORIZE, include_in_schema=False, status_code=200)
async def log_in(request: IssuerRequest, service: IssuerDependency) -> Response[str]:
    form = await html_forms.fields(request)
    html_forms.check(request, form)
    asked = _kept(form)
    redirect = _redirect(asked)
    _check(asked)
    name = form.get("username", "")
    try:
        user = await service.login(name, form.get("password", ""), _source(request))
    except LoginFailed as failed:
        return _login(request, asked, redirect, name, str(failed))
    now = service.now()
    consent = Consent(user.name, asked.get("scope", ""), asked.get("nonce", ""), now)
    return _back(service, redirect, {"code": service.codes.issue(consent, redirect, asked["code_challenge"], now)}, asked)


@get(ACTIVATE, include_in_schema=False)
async def activate(request: IssuerRequest, service: IssuerDependency) -> Response[str]:
    code = html_forms.query(request).get("user_code", "")
    if not code:
        return html_forms.page(request, html_pages.enter_code(ACTIVATE, {}))
    device = service.devices.waiting(code, service.now())
    if device is None:
        return html_forms.page(
            request, html_pages.enter_code(ACTIVATE, {}, "No device waits with this code. Look at it again."), 404
        )
    hidden = {FIELD: html_forms.secret(request), "user_code": device.code}
    return html_forms.page(request, html_pages.confirm_device(ACTIVATE, hidden, device.code))


@post(ACTIVATE, include_in_schema=False, status_code=200)
async def connect(request: IssuerRequest, service: IssuerDependency) -> Response[str]:
    form = await html_forms.fields(request)
    html_forms.check(request, form)
    device = service.devices.waiting(form.get("user_code", ""), service.now())
    if device is None:
        return html_forms.page(
            request, html_pages.enter_code(ACTIVATE, {}, "The code has expired or was used. Start again."), 404
        )
    if form.get("answer") != "allow":
        service.devices.answer(device, "denied")
        return html_forms.page(request, html_pages.message("Refused", "The device was not connected. You can close this page."))
    name = form.get("username", "")
    try:
        user = await service.login(name, form.get("password", ""), _source(request))
    except LoginFailed as failed:
        hidden = {FIELD: html_forms.secret(request), "user_code": device.code}
        return html_forms.page(request, html_pages.confirm_device(ACTIVATE, hidden, device.code, name, str(failed)), 401)
    service.devices.answer(device, Consent(user.name, device.scope, "", service.now()))
    return html_forms.page(request, html_pages.message("Connected", "The device is logged in as you. You can close this page."))


def _login(request: IssuerRequest, asked: dict[str, str], redirect: str, name: str = "", error: str = "") -> Response[str]:
    html = html_pages.login(AUTHORIZE, {**asked, FIELD: html_forms.secret(request)}, name, error)
    return html_forms.page(request, html, 401 if error else 200, redirect)


def _kept(given: dict[str, str]) -> dict[str, str]:
    kept = {name: given[name] for name in KEPT if name in given}
    for name, value in kept.items():
        if len(value) > LONGEST:
            raise OAuthError("invalid_request", f"{name} has more than {LONGEST} characters")
    return kept


def _redirect(asked: dict[str, str]) -> str:
    """Only to programs on the user's own machine, on any port (RFC 8252, 7.3). Raises OAuthError, shown and not redirected."""
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


def _check(asked: dict[str, str]) -> None:
    """Raises OAuthError, which goes back to the program."""
    if asked.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "response_type must be code")
    if asked.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(asked.get("code_challenge", "")):
        raise OAuthError("invalid_request", "PKCE is required: code_challenge with code_challenge_method S256")


def _back(service: IssuerService, redirect: str, answer: dict[str, str], asked: dict[str, str]) -> Response[str]:
    """To the program, with the state it gave and who answers (RFC 9207)."""
    where = urlsplit(redirect)
    state = {"state": asked["state"]} if "state" in asked else {}
    query = urlencode([*parse_qsl(where.query, keep_blank_values=True), *(answer | state | {"iss": service.url}).items()])
    return Redirect(where._replace(query=query).geturl(), status_code=303, headers=html_forms.headers(redirect))


def _source(request: IssuerRequest) -> str:
    return request.client.host if request.client else ""


ROUTES = (authorize, log_in, activate, connect)

"""Logs in at the server's OpenID Connect issuer: device flow, browser with PKCE, renewal. It never handles passwords."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import httpx2
import msgspec

from pincompute_sdk.core import drivers, error_mapping, transport_security
from pincompute_sdk.core.configuration import Context
from pincompute_sdk.core.errors import ConfigurationError, PinError, UnreachableError
from pincompute_sdk.core.exchange import ClientSession, user_agent

SCOPES = "openid profile email groups offline_access"
TOO_MANY = 429  # requests: a status that says nothing of the login
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class LoginError(PinError):
    """The issuer refused the login, or the user did not finish it."""


class LoginEndedError(LoginError):
    """The issuer does not accept the stored login any more (`invalid_grant` of RFC 6749, 5.2): only a new login helps."""


class Endpoints(msgspec.Struct, frozen=True):
    """The fields used of the issuer's discovery document."""

    token_endpoint: str
    authorization_endpoint: str = ""
    device_authorization_endpoint: str = ""
    revocation_endpoint: str = ""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """The issuer's answer to a token request; error fields are filled instead when it refused."""

    access_token: str = ""
    id_token: str = ""
    refresh_token: str = ""
    expires_in: float = 0
    error: str = ""
    error_description: str = ""


class DeviceAuthorization(msgspec.Struct, frozen=True, kw_only=True):
    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str = ""
    expires_in: float = 600
    interval: float = 5


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`/.well-known/pincompute`: what a client must know before it has a token."""

    version: str = ""
    issuer: str = ""
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class OidcIssuer:
    """Talks to one issuer; `ca` is trusted beside the system's authorities."""

    url: str
    client_id: str
    ca: str = ""

    def endpoints(self) -> Endpoints:
        return msgspec.json.decode(self._get(self.url.rstrip("/") + "/.well-known/openid-configuration"), type=Endpoints)

    def device(self, at: Endpoints) -> DeviceAuthorization:
        if not at.device_authorization_endpoint:
            raise LoginError("the issuer offers no device flow", remedy="use `pin login --browser` or `pin login --token`")
        form = {"client_id": self.client_id, "scope": SCOPES}
        body = self._post(at.device_authorization_endpoint, form)
        try:
            return msgspec.json.decode(body, type=DeviceAuthorization)
        except msgspec.MsgspecError as error:
            raise _refused(_grant(body)) from error

    def poll(self, at: Endpoints, device: DeviceAuthorization) -> Iterator[Grant | None]:
        """Yields None until the person has finished, and then the grant. The consumer waits between two steps (`pace`)."""
        form = {"grant_type": DEVICE_GRANT, "device_code": device.device_code, "client_id": self.client_id}
        while True:
            grant = _grant(self._post(at.token_endpoint, form))
            if grant.error in ("authorization_pending", "slow_down"):
                yield None
                continue
            yield _accepted(grant)
            return

    def exchange_code(self, at: Endpoints, code: str, verifier: str, redirect: str) -> Grant:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect,
            "client_id": self.client_id,
        }
        return _accepted(_grant(self._post(at.token_endpoint, form)))

    def renew(self, at: Endpoints, refresh_token: str) -> Grant:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": self.client_id}
        return _accepted(_grant(self._post(at.token_endpoint, form)))

    def revoke(self, at: Endpoints, refresh_token: str) -> None:
        if at.revocation_endpoint and refresh_token:
            self._post(at.revocation_endpoint, {"token": refresh_token, "client_id": self.client_id})

    def _get(self, url: str) -> bytes:
        return self._send("GET", url, None)

    def _post(self, url: str, form: Mapping[str, str]) -> bytes:
        return self._send("POST", url, form)

    def _send(self, method: str, url: str, form: Mapping[str, str] | None) -> bytes:
        """Bodies of refusals are answers too: OAuth puts its errors there."""
        return fetch(method, url, self.ca, form)


def fetch(method: str, url: str, ca: str, form: Mapping[str, str] | None = None) -> bytes:
    """One small exchange without an access token; errors name the address and what to do."""
    transport_security.check_address(url)
    agent, proxy = {"User-Agent": user_agent()}, transport_security.may_use_proxy(url)
    try:
        with httpx2.Client(verify=transport_security.trust(ca), timeout=15.0, headers=agent, trust_env=proxy) as http:
            response = http.request(method, url, data=dict(form) if form is not None else None)
    except httpx2.HTTPError as error:
        split = urlsplit(url)
        session = ClientSession(f"{split.scheme}://{split.netloc}", str)
        raise error_mapping.error(session, drivers.failed(error)) from error
    except httpx2.InvalidURL as error:
        raise ConfigurationError(f"{url} is not an address", reason=str(error), remedy="write https://HOST:PORT") from error
    status = response.status_code
    if status >= 500 or status == TOO_MANY or (method == "GET" and status >= 400):
        remedy = "try again in a minute; if it stays so, check the address and that the platform is up"
        raise UnreachableError(f"{url} answered {status}", remedy=remedy)
    return response.content


def service(server: str, ca: str) -> ServerInfo:
    transport_security.check_address(server)
    body = fetch("GET", server.rstrip("/") + "/.well-known/pincompute", ca)
    try:
        return msgspec.json.decode(body, type=ServerInfo)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(
            f"{server} is not a pincompute server", reason=str(error), remedy="give the gateway's address"
        ) from error


def challenge(verifier: str) -> str:
    """PKCE, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class BrowserLogin:
    """One authorization request: where to send the browser, and the secret by which its code is redeemed."""

    url: str
    verifier: str
    redirect: str


def browser_login(issuer: OidcIssuer, at: Endpoints, redirect: str, state: str) -> BrowserLogin:
    """`state` must come back with the code. Raises LoginError for an issuer without pages."""
    if not at.authorization_endpoint:
        raise LoginError("the issuer offers no login in a browser", remedy="use `pin login` or `pin login --token`")
    verifier = secrets.token_urlsafe(48)
    query = {
        "response_type": "code",
        "client_id": issuer.client_id,
        "redirect_uri": redirect,
        "scope": SCOPES,
        "state": state,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    return BrowserLogin(f"{at.authorization_endpoint}?{urlencode(query)}", verifier, redirect)


def claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself, unverified: for display only. Empty for opaque tokens."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def granted(context: Context, grant: Grant) -> Context:
    """The context with the tokens of a grant. The gateway takes the access token, or the id token where that is opaque."""
    token = grant.access_token if claims(grant.access_token) or not grant.id_token else grant.id_token
    said = claims(grant.id_token) or claims(token)
    return msgspec.structs.replace(
        context,
        token=token,
        refresh_token=grant.refresh_token or context.refresh_token,
        expires=float(said.get("exp", 0)) or (time.time() + grant.expires_in if grant.expires_in else 0),
        user=str(said.get("email") or said.get("preferred_username") or said.get("sub") or context.user),
    )


def _grant(body: bytes) -> Grant:
    try:
        return msgspec.json.decode(body, type=Grant)
    except msgspec.MsgspecError:
        return Grant(error="invalid_response", error_description=body[:200].decode("utf-8", "replace"))


def _accepted(grant: Grant) -> Grant:
    if grant.error or not (grant.access_token or grant.id_token):
        raise _refused(grant)
    return grant


def _refused(grant: Grant) -> LoginError:
    kind = LoginEndedError if grant.error == "invalid_grant" else LoginError
    reasons = {
        "access_denied": "the request was declined",
        "expired_token": "the code was not entered in time",
        "invalid_grant": "the login is over or was withdrawn",
    }
    reason = grant.error_description or reasons.get(grant.error, grant.error or "it gave no token")
    return kind("the issuer did not grant a token", reason=reason, remedy="run `pin login` again")

"""Finds the caller of a request: from an issuer's token, a service token, or the client certificate of a platform part.

Platform parts log in by mutual TLS: the subject's common name, if it begins with `pincompute:`, is the caller.

A token counts alone. A bad token is refused even on a connection with a good certificate, so nobody acts as somebody else than
they claim.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from pincompute.gateway import problems
from pincompute.gateway.access import service_tokens
from pincompute.gateway.access.issuer_keys import FetchJson
from pincompute.gateway.access.oidc_verifier import OidcVerifier
from pincompute.gateway.access.service_tokens import ServiceTokens
from pincompute.gateway.call_context import ANONYMOUS, PLATFORM, Caller
from pincompute.gateway.gateway_settings import IssuerSettings
from pincompute.kube.clock import SYSTEM, Clock

BEARER = "bearer "
REMEDY = "create a new one with `pin token create`"


class Authenticator:
    """Gives the caller of a request, or the problem why there is none."""

    def __init__(
        self,
        issuers: Sequence[IssuerSettings],
        service: ServiceTokens,
        leeway: float,
        clock: Clock = SYSTEM,
        fetch: FetchJson | None = None,
    ) -> None:
        """`leeway` in seconds; `fetch` asks issuers, over HTTPS unless another is given."""
        self._clock = clock
        self._service = service
        self._verifier = OidcVerifier(issuers, leeway, self._now, clock.monotonic, fetch)

    async def identify(self, scope: Mapping[str, Any], *, basic: bool = False) -> Caller:
        """Returns the caller of an ASGI scope; ANONYMOUS when it carries no credential. Raises Problem 401 or 503.

        `basic`: the token may be the password of basic authentication, with any user name.
        """
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if given:
            return await self._bearer((basic and _password(given)) or _token(given))
        extensions: Mapping[str, Any] = scope.get("extensions") or {}
        certificate: Mapping[str, Any] | None = extensions.get("tls", {}).get("client_certificate")
        return _platform_part(certificate, self._now()) if certificate else ANONYMOUS

    async def _bearer(self, token: str) -> Caller:
        if token.startswith(service_tokens.PREFIX):
            return await self._of_service(token)
        found = await self._verifier.verify(token)
        self._service.logged_in(found)
        return found

    async def _of_service(self, secret: str) -> Caller:
        try:
            found = await self._service.find(secret)
        except Exception as problem:
            raise problems.unavailable(f"service tokens cannot be looked up now: {problem}") from problem
        if found is None:
            raise problems.refused_token("there is no such service token", REMEDY)
        if self._service.in_force(found.id) is None:
            raise _ended(found)
        return self._service.caller(found)

    def _now(self) -> float:
        return self._clock.wall().timestamp()


def _token(given: Sequence[bytes]) -> str:
    text = given[0].decode("latin-1").strip()
    if len(given) > 1 or text[: len(BEARER)].lower() != BEARER or not text[len(BEARER) :].strip().isascii():
        raise problems.unauthenticated("the Authorization header is not `Bearer TOKEN`, once")
    return text[len(BEARER) :].strip()


def _password(given: Sequence[bytes]) -> str:
    """The password of basic authentication; empty where the header is anything else."""
    scheme, _, encoded = given[0].partition(b" ")
    if len(given) > 1 or scheme.lower() != b"basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode("ascii").partition(":")[2]
    except ValueError:
        return ""


def _ended(token: service_tokens.ServiceToken) -> problems.Problem:
    if token.revoked_at is not None:
        return problems.refused_token(
            f"the service token {token.name!r} was revoked at {token.revoked_at:%Y-%m-%dT%H:%M:%SZ}", REMEDY
        )
    return problems.token_expired(f"the service token {token.name!r} expired at {token.expires_at:%Y-%m-%dT%H:%M:%SZ}", REMEDY)


def _platform_part(certificate: Mapping[str, Any], now: float) -> Caller:
    """The caller of a certificate as `ssl.SSLSocket.getpeercert()` gives it. Raises Problem 401.

    The TLS layer has verified the certificate. Here only the name and the time are checked, for each request of a long
    connection.
    """
    found = _subject(certificate)
    common = found.get("commonName", ())
    if len(common) != 1 or not common[0].startswith(PLATFORM) or common[0] == PLATFORM:
        shown = ", ".join(common) or "nothing"
        raise problems.unauthenticated(
            f"the client certificate names {shown}; one common name that begins with {PLATFORM} was expected",
            "use the certificate of a platform part, or send a token",
        )
    expires = ssl.cert_time_to_seconds(certificate["notAfter"])
    if expires <= now:
        raise problems.unauthenticated(f"the client certificate of {common[0]} has expired", "renew the certificate")
    return Caller(common[0], frozenset(found.get("organizationName", ())), "platform", expires=float(expires))


def _subject(certificate: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Values by attribute; an attribute may be there more than once."""
    found: dict[str, tuple[str, ...]] = {}
    for part in certificate.get("subject", ()):
        for name, value in part:
            found[name] = (*found.get(name, ()), value)
    return found

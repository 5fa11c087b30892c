"""Issuers that answer what a test says, and an Authenticator that trusts them, at a time that a test moves."""

from __future__ import annotations

from typing import Any

import pytest
from gateway_access.access_fixtures import START, InMemoryTokenStorage, Time
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from pincompute.gateway.access import Authenticator, ServiceTokens
from pincompute.gateway.call_context import Caller
from pincompute.gateway.gateway_settings import IssuerSettings
from pincompute.gateway.problems import Problem

URL = "https://issuer.test"
NOW = int(START.timestamp())
GOOD: dict[str, Any] = {
    "iss": URL,
    "sub": "alice",
    "aud": "pincompute",
    "iat": NOW - 10,
    "exp": NOW + 900,
    "preferred_username": "Alice",
    "groups": ["devs"],
}


class Issuers:
    """What issuers answer, and how often they were asked."""

    def __init__(self) -> None:
        self.keys: list[Any] = [ECKey.generate_key("P-256", {"alg": "ES256"}, auto_kid=True)]
        self.asked: list[str] = []
        self.down = False
        self.discovery: dict[str, Any] = {"issuer": URL, "jwks_uri": f"{URL}/keys"}

    async def __call__(self, url: str) -> Any:
        self.asked.append(url)
        if self.down:
            raise TimeoutError("no answer in time")
        if url == f"{URL}/keys":
            return KeySet(self.keys).as_dict(private=False)
        return self.discovery

    def token(self, claims: dict[str, Any], key: Any = None, **header: Any) -> str:
        key = key or self.keys[0]
        algorithm = header.get("alg", "RS256" if isinstance(key, RSAKey) else "ES256")
        return jwt.encode({"alg": algorithm, "kid": key.kid} | header, claims, key, algorithms=[algorithm])


class Fixture:
    def __init__(self, *issuers: IssuerSettings, leeway: float = 30.0) -> None:
        self.time = Time()
        self.issuers = Issuers()
        self.service = ServiceTokens(InMemoryTokenStorage(), self.time.clock)
        known = issuers or (IssuerSettings(url=URL),)
        self.authenticator = Authenticator(known, self.service, leeway, self.time.clock, self.issuers)

    async def identify(self, token: str) -> Caller:
        return await self.authenticator.identify(scope(f"Bearer {token}"))

    async def refusal(self, token: str) -> Problem:
        with pytest.raises(Problem) as caught:
            await self.identify(token)
        return caught.value


def scope(*authorizations: str, certificate: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = [(b"host", b"x"), *((b"authorization", value.encode("latin-1")) for value in authorizations)]
    extensions = {"extensions": {"tls": {"client_certificate": certificate}}} if certificate else {}
    return {"type": "http", "headers": headers} | extensions

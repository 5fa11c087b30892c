"""Verifies tokens of OIDC issuers: the issuer, the key, the signature, the claims.

A good token is cached for a short time, and no longer than the issuer's keys are the same, so that a key which the issuer
withdraws takes its tokens with it. The cache holds the SHA-256 of a token, never the token.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError

from pincompute.gateway import problems
from pincompute.gateway.access import token_claims, user_names
from pincompute.gateway.access.issuer_keys import FetchJson, IssuerKeys
from pincompute.gateway.call_context import Caller
from pincompute.gateway.gateway_settings import IssuerSettings

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
TYPES = ("jwt", "at+jwt", "application/at+jwt")
REMEMBERED = 10_000  # verified tokens
REVERIFY = 60.0  # seconds for which a token is not verified again
LONGEST = 16 * 1024  # bytes of a token


class _Header(msgspec.Struct):
    alg: str
    kid: str = ""
    typ: str = "JWT"


class _Payload(msgspec.Struct):
    iss: str


@dataclass(frozen=True, slots=True)
class _VerifiedToken:
    """`generation` of the keys and `at`, which is monotonic, are those of the verification."""

    caller: Caller
    keys: IssuerKeys
    generation: int
    at: float


class OidcVerifier:
    """Knows several issuers; each token says which one it is from, and only that one's keys count."""

    def __init__(
        self,
        issuers: Sequence[IssuerSettings],
        leeway: float,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        fetch: FetchJson | None = None,
    ) -> None:
        """`leeway` in seconds; `now` in seconds since the epoch. Raises SettingsError."""
        named = user_names.of_issuers(issuers)
        self._issuers = {url: (names, IssuerKeys(names.issuer, monotonic, fetch)) for url, names in named.items()}
        self._leeway = leeway
        self._now = now
        self._monotonic = monotonic
        self._verified: dict[bytes, _VerifiedToken] = {}

    async def verify(self, token: str) -> Caller:
        """Raises Problem 401, and 503 when the issuer's keys are not to be had."""
        key = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(key)
        if known is not None and self._holds(known):
            return known.caller
        found = await self._verify(token)
        self._remember(key, found)
        return found.caller

    def _holds(self, known: _VerifiedToken) -> bool:
        same_keys = known.generation == known.keys.generation
        return same_keys and self._monotonic() - known.at < REVERIFY and known.caller.expires > self._now()

    async def _verify(self, token: str) -> _VerifiedToken:
        header, payload = _opened(token)
        if payload.iss not in self._issuers:
            raise problems.refused_token(f"its issuer {payload.iss!r} is not trusted here")
        if header.alg not in ALGORITHMS:
            raise problems.refused_token(f"it is signed with {header.alg!r}, expected one of {', '.join(ALGORITHMS)}")
        if header.typ.lower() not in TYPES:
            raise problems.refused_token(f"it is of type {header.typ!r}")
        names, keys = self._issuers[payload.iss]
        key, generation = await keys.get(header.kid), keys.generation
        if key is None:
            raise problems.refused_token(f"its issuer has no key {header.kid!r}")
        try:
            checked: Mapping[str, Any] = jwt.decode(token, key, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError):
            raise problems.refused_token("its signature is not valid") from None
        found = token_claims.caller(checked, names, self._now(), self._leeway)
        return _VerifiedToken(found, keys, generation, self._monotonic())

    def _remember(self, key: bytes, found: _VerifiedToken) -> None:
        """The oldest goes when there are too many."""
        if key not in self._verified and len(self._verified) >= REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[key] = found


def _opened(token: str) -> tuple[_Header, _Payload]:
    """What the token says of itself, not to be believed yet."""
    if len(token) > LONGEST:
        raise problems.refused_token(f"it has more than {LONGEST} characters")
    parts = token.split(".")
    if len(parts) != 3:
        raise problems.refused_token("it is neither a service token nor a JSON Web Token")
    try:
        header = msgspec.json.decode(_segment(parts[0]), type=_Header)
        return header, msgspec.json.decode(_segment(parts[1]), type=_Payload)
    except (ValueError, RecursionError):
        raise problems.refused_token("it cannot be read") from None


def _segment(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

"""Fetches an issuer's public keys by discovery, and again when a token names an unknown one.

Keys are fetched again every few minutes, because those that the issuer withdraws must end. While the issuer does not answer,
the known keys count for a limited time. After that nobody knows whether they still hold, and tokens are refused.

Tokens with unknown keys cause at most one fetch in PAUSE seconds, so that nobody can attack the issuer through the gateway.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from pincompute.gateway import problems
from pincompute.gateway.gateway_settings import IssuerSettings

PublicKey = RSAKey | ECKey | OKPKey

PAUSE = 5.0  # seconds between fetches that unknown keys cause
FRESH = 300.0  # seconds after which keys are fetched again
TIMEOUT = 5.0  # seconds for one answer of an issuer
LARGEST = 1 << 20  # bytes of an issuer's answer


FetchJson: TypeAlias = Callable[[str], Awaitable[Any]]
"""Gets JSON. Raises OSError, TimeoutError or ValueError."""


class _Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


async def fetch_json(url: str, ca: str = "") -> Any:
    """Fetches a document over HTTPS, with the authority in the file `ca`, or the system's."""
    context = ssl.create_default_context(cafile=ca or None)
    limit = aiohttp.ClientTimeout(total=TIMEOUT)
    async with (
        aiohttp.ClientSession(timeout=limit) as session,
        session.get(url, ssl=context, allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            raise ValueError(f"{url} answers with HTTP status {answer.status}")
        return msgspec.json.decode(await _read(answer))


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        body += chunk
        if len(body) > LARGEST:
            raise ValueError(f"{answer.url} answers with more than {LARGEST} bytes")
    return bytes(body)


class IssuerKeys:
    """The keys of one issuer."""

    def __init__(self, issuer: IssuerSettings, now: Callable[[], float], fetch: FetchJson | None = None) -> None:
        """`now` is monotonic."""
        self._issuer = issuer
        self._now = now
        self._fetch = fetch or partial(fetch_json, ca=issuer.ca)
        self._keys: dict[str, PublicKey] = {}
        self.generation = 0  # grows whenever the keys change
        self._tried = self._fetched = float("-inf")
        self._trouble = "its keys were never fetched"
        self._fetching = asyncio.Lock()

    async def get(self, kid: str) -> PublicKey | None:
        """Returns the key; None when the issuer has no such key. Raises Problem 503 while that is not known."""
        now, known = self._now(), self._keys.get(kid)
        fresh = now - self._fetched < FRESH or now - self._tried < PAUSE or self._fetching.locked()
        if known is not None and fresh and not self._outdated():
            return known
        async with self._fetching:  # whoever waited here finds what the one before fetched
            if self._now() - self._tried >= PAUSE:
                await self._refresh()
        found = self._keys.get(kid)
        if self._trouble and (found is None or self._outdated()):
            raise problems.unavailable(
                f"the issuer {self._issuer.url} cannot be asked for its keys, so its tokens are refused until it answers: "
                f"{self._trouble}",
                remedy="try again in a moment",
            )
        return found

    def _outdated(self) -> bool:
        return self._now() - self._fetched >= self._issuer.key_lifetime

    async def _refresh(self) -> None:
        """Keeps what is known when the issuer does not answer."""
        self._tried = self._now()
        try:
            async with asyncio.timeout(2 * TIMEOUT):
                found = await self._all()
        except (OSError, TimeoutError, ValueError, aiohttp.ClientError) as problem:
            self._trouble = str(problem) or type(problem).__name__
        else:
            self._fetched, self._trouble = self._now(), ""
            if _prints(found) != _prints(self._keys):
                self.generation += 1
            self._keys = found

    async def _all(self) -> dict[str, PublicKey]:
        base = self._issuer.url
        found = msgspec.convert(await self._fetch(f"{base.rstrip('/')}/.well-known/openid-configuration"), _Discovery)
        if found.issuer != base:
            raise ValueError(f"it calls itself {found.issuer!r}, expected {base!r}")
        if urlsplit(base).scheme == "https" and urlsplit(found.jwks_uri).scheme != "https":
            raise ValueError(f"its keys are at {found.jwks_uri!r}, which is not https")
        listed = msgspec.convert(await self._fetch(found.jwks_uri), _KeySet)
        return {key.kid: key for key in map(_usable, listed.keys) if key is not None and key.kid}


def _prints(keys: dict[str, PublicKey]) -> dict[str, str]:
    """What tells two sets of keys apart: an issuer may give another key the same name."""
    return {kid: key.thumbprint() for kid, key in keys.items()}


def _usable(jwk: dict[str, Any]) -> PublicKey | None:
    """Returns the key; None for keys that are not for signatures, or of a kind we do not know (RFC 7517, 5)."""
    if jwk.get("use", "sig") != "sig" or jwk.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        key = JWKRegistry.import_key(jwk)
    except (JoseError, ValueError):
        return None
    if isinstance(key, RSAKey) and key.raw_value.key_size < 2048:
        return None
    key.ensure_kid()
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None

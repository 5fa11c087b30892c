"""Signs tokens for the region's image registry with the region's key for them.

Source: https://distribution.github.io/distribution/spec/auth/token
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from pincompute.api.meta import doc
from pincompute.domain import registry_access
from pincompute.domain.registry_access import Access
from pincompute.gateway import problems
from pincompute.gateway.gateway_settings import RegistrySettings, SettingsError


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

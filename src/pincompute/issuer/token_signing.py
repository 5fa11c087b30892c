"""The issuer's keys and the tokens it signs with them. The first key of `keys.json` signs, all of them are published.

To change the key, put a new one first and keep the old one until its last token has expired.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from pincompute.issuer import secret_files
from pincompute.issuer.oauth_errors import IssuerError
from pincompute.issuer.users import User

KEYS = "keys.json"
CLIENT = "pincompute"
LIFETIME = 900.0  # seconds of an access and an id token; refresh tokens make the next ones


@dataclass(frozen=True, slots=True)
class Consent:
    """A user logged in and agreed: what all tokens of a login have in common."""

    user: str
    scope: str
    nonce: str
    at: float


class TokenSigner:
    """Makes tokens."""

    def __init__(self, folder: Path, issuer: str) -> None:
        """Makes a key when there is none. Raises IssuerError."""
        self._issuer = issuer
        path = folder / KEYS
        if not path.exists():
            made = KeySet([ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)])
            secret_files.write(path, json.dumps(made.as_dict(private=True)).encode())
        try:
            self._keys = KeySet.import_key_set(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, JoseError) as problem:
            raise IssuerError(f"{path} holds no keys that can be used: {problem}; remove it to have one made anew") from None
        self._algorithm = _algorithm(self._keys, path)

    @property
    def algorithms(self) -> list[str]:
        return sorted({"ES256" if isinstance(key, ECKey) else "RS256" for key in self._keys})

    def published(self) -> bytes:
        """The public keys (RFC 7517)."""
        return json.dumps(self._keys.as_dict(private=False)).encode()

    def access(self, user: User, consent: Consent, now: float) -> str:
        return self._sign("at+jwt", self._claims(user, consent, now) | {"client_id": CLIENT, "scope": consent.scope})

    def identity(self, user: User, consent: Consent, now: float) -> str:
        nonce = {"nonce": consent.nonce} if consent.nonce else {}
        return self._sign("JWT", self._claims(user, consent, now) | nonce)

    def verify(self, token: str, now: float) -> dict[str, Any]:
        """The claims of an access token of our own. Raises ValueError."""
        try:
            found = jwt.decode(token, self._keys, algorithms=self.algorithms)
        except (JoseError, ValueError):
            raise ValueError("the token is not ours") from None
        if found.header.get("typ") != "at+jwt" or found.claims["exp"] <= now:
            raise ValueError("the token has expired, or is no access token")
        return found.claims

    def _claims(self, user: User, consent: Consent, now: float) -> dict[str, Any]:
        return {
            "iss": self._issuer,
            "sub": user.name,
            "aud": CLIENT,
            "iat": int(now),
            "exp": int(now + LIFETIME),
            "auth_time": int(consent.at),
            "jti": secrets.token_hex(12),
            "preferred_username": user.name,
            "groups": list(user.groups),
        }

    def _sign(self, kind: str, claims: dict[str, Any]) -> str:
        key = self._keys.keys[0]
        header = {"alg": self._algorithm, "kid": key.kid, "typ": kind}
        return jwt.encode(header, claims, key, algorithms=[self._algorithm])


def _algorithm(keys: KeySet, path: Path) -> str:
    match keys.keys[0]:
        case ECKey() as key if key.is_private and key.curve_name == "P-256":
            return "ES256"
        case RSAKey() as key if key.is_private and key.raw_value.key_size >= 2048:
            return "RS256"
        case _:
            raise IssuerError(f"{path}: the first key must be a private one, P-256 or RSA of at least 2048 bits")


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)

"""The issuer's keys and the tokens it signs with them. The first key of `keys.json` signs, all of them are published.

To change the key, put a new one first and keep the old one until its last token has expired.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from pincompute.issuer.issuer_folder import IssuerError, write
from pincompute.issuer.users import User

KEYS = "keys.json"
CLIENT = "pincompute"
LIFETIME = 900.0  # seconds of an access and an id token; refresh tokens make the next ones
ALGORITHMS = {"EC": "ES256", "RSA": "RS256"}  # by type of key


@dataclass(frozen=True, slots=True)
class Consent:
    """A user logged in and agreed: what all tokens of a login have in common."""

    user: str
    scope: str
    nonce: str
    at: float
    credential: str = ""


class TokenSigner:
    """Makes tokens."""

    def __init__(self, folder: Path, issuer: str) -> None:
        """Makes a key when there is none. Raises IssuerError."""
        self._issuer = issuer
        path = folder / KEYS
        if not path.exists():
            made = KeySet([ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)])
            write(path, json.dumps(made.as_dict(private=True)).encode())
        try:
            self._keys = KeySet.import_key_set(json.loads(path.read_bytes()))
            self.algorithm = ALGORITHMS[self._keys.keys[0].key_type]
            self._sign("JWT", {})
        except (OSError, ValueError, KeyError, IndexError, JoseError) as problem:
            raise IssuerError(
                f"{path} holds no private key, P-256 or RSA, that can sign: {problem}; remove it to have one made anew"
            ) from None

    @property
    def form_secret(self) -> str:
        """Returns the secret of the CSRF cookies of browsers, which outlive a restart as the keys do."""
        return hashlib.sha256(json.dumps(self._keys.as_dict(private=True)).encode()).hexdigest()

    def published(self) -> bytes:
        """The public keys (RFC 7517)."""
        return json.dumps(self._keys.as_dict(private=False)).encode()

    def access_token(self, user: User, consent: Consent, now: float) -> str:
        return self._sign("at+jwt", self._claims(user, consent, now) | {"client_id": CLIENT, "scope": consent.scope})

    def id_token(self, user: User, consent: Consent, now: float) -> str:
        nonce = {"nonce": consent.nonce} if consent.nonce else {}
        return self._sign("JWT", self._claims(user, consent, now) | nonce)

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
        return jwt.encode({"alg": self.algorithm, "kid": key.kid, "typ": kind}, claims, key, algorithms=[self.algorithm])

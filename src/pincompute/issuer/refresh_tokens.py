"""Refresh tokens: each is used once and followed by the next; kept as hashes in a file, so that logins survive a restart.

The surprising rule: a token that was used may be used again for GRACE seconds, since two programs of one user may renew at the
same time; after that its use means it was stolen, and the whole login ends.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import msgspec

from pincompute.issuer import secret_files
from pincompute.issuer.oauth_errors import IssuerError, OAuthError
from pincompute.issuer.token_signing import Consent

FILE = "sessions.json"
LIFE = 30 * 86400.0  # seconds without use
GRACE = 60.0  # seconds


class _RefreshToken(msgspec.Struct, frozen=True):
    login: str
    user: str
    scope: str
    at: float
    ends: float
    used: float = 0.0


class RefreshTokens:
    """All logins that can be renewed."""

    def __init__(self, folder: Path) -> None:
        """Raises IssuerError."""
        self._path = folder / FILE
        self._held: dict[str, _RefreshToken] = {}
        try:
            self._held = msgspec.json.decode(self._path.read_bytes(), type=dict[str, _RefreshToken])
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError) as problem:
            raise IssuerError(f"{self._path} cannot be read: {problem}; remove it, and everybody logs in again") from None

    def open(self, consent: Consent, now: float) -> str:
        """The first refresh token of a login."""
        return self._next(_RefreshToken(secrets.token_hex(12), consent.user, consent.scope, consent.at, now + LIFE), now)

    def renew(self, token: str, now: float) -> tuple[Consent, str]:
        """What was agreed to, and the next token. Raises OAuthError."""
        key = _digest(token)
        held = self._held.get(key)
        if held is None or held.ends <= now:
            raise OAuthError("invalid_grant", "the refresh token is unknown or has expired; log in again")
        if held.used and now - held.used > GRACE:
            self._end(held.login)
            raise OAuthError("invalid_grant", "the refresh token was used before, so this login was ended; log in again")
        self._held[key] = msgspec.structs.replace(held, used=held.used or now)
        following = msgspec.structs.replace(held, used=0.0, ends=now + LIFE)
        return Consent(held.user, held.scope, "", held.at), self._next(following, now)

    def revoke(self, token: str) -> None:
        """Ends the login a token belongs to; none is no error (RFC 7009, 2.2)."""
        held = self._held.get(_digest(token))
        if held is not None:
            self._end(held.login)

    def end_of(self, user: str) -> None:
        """Ends all logins of a user."""
        self._keep({key: held for key, held in self._held.items() if held.user != user})

    def _next(self, held: _RefreshToken, now: float) -> str:
        token = secrets.token_urlsafe(32)
        kept = {key: old for key, old in self._held.items() if old.ends > now}
        self._keep(kept | {_digest(token): held})
        return token

    def _end(self, login: str) -> None:
        self._keep({key: held for key, held in self._held.items() if held.login != login})

    def _keep(self, held: dict[str, _RefreshToken]) -> None:
        self._held = held
        secret_files.write(self._path, msgspec.json.encode(held))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

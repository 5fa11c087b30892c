"""Keeps what a login is exchanged for: authorization and device codes in memory, and refresh tokens that survive a restart.

Codes end soon and are used once. A refresh token is used once and followed by the next. It may be used again for GRACE
seconds, because two programs of one user may renew at the same time. A later use means that it was stolen, and the whole login
ends.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from pincompute.issuer.issuer_folder import IssuerError, write
from pincompute.issuer.token_signing import Consent

CODE_LIFE = 60.0  # seconds from the redirect to the exchange
DEVICE_LIFE = 600.0  # seconds to enter a device's code
INTERVAL = 5.0  # seconds between two requests of a device (RFC 8628, 3.5)
PENDING = 1000  # devices that wait at the same time
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so no words, and nothing that looks like something else (RFC 8628, 6.1)
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, 4.1
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # the base64url of a SHA-256
SESSIONS = "sessions.json"
REFRESH_LIFE = 30 * 86400.0  # seconds without use
GRACE = 60.0  # seconds


class OAuthError(Exception):
    """A refusal in the words of RFC 6749 and RFC 8628. `code` is registered with IANA; the description is for people."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status


@dataclass(frozen=True, slots=True)
class _AuthorizationCode:
    consent: Consent
    redirect: str
    challenge: str
    ends: float


class AuthorizationCodes:
    """Authorization codes with PKCE (RFC 7636)."""

    def __init__(self) -> None:
        self._codes: dict[str, _AuthorizationCode] = {}

    def issue(self, consent: Consent, redirect: str, challenge: str, now: float) -> str:
        self._codes = {code: held for code, held in self._codes.items() if held.ends > now}
        code = secrets.token_urlsafe(32)
        self._codes[code] = _AuthorizationCode(consent, redirect, challenge, now + CODE_LIFE)
        return code

    def redeem(self, code: str, redirect: str, verifier: str, now: float) -> Consent:
        """Once, whether it succeeds or not. Raises OAuthError."""
        held = self._codes.pop(code, None)
        if held is None or held.ends <= now:
            raise OAuthError("invalid_grant", "the code is unknown, was used, or has expired")
        if held.redirect != redirect:
            raise OAuthError("invalid_grant", "redirect_uri is not the one the code was made for")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if not VERIFIER.fullmatch(verifier) or not hmac.compare_digest(challenge, held.challenge):
            raise OAuthError("invalid_grant", "code_verifier does not fit code_challenge")
        return held.consent


@dataclass(slots=True)
class DeviceGrant:
    """`secret` is the device's own, `code` is shown to the user."""

    secret: str
    code: str
    scope: str
    ends: float
    interval: float = INTERVAL
    polled: float = float("-inf")
    answer: Consent | Literal["denied"] | None = None


class DeviceGrants:
    """The device authorization grant (RFC 8628)."""

    def __init__(self) -> None:
        self._by_secret: dict[str, DeviceGrant] = {}

    def start(self, scope: str, now: float) -> DeviceGrant:
        """Raises OAuthError."""
        self._by_secret = {secret: device for secret, device in self._by_secret.items() if device.ends > now}
        if len(self._by_secret) >= PENDING:
            raise OAuthError("temporarily_unavailable", "too many devices wait; try again in some minutes", 503)
        code = "".join(secrets.choice(LETTERS) for _ in range(8))
        device = DeviceGrant(secrets.token_urlsafe(32), f"{code[:4]}-{code[4:]}", scope, now + DEVICE_LIFE)
        self._by_secret[device.secret] = device
        return device

    def waiting(self, code: str, now: float) -> DeviceGrant | None:
        """The device that shows this code and has no answer yet. Case and dashes do not matter."""
        wanted = _plain(code)
        live = (d for d in self._by_secret.values() if d.ends > now and d.answer is None)
        return next((device for device in live if _plain(device.code) == wanted), None)

    def poll(self, secret: str, now: float) -> Consent:
        """What the user agreed to. Raises OAuthError until then, and once it was given."""
        device = self._by_secret.get(secret)
        if device is None or device.ends <= now:
            raise OAuthError("expired_token", "the code is unknown, was used, or has expired; start again")
        if device.answer is not None:
            del self._by_secret[secret]
            if device.answer == "denied":
                raise OAuthError("access_denied", "the user refused")
            return device.answer
        early, device.polled = now - device.polled < device.interval, now
        if early:
            device.interval += INTERVAL
            raise OAuthError("slow_down", f"ask every {device.interval:g} s")
        raise OAuthError("authorization_pending", "the user has not entered the code yet")


def _plain(code: str) -> str:
    return "".join(letter for letter in code.upper() if letter.isalnum())


class _RefreshToken(msgspec.Struct, frozen=True):
    login: str
    user: str
    scope: str
    at: float
    ends: float
    used: float = 0.0


class RefreshTokens:
    """All logins that can be renewed, in a file that holds hashes of the tokens."""

    def __init__(self, folder: Path) -> None:
        """Raises IssuerError."""
        self._path = folder / SESSIONS
        self._held: dict[str, _RefreshToken] = {}
        try:
            self._held = msgspec.json.decode(self._path.read_bytes(), type=dict[str, _RefreshToken])
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError) as problem:
            raise IssuerError(f"{self._path} cannot be read: {problem}; remove it, and everybody logs in again") from None

    def open(self, consent: Consent, now: float) -> str:
        """The first refresh token of a login."""
        return self._issue(_RefreshToken(secrets.token_hex(12), consent.user, consent.scope, consent.at, 0.0), now)

    def renew(self, token: str, now: float) -> tuple[Consent, str]:
        """What the user agreed to, and the next token. Raises OAuthError."""
        key = _digest(token)
        held = self._held.get(key)
        if held is None or held.ends <= now:
            raise OAuthError("invalid_grant", "the refresh token is unknown or has expired; log in again")
        if held.used and now - held.used > GRACE:
            self.revoke(token)
            raise OAuthError("invalid_grant", "the refresh token was used before, so this login was ended; log in again")
        self._held[key] = msgspec.structs.replace(held, used=held.used or now)
        return Consent(held.user, held.scope, "", held.at), self._issue(held, now)

    def revoke(self, token: str) -> None:
        """Ends the login that a token belongs to; an unknown token is no error (RFC 7009, 2.2)."""
        found = self._held.get(_digest(token))
        if found is not None:
            self._store({key: held for key, held in self._held.items() if held.login != found.login})

    def revoke_user(self, user: str) -> None:
        self._store({key: held for key, held in self._held.items() if held.user != user})

    def _issue(self, login: _RefreshToken, now: float) -> str:
        token = secrets.token_urlsafe(32)
        following = msgspec.structs.replace(login, used=0.0, ends=now + REFRESH_LIFE)
        self._store({key: held for key, held in self._held.items() if held.ends > now} | {_digest(token): following})
        return token

    def _store(self, held: dict[str, _RefreshToken]) -> None:
        self._held = held
        write(self._path, msgspec.json.encode(held))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

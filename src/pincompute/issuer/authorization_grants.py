"""Codes that stand between a login and its tokens: for a browser's redirect, and for a device that shows a code.

Both are used once and end soon; they live in memory, so a restart means to log in again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, replace
from typing import Literal

from pincompute.issuer.oauth_errors import OAuthError
from pincompute.issuer.token_signing import Consent

CODE_LIFE = 60.0  # seconds from the redirect to the exchange
DEVICE_LIFE = 600.0  # seconds to enter a device's code
INTERVAL = 5.0  # seconds between two questions of a device (RFC 8628, 3.5)
PENDING = 1000  # devices that wait at the same time
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels: no words; nothing that looks like something else (RFC 8628, 6.1)
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, 4.1
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # the base64url of a SHA-256


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
        if not VERIFIER.fullmatch(verifier) or not hmac.compare_digest(_challenge(verifier), held.challenge):
            raise OAuthError("invalid_grant", "code_verifier does not fit code_challenge")
        return held.consent


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class DeviceGrant:
    """`secret` is the device's own, `code` is shown to the user."""

    secret: str
    code: str
    scope: str
    ends: float
    interval: float = INTERVAL
    asked: float = float("-inf")
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
        """The device that shows this code and has no answer yet; letters' case and the dash do not matter."""
        wanted = plain(code)
        live = (d for d in self._by_secret.values() if d.ends > now and d.answer is None)
        return next((device for device in live if plain(device.code) == wanted), None)

    def answer(self, device: DeviceGrant, answer: Consent | Literal["denied"]) -> None:
        self._by_secret[device.secret] = replace(device, answer=answer)

    def poll(self, secret: str, now: float) -> Consent:
        """What the user agreed to. Raises OAuthError until then, and after it was given once."""
        device = self._by_secret.get(secret)
        if device is None or device.ends <= now:
            self._by_secret.pop(secret, None)
            raise OAuthError("expired_token", "the code is unknown, was used, or has expired; start again")
        if device.answer == "denied":
            del self._by_secret[secret]
            raise OAuthError("access_denied", "the user refused")
        if device.answer is not None:
            del self._by_secret[secret]
            return device.answer
        hasty = now - device.asked < device.interval
        interval = device.interval + INTERVAL if hasty else device.interval
        self._by_secret[secret] = replace(device, asked=now, interval=interval)
        if hasty:
            raise OAuthError("slow_down", f"ask every {interval:g} s")
        raise OAuthError("authorization_pending", "the user has not entered the code yet")


def plain(code: str) -> str:
    return "".join(letter for letter in code.upper() if letter.isalnum())

"""What the issuer holds while it runs, and the one thing pages and programs share: a login that is throttled."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from litestar.di import NamedDependency

from pincompute.issuer.authorization_grants import AuthorizationCodes, DeviceGrants
from pincompute.issuer.login_throttle import LoginThrottle
from pincompute.issuer.oauth_errors import OAuthError
from pincompute.issuer.refresh_tokens import RefreshTokens
from pincompute.issuer.token_signing import LIFETIME, Consent, TokenSigner
from pincompute.issuer.users import User, Users
from pincompute.kube.clock import Clock


class LoginFailed(Exception):  # noqa: N818 - the page shows it
    """The message is for the user and does not tell a wrong name from a wrong password."""


@dataclass(frozen=True, slots=True)
class IssuerService:
    url: str
    users: Users
    signer: TokenSigner
    sessions: RefreshTokens
    clock: Clock
    codes: AuthorizationCodes = field(default_factory=AuthorizationCodes)
    devices: DeviceGrants = field(default_factory=DeviceGrants)
    attempts: LoginThrottle = field(default_factory=LoginThrottle)
    checking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    @classmethod
    def of(cls, folder: Path, url: str, clock: Clock) -> IssuerService:
        """Makes what is missing in the folder. Raises IssuerError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(url, Users(folder), TokenSigner(folder, url), RefreshTokens(folder), clock)

    def now(self) -> float:
        return self.clock.wall().timestamp()

    async def login(self, name: str, password: str, source: str) -> User:
        """Raises LoginFailed."""
        keys = (f"user {name[:256]}", f"address {source}")
        wait = self.attempts.wait(keys, self.now())
        if wait:
            raise LoginFailed(f"Too many attempts. Wait {max(1, round(wait))} seconds and try again.")
        async with self.checking:  # a guess costs 16 MiB and 50 ms; strangers get two cores' worth, not all
            user = await asyncio.to_thread(self.users.check, name, password)
        if user is None:
            self.attempts.failed(keys, self.now())
            raise LoginFailed("The user name or the password is not right.")
        self.attempts.succeeded(keys)
        return user

    def tokens(self, consent: Consent, refresh: str) -> dict[str, object]:
        """The answer of the token endpoint. Raises OAuthError when the user is gone."""
        user = self.users.get(consent.user)
        if user is None:
            self.sessions.end_of(consent.user)
            raise OAuthError("invalid_grant", f"there is no user {consent.user} any more")
        now = self.now()
        return {
            "access_token": self.signer.access(user, consent, now),
            "id_token": self.signer.identity(user, consent, now),
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": int(LIFETIME),
            "scope": consent.scope,
        }


IssuerDependency = NamedDependency[IssuerService]
"""How a route asks for it, by the name `service`."""

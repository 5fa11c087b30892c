"""Service tokens: random secrets for programs, stored as hashes, that act for a subject within a scope.

A token has no permissions of its own. It has those that its subject has at the time of the call, narrowed by its scope. When a
subject loses a role, all tokens of that subject lose it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable
from datetime import timedelta

import msgspec

from pincompute.gateway.access.permissions import NONE, Permissions
from pincompute.gateway.access.roles import Roles
from pincompute.gateway.call_context import Caller
from pincompute.kube.clock import SYSTEM, Clock
from pincompute.store.token_table import ServiceToken, TokenScope, TokenTable

log = logging.getLogger(__name__)

PREFIX = "pct_"  # scanners of repositories find leaked secrets by it
ENTROPY = 32  # bytes: nothing to guess, so one round of SHA-256 is enough at rest

REFRESH = 5.0  # seconds until a gateway knows what another one revoked
MISS = 1.0  # seconds between two reads of the storage for an unknown secret
READ = 5.0  # seconds that one read may take
LONGEST = timedelta(days=366)


class ServiceTokens:
    """All tokens of the region in memory, so that checking one asks nobody; the storage is read again every few seconds."""

    def __init__(
        self, storage: TokenTable, clock: Clock = SYSTEM, entropy: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._entropy = entropy
        self._by_id: dict[str, ServiceToken] = {}
        self._by_digest: dict[str, ServiceToken] = {}
        self._callers: dict[str, Caller] = {}
        self._looked = float("-inf")
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Keeps up with other gateways. While the storage is away, what is known stays in force until it expires."""
        while True:
            try:
                await self.refresh()
            except Exception as problem:  # noqa: BLE001 - a storage may fail in any way; the next read tries again
                log.warning("service tokens not refreshed", extra={"problem": str(problem)})
            await self._clock.sleep(REFRESH)

    async def refresh(self) -> None:
        async with self._reading, asyncio.timeout(READ):
            self._looked = self._clock.monotonic()
            tokens = await self._storage.everything()
            self._by_id = {token.id: token for token in tokens}
            self._by_digest = {token.digest: token for token in tokens}
            self._callers.clear()

    async def create(
        self, name: str, caller: Caller, subject: str, scope: TokenScope, lifetime: timedelta
    ) -> tuple[str, ServiceToken]:
        """The secret, which nobody ever sees again, and the record. Whether the caller may is for the caller of this."""
        secret = PREFIX + self._entropy(ENTROPY).hex()
        now = self._clock.wall()
        token = ServiceToken(
            id="token-" + self._entropy(6).hex(),
            name=name,
            subject=subject,
            groups=tuple(sorted(caller.groups)) if subject == caller.name else (),
            scope=scope,
            digest=digest(secret),
            created_by=caller.name,
            created_at=now,
            expires_at=now + min(lifetime, LONGEST),
        )
        async with self._reading, asyncio.timeout(READ):
            await self._storage.add(token)
            self._keep(token)
        return secret, token

    async def revoke(self, identity: str) -> bool:
        """In force here at once, in other gateways within REFRESH. False when there is no such token."""
        now = self._clock.wall()
        async with self._reading, asyncio.timeout(READ):  # a refresh that read before this must not write after it
            found = await self._storage.revoke(identity, now)
            known = self._by_id.get(identity)
            if known is not None:
                self._keep(msgspec.structs.replace(known, revoked_at=known.revoked_at or now))
        return found

    async def find(self, secret: str) -> ServiceToken | None:
        """The token of a secret, also when it is no longer in force. May raise what the storage raises."""
        wanted = digest(secret)
        found = self._by_digest.get(wanted)
        if found is None and self._clock.monotonic() - self._looked >= MISS:
            await self.refresh()  # another gateway may just have made it
            found = self._by_digest.get(wanted)
        return found

    def in_force(self, identity: str) -> ServiceToken | None:
        """None when there is no such token, when it was revoked, or when it has expired."""
        token = self._by_id.get(identity)
        if token is None or token.revoked_at is not None or token.expires_at <= self._clock.wall():
            return None
        return token

    def caller(self, token: ServiceToken) -> Caller:
        """As whom the bearer of a token calls."""
        known = self._callers.get(token.id)
        if known is None:
            known = self._callers[token.id] = caller(token)
        return known

    def all(self) -> tuple[ServiceToken, ...]:
        """Newest first; revoked and expired ones as well, for whoever wants to know what there was."""
        return tuple(sorted(self._by_id.values(), key=lambda token: (token.created_at, token.id), reverse=True))

    def _keep(self, token: ServiceToken) -> None:
        self._by_id[token.id] = self._by_digest[token.digest] = token


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def scope_permissions(scope: TokenScope, roles: Roles) -> Permissions:
    """What a scope lets through. A role and operations together: only what both let through."""
    allowed = [roles.of_project(scope.role)] if scope.role else []
    if scope.operations:
        allowed.append(roles.universe.of_operations(scope.operations))
    return allowed[0].intersection(*allowed) if allowed else NONE


def caller(token: ServiceToken) -> Caller:
    return Caller(
        name=token.subject,
        groups=frozenset(token.groups),
        kind="service",
        token_id=token.id,
        expires=token.expires_at.timestamp(),
    )

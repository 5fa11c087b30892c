"""Keeps service tokens: random secrets for programs, stored as hashes, that act for their maker within a scope.

A token has no permissions of its own. It has those that its maker has at the time of the call, narrowed by its scope. When a
maker loses a role, all their tokens lose it. A gateway learns from each login which groups a maker is in,
and notes these on the tokens. Groups that no login has confirmed for GROUPS_LIFETIME do not count any more.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from pincompute.gateway import problems
from pincompute.gateway.access.permissions import NONE, Permissions
from pincompute.gateway.access.roles import Roles
from pincompute.gateway.call_context import Caller
from pincompute.kube.clock import SYSTEM, Clock
from pincompute.store.token_table import ServiceToken, TokenScope, TokensState, TokenTable

log = logging.getLogger(__name__)

PREFIX = "pct_"  # scanners of repositories find leaked secrets by it
ENTROPY = 32  # bytes: nothing to guess, so one round of SHA-256 is enough at rest

NAME_PATTERN = "[A-Za-z0-9]([A-Za-z0-9 ._/@-]*[A-Za-z0-9])?"  # nothing that could be read as somebody else's name

REFRESH = 5.0  # seconds until a gateway knows what another one revoked
MISS = 1.0  # seconds between two reads of the storage for an unknown secret
WHOLE = 60.0  # seconds until everything is read again without a sign of change: groups change without one
READ = 5.0  # seconds that one read may take
LONGEST = timedelta(days=366)
GROUPS_LIFETIME = timedelta(days=30)
CONFIRMED = timedelta(days=1)  # so old a confirmation may get before a login renews it
MOST = 50  # tokens in force of one maker
KEPT = timedelta(days=30)  # that a token which ended is still listed
PRUNE = 3600.0  # seconds between two removals of what ended longer ago


class ServiceTokens:
    """All tokens of the region in memory, so that checking one asks nobody; the storage is read again every few seconds."""

    def __init__(
        self,
        storage: TokenTable,
        clock: Clock = SYSTEM,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        records: Clock | None = None,
    ) -> None:
        """Tokens end by `clock`, our own. What is written down of them follows `records`, the host's, as all records do."""
        self._storage = storage
        self._clock = clock
        self._records = records or clock
        self._entropy = entropy
        self._by_id: dict[str, ServiceToken] = {}
        self._by_digest: dict[str, ServiceToken] = {}
        self._callers: dict[str, Caller] = {}
        self._logins: dict[str, frozenset[str]] = {}  # the groups of makers who logged in
        self._subjects: frozenset[str] = frozenset()
        self._pruned = float("-inf")
        self._looked = float("-inf")
        self._read = float("-inf")
        self._state: TokensState | None = None  # of the storage before everything was last read
        self._reading = asyncio.Lock()
        self._on_end: list[Callable[[str], None]] = []

    def on_end(self, listener: Callable[[str], None]) -> None:
        """Registers for the id of each token that is revoked or removed."""
        self._on_end.append(listener)

    async def run(self) -> None:
        """Keeps up with other gateways. While the storage is away, what is known stays in force until it expires."""
        while True:
            try:
                await self.prune()
                await self.keep_up()
                await self.write_groups()
            except Exception as problem:  # noqa: BLE001 - a storage may fail in any way; the next read tries again
                log.warning("service tokens not refreshed", extra={"problem": str(problem)})
            await self._clock.sleep(REFRESH)

    async def keep_up(self) -> None:
        """Reads everything again if a token was added, removed or revoked, and once in WHOLE seconds."""
        self._looked = self._clock.monotonic()
        async with asyncio.timeout(READ):
            state = await self._storage.state()
        if state != self._state or self._looked - self._read >= WHOLE:
            await self.refresh()

    async def refresh(self) -> None:
        async with self._reading, asyncio.timeout(READ):
            self._looked = self._read = self._clock.monotonic()
            self._state = None  # until everything is read
            state = await self._storage.state()  # a change after this one is read again
            tokens = await self._storage.everything()
            self._state = state
            before, self._by_id = self._by_id, {token.id: token for token in tokens}
            self._by_digest = {token.digest: token for token in tokens}
            self._subjects = frozenset(token.subject for token in tokens)
            self._callers.clear()
        for identity, token in before.items():
            known = self._by_id.get(identity)
            if token.revoked_at is None and (known is None or known.revoked_at is not None):
                self._tell_end(identity)

    async def prune(self) -> None:
        """Removes what ended long ago, once an hour."""
        if self._clock.monotonic() - self._pruned < PRUNE:
            return
        async with asyncio.timeout(READ):
            await self._storage.prune(min(self._clock.wall(), self._records.wall()) - KEPT)  # what is removed stays removed
        self._pruned = self._clock.monotonic()

    def logged_in(self, caller: Caller) -> None:
        """Notes the groups of a user who proved who they are; `write_groups` gives them to the user's tokens."""
        if caller.name in self._subjects:
            self._logins[caller.name] = caller.groups

    async def write_groups(self) -> None:
        """Stores the groups of the logins since the last call. A token of an earlier version keeps its groups from now on."""
        logins, self._logins, now = self._logins, {}, self._clock.wall()
        try:
            for token in tuple(self._by_id.values()):
                groups = logins.get(token.subject, frozenset(token.groups) if token.groups_at is None else None)
                if groups is not None and self.in_force(token.id) is not None and not _has_confirmed(token, groups, now):
                    await self._write_groups(token, groups, now)
        except Exception:
            self._logins = logins | self._logins
            raise

    async def _write_groups(self, token: ServiceToken, groups: frozenset[str], now: datetime) -> None:
        async with self._reading, asyncio.timeout(READ):
            known = self._by_id.get(token.id, token)
            changed = msgspec.structs.replace(known, groups=tuple(sorted(groups)), groups_at=now)
            await self._storage.update(changed)
            self._keep(changed)

    async def create(
        self, name: str, caller: Caller, subject: str, scope: TokenScope, lifetime: timedelta
    ) -> tuple[str, ServiceToken]:
        """The secret, which nobody ever sees again, and the record. Whether the caller may is for the caller of this.

        Raises Problem when the maker has too many tokens.
        """
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
            created_at=self._records.wall(),
            expires_at=now + min(lifetime, LONGEST),
            groups_at=now,
        )
        async with self._reading, asyncio.timeout(READ):
            if sum(self.in_force(each.id) is not None for each in self._by_id.values() if each.subject == subject) >= MOST:
                raise problems.conflict(
                    f"{subject} has {MOST} service tokens, which is the limit", "revoke one that you do not need"
                )
            await self._storage.add(token)
            self._keep(token)
        return secret, token

    async def revoke(self, identity: str) -> bool:
        """Revokes a token: here at once, in other gateways within REFRESH. Returns False when there is no such token."""
        now = self._records.wall()
        async with self._reading, asyncio.timeout(READ):  # a refresh that read before this must not write after it
            found = await self._storage.revoke(identity, now)
            known = self._by_id.get(identity)
            if known is not None:
                self._keep(msgspec.structs.replace(known, revoked_at=known.revoked_at or now))
        self._tell_end(identity)
        return found

    async def find(self, secret: str) -> ServiceToken | None:
        """The token of a secret, also when it is no longer in force. May raise what the storage raises."""
        wanted = digest(secret)
        found = self._by_digest.get(wanted)
        if found is None and self._clock.monotonic() - self._looked >= MISS:
            await self.keep_up()  # another gateway may just have made it
            found = self._by_digest.get(wanted)
        return found

    def in_force(self, identity: str) -> ServiceToken | None:
        """Returns the token; None when there is no such token, when it was revoked, or when it has expired."""
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

    def _tell_end(self, identity: str) -> None:
        for listener in self._on_end:
            listener(identity)

    def _keep(self, token: ServiceToken) -> None:
        self._by_id[token.id] = self._by_digest[token.digest] = token
        self._subjects |= {token.subject}
        self._callers.pop(token.id, None)


def _has_confirmed(token: ServiceToken, groups: frozenset[str], now: datetime) -> bool:
    fresh = token.groups_at is not None and timedelta() <= now - token.groups_at < CONFIRMED
    return fresh and groups == frozenset(token.groups)


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def scope_permissions(scope: TokenScope, roles: Roles) -> Permissions:
    """What a scope lets through. A role and operations together: only what both let through."""
    allowed = [roles.of_project(scope.role)] if scope.role else []
    if scope.operations:
        allowed.append(roles.universe.of_operations(scope.operations))
    return allowed[0].intersection(*allowed) if allowed else NONE


def caller(token: ServiceToken) -> Caller:
    confirmed = token.groups_at or token.created_at
    return Caller(
        name=token.subject,
        groups=frozenset(token.groups),
        kind="service",
        token_id=token.id,
        expires=token.expires_at.timestamp(),
        token=token.name if re.fullmatch(NAME_PATTERN, token.name) else token.id,
        groups_until=(confirmed + GROUPS_LIFETIME).timestamp(),
    )

"""An Authorizer over projects and tokens in memory, and a clock that stands still until it is moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from pincompute.api.meta import ObjectMeta
from pincompute.api.projects import Project, ProjectMember, ProjectSpec
from pincompute.gateway.access import Authorizer, Roles, ServiceTokens, TokenScope
from pincompute.gateway.access.service_tokens import ServiceToken, caller
from pincompute.gateway.call_context import Caller
from pincompute.gateway.gateway_settings import AccessSettings, RoleRule
from pincompute.kube.clock import Clock
from pincompute.store.records import micros
from pincompute.store.token_table import TokensState

START = datetime(2026, 1, 1, tzinfo=UTC)
ACCESS = AccessSettings(
    platform_roles={
        "admin": ("root", "group:admins", "pincompute:admin"),
        "auditor": ("audrey",),
        "viewer": ("group:watchers",),
        "operator": ("oncall",),
        "project-creator": ("group:staff",),
    },
    custom_roles={"restarter": (RoleRule(("apps",), ("get", "list", "restart")),)},
)


@dataclass
class Time:
    now: datetime = START
    monotonic: float = 1000.0

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.monotonic += seconds

    async def sleep(self, seconds: float) -> None:
        self.pass_by(seconds)

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.monotonic, sleep=self.sleep, wall=lambda: self.now)


def project(name: str, uid: str = "", **members: str) -> Project:
    """Members by name; `__` stands for a colon."""
    listed = tuple(ProjectMember(name=who.replace("__", ":"), role=role) for who, role in members.items())
    return Project(metadata=ObjectMeta(name=name, uid=uid or f"uid-of-{name}"), spec=ProjectSpec(members=listed))


class InMemoryTokenStorage:
    """In place of the database's table."""

    def __init__(self) -> None:
        self._tokens: dict[str, ServiceToken] = {}

    async def add(self, token: ServiceToken) -> None:
        self._tokens[token.id] = token

    async def everything(self) -> Sequence[ServiceToken]:
        return tuple(self._tokens.values())

    async def state(self) -> TokensState:
        revoked = [token.revoked_at for token in self._tokens.values() if token.revoked_at is not None]
        return TokensState(len(self._tokens), len(revoked), micros(max(revoked)) if revoked else 0)

    async def update(self, token: ServiceToken) -> None:
        self._tokens[token.id] = msgspec.structs.replace(token, revoked_at=self._tokens[token.id].revoked_at)

    async def prune(self, before: datetime) -> None:
        ended = [each for each in self._tokens.values() if min(each.expires_at, each.revoked_at or each.expires_at) < before]
        for token in ended:
            del self._tokens[token.id]

    async def revoke(self, identity: str, at: datetime) -> bool:
        found = self._tokens.get(identity)
        if found is None:
            return False
        self._tokens[identity] = msgspec.structs.replace(found, revoked_at=found.revoked_at or at)
        return True


@dataclass
class World:
    """`demo` is the project in which everybody has the role of their name; in `other` only somebody else has one."""

    time: Time = field(default_factory=Time)
    projects: dict[str, Project] = field(
        default_factory=lambda: {
            "demo": project(
                "demo",
                vera="viewer",
                dev="developer",
                op="operator",
                olga="owner",
                rita="restarter",
                nick="nonsense",
                group__readers="viewer",
                service__ci="operator",
            ),
            "other": project("other", somebody="owner"),
        }
    )

    def __post_init__(self) -> None:
        self.tokens = ServiceTokens(InMemoryTokenStorage(), self.time.clock)
        self.authorizer = Authorizer(Roles(ACCESS), self.projects.get, self.tokens.in_force, lambda: self.time.now.timestamp())

    async def token(self, owner: Caller, scope: TokenScope, subject: str = "", days: float = 1) -> ServiceToken:
        bound = self.authorizer.bind(scope) or scope
        _, made = await self.tokens.create("t", owner, subject or owner.name, bound, timedelta(days=days))
        return made

    async def service(self, owner: Caller, scope: TokenScope, subject: str = "") -> Caller:
        return caller(await self.token(owner, scope, subject))


def user(name: str, *groups: str) -> Caller:
    return Caller(name, frozenset(groups))

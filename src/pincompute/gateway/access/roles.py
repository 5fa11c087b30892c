"""The roles there are. Project roles grow: viewer ⊂ developer ⊂ operator ⊂ owner; platform roles hold in every project.

The surprising rule: an auditor sees what happened everywhere, but not what is inside a workload: no logs, files or shells.
"""

from __future__ import annotations

from collections.abc import Mapping

from pincompute.gateway.access.rights import ALL, NONE, Rights, custom, of, operations
from pincompute.gateway.settings import Access, SettingsError

READ = ("get", "list", "watch")
WORKLOADS = ("apps", "units")

VIEWER = of((*WORKLOADS, "projects", "members", "history", "events", "logs"), READ)
DEVELOPER = VIEWER | of(WORKLOADS, ("create", "update", "delete", "scale", "rollback"))
OPERATOR = (
    DEVELOPER
    | of(WORKLOADS, ("pause", "resume", "stop", "start", "restart"))
    | of(("shells",), ("get", "list", "create", "open"))
    | of(("files",), ("get", "list", "create", "update", "delete"))
)
OWNER = (
    OPERATOR
    | of(("projects",), ("update", "delete"))
    | of(("members",), ("create", "update", "delete"))
    | of(("tokens",), ("get", "list", "create", "delete"))
)

PROJECT_ROLES: Mapping[str, Rights] = {"viewer": VIEWER, "developer": DEVELOPER, "operator": OPERATOR, "owner": OWNER}

PLATFORM_ROLES: Mapping[str, Rights] = {
    "admin": ALL,
    "auditor": of(("audit", "clusters", "tokens", "roles"), READ) | (VIEWER - of(("logs",), ("*",))),
    "viewer": VIEWER | of(("clusters",), READ),
    "operator": OPERATOR | of(("clusters",), READ),
    "project-creator": of(("projects",), ("create",)),
}

OF_THE_REGION: Rights = of(("clusters", "audit", "roles", "session"), ("*",)) | of(("projects",), ("create",))
"""Rights that mean nothing inside a project; only a platform role or everybody's rights give them."""

SELF: Rights = of(("session",), ("get",))
"""What nobody known is refused: to ask who they are."""

LISTS: Rights = of((*WORKLOADS, "projects", "history", "events"), ("list", "watch"))
"""Over all projects: whoever is known may ask, and gets what they may see."""

EVERYBODY: Rights = SELF | LISTS | of(("roles",), ("get", "list")) | of(("tokens",), ("get", "list", "create", "delete"))
"""What every person may ask outside of a project: lists hold only what they may see, tokens only their own."""

BEYOND_TOKENS: Rights = of(("tokens",), ("create", "update", "delete"))
"""A service token never makes, changes or removes service tokens, whatever its scope says."""


class Roles:
    """Names to rights, built-in and custom."""

    def __init__(self, access: Access) -> None:
        """Raises SettingsError."""
        own = custom(access.custom_roles, {*PROJECT_ROLES, *PLATFORM_ROLES})
        self._project: Mapping[str, Rights] = {**PROJECT_ROLES, **own}
        self._platform: Mapping[str, Rights] = {**PLATFORM_ROLES, **own}
        for name in access.platform_roles:
            if name not in self._platform:
                raise SettingsError(f"access.platformRoles.{name}: expected one of {', '.join(sorted(self._platform))}")
        self._holders = _holders(access.platform_roles)

    def of_project(self, role: str) -> Rights:
        """What the role allows in a project; a role that is not defined allows nothing."""
        return self._project.get(role, NONE) - OF_THE_REGION

    def of_platform(self, names: frozenset[str]) -> tuple[tuple[str, ...], Rights]:
        """The platform roles of whoever goes by these names, and what they allow together."""
        held = sorted({role for name in names for role in self._holders.get(name, ())})
        return tuple(held), NONE.union(*(self._platform[role] for role in held))

    def described(self) -> dict[str, tuple[str, ...]]:
        """Every role that a project member can have, with its operations."""
        return {name: operations(rights - OF_THE_REGION) for name, rights in self._project.items()}

    def has(self, role: str) -> bool:
        return role in self._project


def _holders(bindings: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    """Platform roles by the name that holds them."""
    found: dict[str, tuple[str, ...]] = {}
    for role, names in bindings.items():
        for name in names:
            found[name] = (*found.get(name, ()), role)
    return found

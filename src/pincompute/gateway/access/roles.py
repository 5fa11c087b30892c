"""Defines the built-in roles, and adds those that the gateway's settings define.

Project roles grow: viewer ⊂ developer ⊂ operator ⊂ owner. Platform roles hold in every project. An auditor
sees what happened everywhere, but nothing inside a workload: no logs, files, images or shells.
"""

from __future__ import annotations

from collections.abc import Mapping

from pincompute.api import kinds as workloads
from pincompute.gateway.access.permissions import NONE, Permissions, PermissionUniverse, permission_for
from pincompute.gateway.call_context import Operation
from pincompute.gateway.gateway_settings import AccessSettings, SettingsError

READ = ("get", "list", "watch")
OWNER = "owner"
BUILT_IN = ("viewer", "developer", "operator", OWNER)
"""The project roles, each with all permissions of the one before."""

_FIXED = PermissionUniverse(())  # of what every region has, whichever kinds of workloads it has

OF_THE_REGION: Permissions = _FIXED.of(
    ("clusters", "sidecars", "daemons", "audit", "roles", "session", "policies"), ("*",)
) | _FIXED.of(("projects",), ("create",))
"""Rights that mean nothing inside a project; only a platform role or everybody's rights give them."""

SELF: Permissions = _FIXED.of(("session",), ("get",)) | _FIXED.of(("images",), ("open",))
"""What nobody known is refused: to ask who they are, and for a token of the image registry, which holds what they may do."""

BEYOND_TOKENS: Permissions = _FIXED.of(("tokens",), ("create", "update", "delete"))
"""A service token never makes, changes or removes service tokens, whatever its scope says."""


def project_roles(universe: PermissionUniverse) -> Mapping[str, Permissions]:
    of, workloads = universe.of, universe.workloads
    viewer = of((*workloads, "projects", "members", "history", "events", "usage", "logs", "images", "secrets", "configs"), READ)
    viewer |= of(("images",), ("pull",))
    developer = viewer | of(("secrets", "configs"), ("update", "delete", "rollback"))
    developer |= of(workloads, ("create", "update", "delete", "scale", "rollback", "approve", "abort", "retry"))
    developer |= of(("images",), ("push",))
    operator = (
        developer
        | of(workloads, ("pause", "resume", "stop", "start", "restart"))
        | of(("shells",), ("get", "list", "create", "open"))
        | of(("files",), ("get", "list", "create", "update", "delete"))
    )
    owner = (
        operator
        | of(("projects",), ("update", "delete"))
        | of(("members",), ("create", "update", "delete"))
        | of(("tokens",), ("get", "list", "create", "delete"))
        | of(("images",), ("delete",))
    )
    return {"viewer": viewer, "developer": developer, "operator": operator, OWNER: owner}


def platform_roles(universe: PermissionUniverse) -> Mapping[str, Permissions]:
    of, inside = universe.of, project_roles(universe)
    return {
        "admin": universe.all,
        "auditor": of(("audit", "clusters", "sidecars", "daemons", "tokens", "roles"), READ)
        | (inside["viewer"] - of(("logs", "images", "configs"), ("*",))),
        "viewer": inside["viewer"] | of(("clusters", "sidecars", "daemons"), READ),
        "operator": inside["operator"] | of(("clusters", "sidecars", "daemons"), READ),
        "project-creator": of(("projects",), ("create",)),
    }


class Roles:
    """Names to rights, built-in and custom, and what everybody may.

    `lists` are over all projects: whoever is known may ask, and gets what they may see. `everybody` is what every person may
    ask outside of a project: lists hold only what they may see, tokens only their own.
    """

    def __init__(self, access: AccessSettings, kinds: workloads.Kinds = workloads.KINDS) -> None:
        """Raises SettingsError."""
        self.universe = PermissionUniverse(kinds)
        of = self.universe.of
        self.lists: Permissions = of((*self.universe.workloads, "projects", "history", "events"), ("list", "watch"))
        asked = of(("roles",), ("get", "list")) | of(("tokens",), ("get", "list", "create", "delete"))
        self.everybody: Permissions = SELF | self.lists | asked
        inside, everywhere = project_roles(self.universe), platform_roles(self.universe)
        own = self.universe.custom(access.custom_roles, {*inside, *everywhere})
        self._project: Mapping[str, Permissions] = {**inside, **own}
        self._platform: Mapping[str, Permissions] = {**everywhere, **own}
        for name in access.platform_roles:
            if name not in self._platform:
                raise SettingsError(f"access.platformRoles.{name}: expected one of {', '.join(sorted(self._platform))}")
        self._holders = _holders(access.platform_roles)

    def of_project(self, role: str) -> Permissions:
        """What the role allows in a project; a role that is not defined allows nothing."""
        return self._project.get(role, NONE) - OF_THE_REGION

    def of_platform(self, names: frozenset[str]) -> tuple[tuple[str, ...], Permissions]:
        """The platform roles of whoever goes by these names, and what they allow together."""
        held = sorted({role for name in names for role in self._holders.get(name, ())})
        return tuple(held), NONE.union(*(self._platform[role] for role in held))

    def smallest(self, operation: Operation) -> str:
        """The smallest built-in role with which a service token allows this in a project; empty when there is none."""
        wanted = permission_for(operation)
        allowing = (role for role in BUILT_IN if wanted in self.of_project(role) - BEYOND_TOKENS)
        return next(allowing, "")

    def described(self) -> dict[str, tuple[str, ...]]:
        """Every role that a project member can have, with its operations."""
        return {name: self.universe.operations(rights - OF_THE_REGION) for name, rights in self._project.items()}

    def has(self, role: str) -> bool:
        return role in self._project


def _holders(bindings: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    """Platform roles by the name that holds them."""
    found: dict[str, tuple[str, ...]] = {}
    for role, names in bindings.items():
        for name in names:
            found[name] = (*found.get(name, ()), role)
    return found

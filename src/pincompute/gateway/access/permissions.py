"""Defines permissions as sets of (resource, verb): a role is a set, narrowing is intersection, "may grant" is inclusion.

All permissions are known in advance, so "*" is expanded when a rule is read and never evaluated later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import TypeAlias, cast, get_args

from pincompute.api import kinds as workloads
from pincompute.api import near_names
from pincompute.gateway import call_context
from pincompute.gateway.call_context import Operation, Resource, Verb
from pincompute.gateway.gateway_settings import RoleRule, SettingsError

Permission: TypeAlias = tuple[Resource, Verb]
Permissions: TypeAlias = frozenset[Permission]

VERBS: tuple[Verb, ...] = get_args(Verb)
NONE: Permissions = frozenset()
OPEN_SHELLS: Permission = ("shells", "open")
OPEN_PORTS: Permissions = frozenset({("ports", "open")})


class UnknownPermission(ValueError):  # noqa: N818 - it names what is unknown
    """A rule names a resource or a verb that there is not."""


class PermissionUniverse:
    """Every right there can be in a region with these workload kinds."""

    def __init__(self, kinds: workloads.Kinds = workloads.KINDS) -> None:
        self.workloads: tuple[Resource, ...] = tuple(kind.plural for kind in kinds)
        self.resources: tuple[Resource, ...] = (*self.workloads, *call_context.RESOURCES)
        self.all: Permissions = frozenset(product(self.resources, VERBS))

    def of(self, resources: Iterable[str], verbs: Iterable[str]) -> Permissions:
        """Every verb on every resource; "*" stands for all. A shell reaches every port of its replica, so the right to open one
        includes ports. Raises UnknownPermission.
        """
        named = _all_of(resources, self.resources, "resource")
        found = frozenset(cast("Permission", pair) for pair in product(named, _all_of(verbs, VERBS, "verb")))
        return found | OPEN_PORTS if OPEN_SHELLS in found else found

    def of_operations(self, operations: Iterable[str]) -> Permissions:
        """Parses `apps:get`, `apps:*`, `*:list`. Raises UnknownPermission."""
        found: set[Permission] = set()
        for operation in operations:
            resource, _, verb = operation.partition(":")
            found |= self.of((resource,), (verb,))
        return frozenset(found)

    def operations(self, rights: Permissions) -> tuple[str, ...]:
        """`apps:get` and so on, sorted; a resource of which all is allowed is `apps:*`."""
        whole = {resource for resource in self.resources if all((resource, verb) in rights for verb in VERBS)}
        single = {f"{resource}:{verb}" for resource, verb in rights if resource not in whole}
        return tuple(sorted({f"{resource}:*" for resource in whole} | single))

    def custom(self, roles: Mapping[str, tuple[RoleRule, ...]], taken: Iterable[str]) -> dict[str, Permissions]:
        """The roles a region's settings define. Raises SettingsError."""
        for name in roles:
            if name in taken:
                raise SettingsError(f"access.customRoles.{name}: is a built-in role; choose another name")
        try:
            return {name: NONE.union(*(self.of(rule.resources, rule.verbs) for rule in rules)) for name, rules in roles.items()}
        except UnknownPermission as unknown:
            raise SettingsError(f"access.customRoles: {unknown}") from None


RESOURCES = PermissionUniverse().resources


def permission_for(operation: Operation) -> Permission:
    return (operation.resource, operation.verb)


def _all_of(names: Iterable[str], known: tuple[str, ...], what: str) -> set[str]:
    found: set[str] = set()
    for name in names:
        if name == "*":
            return set(known)
        if name not in known:
            near = near_names.nearest(name, known)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise UnknownPermission(
                f"{name[: near_names.LONGEST]!r} is not a {what}: one of {', '.join(known)} or '*' is expected{meant}"
            )
        found.add(name)
    return found

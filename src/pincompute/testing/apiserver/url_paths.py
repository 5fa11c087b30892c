"""Parses URL paths into the kind, the object and the subresource."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pincompute.api.meta import Key
from pincompute.testing.apiserver import error_responses
from pincompute.testing.apiserver.served_kinds import ServedKind

_OF_NAMESPACES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class RequestTarget:
    """`name` is empty for a collection."""

    kind: ServedKind
    namespace: str
    name: str
    subresource: str

    @property
    def key(self) -> Key:
        return Key(self.namespace, self.name)


def find(path: str, kinds: Iterable[ServedKind]) -> RequestTarget:
    """Raises NotFound for what is not served."""
    parts = [part for part in path.split("/") if part]
    group, version, rest = _root(parts)
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces" and not (not group and rest[2] in _OF_NAMESPACES):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = [*rest, "", "", ""][:3]
    for kind in kinds:
        resource = kind.resource
        if (resource.group, resource.version, resource.plural) == (group, version, plural):
            _check_scope(kind, namespace, name)
            return RequestTarget(kind, namespace, name, subresource)
    raise error_responses.refuse(404, "the server could not find the requested resource")


def _root(parts: list[str]) -> tuple[str, str, list[str]]:
    match parts:
        case ["api", version, *rest]:
            return "", version, rest
        case ["apis", group, version, *rest]:
            return group, version, rest
        case _:
            raise error_responses.refuse(404, "the server could not find the requested resource")


def _check_scope(kind: ServedKind, namespace: str, name: str) -> None:
    """A cluster-scoped kind is not found below a namespace, nor an object of a namespaced one without."""
    if bool(namespace) is not kind.resource.namespaced and (namespace or name):
        raise error_responses.refuse(404, "the server could not find the requested resource")

"""Makes RBAC manifests from cards: a process may do what its controllers' cards declare, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pincompute.api.labels import MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Manifest, Resource
from pincompute.engine.controller import Card, Verb, Where

READ = ("get", "list", "watch")

# what a card's word needs of the API server; an apply may create and asks first (S-002)
NEEDS: dict[Verb, tuple[str, ...]] = {
    "create": ("create",),
    "apply": ("get", "create", "patch"),
    "patch": ("patch",),
    "resize": ("patch",),
    "condition": ("patch",),
    "update": ("update",),
    "status": ("update",),
    "delete": ("delete",),
    "evict": ("create",),
    "scale": ("patch",),
    "source": ("get",),
    "copy": ("get", "create", "update", "delete"),
    "discard": ("get", "delete"),
}
SUBRESOURCES: dict[Verb, str] = {
    "status": "/status",
    "resize": "/resize",
    "condition": "/status",
    "evict": "/eviction",
    "scale": "/scale",
}  # verbs that stand on a subresource
ORDER = ("get", "list", "watch", "create", "update", "patch", "delete")


def cluster_role(name: str, cards: Iterable[Card[Any]], where: Where) -> Manifest:
    """Returns the ClusterRole that the process needs on the host, in members or in its local cluster."""
    verbs: dict[tuple[str, str], set[str]] = {}
    written = list(cards)
    _add_reads(verbs, written, where)
    _add_writes(verbs, written, where, in_projects=False)
    return _role(name, verbs)


def project_role(name: str, cards: Iterable[Card[Any]], where: Where) -> Manifest:
    """Returns the ClusterRole of what the process may do in projects only: a RoleBinding in each of them grants it."""
    verbs: dict[tuple[str, str], set[str]] = {}
    _add_writes(verbs, cards, where, in_projects=True)
    return _role(name, verbs)


def namespace_role(name: str, namespace: str, cards: Iterable[Card[Any]], where: Where) -> Manifest:
    """Returns the Role of what the process may do in this namespace of the platform only."""
    verbs: dict[tuple[str, str], set[str]] = {}
    written = list(cards)
    _add_reads(verbs, written, where, namespace)
    _add_writes(verbs, written, where, namespace=namespace)
    made = _role(name, verbs)
    return {**made, "kind": "Role", "metadata": {**made["metadata"], "namespace": namespace}}


def _add_reads(verbs: dict[tuple[str, str], set[str]], cards: Iterable[Card[Any]], where: Where, namespace: str = "") -> None:
    for card in cards:
        for reads in card.reads:
            if (reads.where, reads.namespace) == (where, namespace):
                verbs.setdefault(_target(reads.resource), set()).update(READ)


def _add_writes(
    verbs: dict[tuple[str, str], set[str]],
    cards: Iterable[Card[Any]],
    where: Where,
    *,
    in_projects: bool = False,
    namespace: str = "",
) -> None:
    for card in cards:
        for writes in card.writes:
            if (writes.where, writes.in_projects, writes.namespace) == (where, in_projects, namespace):
                for verb in writes.verbs:
                    verbs.setdefault(_target(writes.resource, verb), set()).update(NEEDS[verb])


def _role(name: str, verbs: dict[tuple[str, str], set[str]]) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {MANAGED_BY: PINCOMPUTE}},
        "rules": [_rule(group, plural, verbs[group, plural]) for group, plural in sorted(verbs)],
    }


def _target(resource: Resource[Any], verb: Verb | None = None) -> tuple[str, str]:
    return resource.group, resource.plural + (SUBRESOURCES.get(verb, "") if verb else "")


def _rule(group: str, plural: str, verbs: set[str]) -> Manifest:
    return {"apiGroups": [group], "resources": [plural], "verbs": sorted(verbs, key=ORDER.index)}

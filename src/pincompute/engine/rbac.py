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
    "update": ("update",),
    "status": ("update",),
    "delete": ("delete",),
    "evict": ("create",),
    "scale": ("patch",),
}
SUBRESOURCES: dict[Verb, str] = {
    "status": "/status",
    "evict": "/eviction",
    "scale": "/scale",
}  # verbs that stand on a subresource
ORDER = ("get", "list", "watch", "create", "update", "patch", "delete")


def cluster_role(name: str, cards: Iterable[Card[Any]], where: Where) -> Manifest:
    """Returns the ClusterRole that the process needs on the host, in members or in its local cluster."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for card in cards:
        for reads in card.reads:
            if reads.where == where:
                verbs.setdefault(_target(reads.resource), set()).update(READ)
        for writes in card.writes:
            if writes.where == where:
                for verb in writes.verbs:
                    verbs.setdefault(_target(writes.resource, verb), set()).update(NEEDS[verb])
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

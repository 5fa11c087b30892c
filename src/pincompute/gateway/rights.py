"""What the gateway may do in clusters. Users have no rights there of their own: the gateway decides for them, then acts.

On the host it writes what users write; in members it only looks, opens streams into containers, and deletes a pod that a
user wants restarted.
"""

from __future__ import annotations

from typing import Any

from pincompute.api.clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS, PROJECTS
from pincompute.api.labels import MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Manifest, Resource
from pincompute.api.shards import PINAPPSHARDS, PINPODSHARDS
from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.gateway import NAME

_LOOK = ("get", "list", "watch")
_WRITE = (*_LOOK, "create", "update", "patch", "delete")


def on_host() -> Manifest:
    written = [_rule(kind.group, kind.plural, _WRITE) for kind in (PINAPPS, PINPODS, PROJECTS)]
    return _role(*written, _looks(MEMBERCLUSTERS), _rule("", "events", _LOOK))


def in_members() -> Manifest:
    return _role(
        _rule("", "pods", (*_LOOK, "patch", "delete")),
        _rule("", "pods/log", ("get",)),
        _rule("", "pods/exec", ("get", "create")),
        _rule("", "pods/portforward", ("get", "create")),
        _rule("", "events", _LOOK),
        _rule("", "nodes", _LOOK),
        *(_looks(kind) for kind in (PINAPPSHARDS, PINPODSHARDS, CLUSTERCAPACITIES)),
    )


def _looks(kind: Resource[Any]) -> Manifest:
    return _rule(kind.group, kind.plural, _LOOK)


def _rule(group: str, resource: str, verbs: tuple[str, ...]) -> Manifest:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


def _role(*rules: Manifest) -> Manifest:
    metadata = {"name": NAME, "labels": {MANAGED_BY: PINCOMPUTE}}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": list(rules)}

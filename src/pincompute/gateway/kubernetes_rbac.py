"""Makes the Kubernetes RBAC rules of the gateway. Users have no rights in clusters: the gateway decides and acts for them.

On the host it writes workloads, projects and settings. In members its caches watch all pods; it reads logs, opens streams into
containers and marks pods for restart in projects only.
"""

from __future__ import annotations

from typing import Any

from pincompute.api.builtin import CONFIGMAPS, SECRETS
from pincompute.api.daemons import PINDAEMONS
from pincompute.api.kinds import KINDS, Kinds
from pincompute.api.labels import GATEWAY, MANAGED_BY, PINCOMPUTE, pods_role, settings_role
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.meta import Manifest, Resource
from pincompute.api.projects import PROJECTS
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.settings import SETTINGS
from pincompute.api.sidecars import PINSIDECARS
from pincompute.gateway import NAME

_READS = f"{NAME}-reads"  # not the process's name alone: that role of former versions goes after projects hold their bindings
_LOOK = ("get", "list", "watch")
_WRITE = (*_LOOK, "create", "update", "patch", "delete")


def on_host(kinds: Kinds = KINDS) -> Manifest:
    written_kinds = (*(k.workload for k in kinds), PROJECTS, PINSIDECARS, PINDAEMONS, *(kind.resource for kind in SETTINGS))
    written = [_rule(resource.group, resource.plural, _WRITE) for resource in written_kinds]
    members = _rule(PROJECTS.group, f"{PROJECTS.plural}/members", ("update",))  # no subresource: what an admission policy asks
    return _role(NAME, *written, members, _looks(PINREVISIONS), _looks(MEMBERCLUSTERS))


def in_projects_on_host() -> Manifest:
    """The role that a RoleBinding in each project grants: values of settings are written, and those of secrets never read."""
    secrets = _rule(SECRETS.group, SECRETS.plural, ("create",))
    configs = _rule(CONFIGMAPS.group, CONFIGMAPS.plural, ("get", "create"))
    return _role(settings_role(GATEWAY), secrets, configs)


def in_members(kinds: Kinds = KINDS) -> Manifest:
    """The role for all namespaces: what the caches watch. An API server gives no watch of the projects' namespaces alone."""
    return _role(
        _READS,
        _rule("", "pods", _LOOK),
        _rule("", "events", _LOOK),
        _rule("", "nodes", _LOOK),
        *(_looks(resource) for resource in (*(k.shard for k in kinds), CLUSTERCAPACITIES)),
    )


def in_projects_in_members() -> Manifest:
    """The role that a RoleBinding in each project grants: whatever reaches into a container, and requests for a restart."""
    return _role(
        pods_role(GATEWAY),
        _rule("", "pods", ("patch",)),
        _rule("", "pods/log", ("get",)),
        _rule("", "pods/exec", ("get", "create")),
        _rule("", "pods/portforward", ("get", "create")),
    )


def _looks(resource: Resource[Any]) -> Manifest:
    return _rule(resource.group, resource.plural, _LOOK)


def _rule(group: str, resource: str, verbs: tuple[str, ...]) -> Manifest:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


def _role(name: str, *rules: Manifest) -> Manifest:
    metadata = {"name": name, "labels": {MANAGED_BY: PINCOMPUTE}}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": list(rules)}

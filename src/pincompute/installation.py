"""Lists and applies what a cluster needs before our processes run: kinds, admission policies and RBAC.

A process's permissions come from its controllers' cards, so it may do what they declare and nothing else. Beyond the cards it
gets only its lease and, for the federation and the gateway, the Secrets with the members' kubeconfigs in its own namespace. The
gateway has no controllers; `gateway/kubernetes_rbac.py` lists its permissions, and `_USAGE` those of the usage reader. What
RBAC cannot say, such as "in projects only", `engine/process_policies.py` adds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from pincompute import gateway
from pincompute.api import admission_policies, manifests
from pincompute.api.daemons import PINDAEMONS
from pincompute.api.kinds import KINDS, Kinds
from pincompute.api.labels import (
    AUDIT_HEADS,
    BREAK_GLASS,
    DAEMONS_NAMESPACE,
    FEDERATION,
    GATEWAY,
    GATEWAY_USAGE,
    MANAGED_BY,
    OPERATOR,
    PINCOMPUTE,
    SYSTEM_NAMESPACE,
    USAGE,
    secrets_namespace,
    service_account,
    settings_role,
)
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Manifest
from pincompute.api.projects import PROJECTS
from pincompute.api.settings import SETTINGS
from pincompute.api.sidecars import PINSIDECARS
from pincompute.api.usage import PATH as USAGE_PATH
from pincompute.domain import project_roles
from pincompute.domain.project_roles import ProjectRole
from pincompute.engine import process_policies, rbac
from pincompute.federation import federation_process as federation
from pincompute.federation.project import namespace_objects
from pincompute.gateway import kubernetes_rbac
from pincompute.operator import operator_process as operator
from pincompute.region.cluster import former_rights, member_registration, update_type_conversion
from pincompute.region.cluster import manifest_installer as clusters
from pincompute.usage import usage_process

Role: TypeAlias = Literal["host", "member"]

RBAC = "rbac.authorization.k8s.io"
_AUDIT_HEADS: Manifest = {
    "apiGroups": [""],
    "resources": ["configmaps"],
    "resourceNames": [AUDIT_HEADS],
    "verbs": ["get", "patch"],
}
_USAGE: tuple[Manifest, ...] = (
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
)
_ASKS_USAGE: Manifest = {"nonResourceURLs": [USAGE_PATH], "verbs": ["get"]}
_SECRETS: Manifest = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}


def of(role: Role, kinds: Kinds = KINDS) -> list[Manifest]:
    """Returns everything for a host or a member cluster, in the order to apply it."""
    return (
        [*manifests.host_manifests(kinds), *_host_rights(kinds)]
        if role == "host"
        else [*manifests.member_manifests(kinds), *_member_rights(kinds), manifests.daemons_network()]
    )


async def install(role: Role, kubeconfig: Path, context: str) -> str:
    """Brings a cluster up to date by server-side apply; repeating it changes nothing. Returns what is left to do."""
    async with clusters.client(kubeconfig, context) as client:
        if role == "host":
            await update_type_conversion.convert(client)
        await clusters.Installer(client).apply_all(of(role))
        if role == "member":
            return await former_rights.withdraw(client)
        await member_registration.migrate(client)
        return ""


def _host_rights(kinds: Kinds) -> list[Manifest]:
    cards = [c.card for c in federation.CONTROLLERS]
    settings = [kind.resource for kind in SETTINGS]
    users_objects = [*(kind.workload for kind in kinds), PROJECTS, MEMBERCLUSTERS, PINSIDECARS, PINDAEMONS, *settings]
    return [
        *process_policies.on_host(cards, users_objects, namespace_objects.ON_HOST),
        *admission_policies.platform_objects(tuple(namespace_objects.ON_HOST)),
        *_service_accounts(FEDERATION, GATEWAY),
        *_granted(FEDERATION, rbac.cluster_role(federation.NAME, cards, "host")),
        *_granted(FEDERATION, _lease(federation.NAME)),
        *_granted(FEDERATION, _role(f"{federation.NAME}-members", secrets_namespace(FEDERATION), _SECRETS)),
        *_granted(FEDERATION, _binds(f"{federation.NAME}-bindings", *project_roles.ON_HOST)),
        rbac.project_role(settings_role(FEDERATION), cards, "host"),
        kubernetes_rbac.in_projects_on_host(),
        *_granted(GATEWAY, kubernetes_rbac.on_host(kinds)),
        *_granted(GATEWAY, _role(f"{gateway.NAME}-members", secrets_namespace(GATEWAY), _SECRETS)),
        *_granted(GATEWAY, _role(f"{gateway.NAME}-audit-heads", SYSTEM_NAMESPACE, _AUDIT_HEADS)),
        _break_glass(),
    ]


def _member_rights(kinds: Kinds) -> list[Manifest]:
    federated = [c.card for c in federation.CONTROLLERS]
    local = [c.card for c in operator.CONTROLLERS]
    return [
        *process_policies.in_members([*federated, *local], namespace_objects.IN_MEMBERS),
        *admission_policies.platform_objects(tuple(namespace_objects.IN_MEMBERS)),
        *_service_accounts(FEDERATION, OPERATOR, GATEWAY, USAGE, GATEWAY_USAGE),
        *_granted(FEDERATION, rbac.cluster_role(federation.NAME, federated, "members")),
        *_granted(FEDERATION, _binds(f"{federation.NAME}-bindings", *project_roles.IN_MEMBERS)),
        rbac.project_role(settings_role(FEDERATION), federated, "members"),
        *_granted(OPERATOR, rbac.cluster_role(operator.NAME, local, "local")),
        *_granted(OPERATOR, _lease(operator.NAME)),
        *_granted(OPERATOR, rbac.namespace_role(f"{operator.NAME}-daemons", DAEMONS_NAMESPACE, local, "local")),
        kubernetes_rbac.in_projects_in_members(),
        *_granted(GATEWAY, kubernetes_rbac.in_members(kinds)),
        *_granted(USAGE, _cluster_role(usage_process.NAME, *_USAGE)),
        *_granted(GATEWAY_USAGE, _cluster_role(service_account(GATEWAY_USAGE), _ASKS_USAGE)),
        _break_glass(),
    ]


def _lease(name: str) -> Manifest:
    """The Role for a process's own lease, which has the process's name; the name of what is created cannot be restricted."""
    kind = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    own = {**kind, "resourceNames": [name], "verbs": ["get", "update", "patch"]}
    return _role(name, SYSTEM_NAMESPACE, own, {**kind, "verbs": ["create"]})


def _cluster_role(name: str, *rules: Manifest) -> Manifest:
    metadata = {"name": name, "labels": {MANAGED_BY: PINCOMPUTE}}
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": list(rules)}


def _binds(name: str, *roles: ProjectRole) -> Manifest:
    """The ClusterRole that may bind these roles, and no other role."""
    rule = {
        "apiGroups": [RBAC],
        "resources": ["clusterroles"],
        "resourceNames": [role.name for role in roles],
        "verbs": ["bind"],
    }
    metadata = {"name": name, "labels": {MANAGED_BY: PINCOMPUTE}}
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": [rule]}


def _role(name: str, namespace: str, *rules: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "labels": {MANAGED_BY: PINCOMPUTE}}
    return {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": list(rules)}


def _break_glass() -> Manifest:
    """Makes the holders of a certificate for an emergency administrators. Without this binding, none of them has any right."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "pincompute-break-glass", "labels": {MANAGED_BY: PINCOMPUTE}},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": BREAK_GLASS}],
    }


def _service_accounts(*processes: str) -> list[Manifest]:
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": service_account(p), "namespace": SYSTEM_NAMESPACE, "labels": {MANAGED_BY: PINCOMPUTE}},
        }
        for p in processes
    ]


def _granted(process: str, role: Manifest) -> list[Manifest]:
    """Returns the role and its binding: to the process's service account, and to the name in a client certificate."""
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{role['kind']}Binding",
        "metadata": role["metadata"],
        "roleRef": {"apiGroup": RBAC, "kind": role["kind"], "name": role["metadata"]["name"]},
        "subjects": project_roles.subjects(process),
    }
    return [role, binding]

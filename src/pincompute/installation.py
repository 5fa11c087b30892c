"""Lists and applies what a cluster needs before our processes run: kinds, admission policies and RBAC.

A process's permissions come from its controllers' cards, so it may do what they declare and nothing else. Beyond the cards it
gets only its lease and, for the federation and the gateway, the Secrets with the members' kubeconfigs. The gateway has no
controllers; `gateway/kubernetes_rbac.py` lists its permissions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from pincompute import gateway
from pincompute.api import manifests
from pincompute.api.kinds import KINDS, Kinds
from pincompute.api.labels import AUDIT_HEADS, MANAGED_BY, PINCOMPUTE, SYSTEM_NAMESPACE, service_account
from pincompute.api.meta import Manifest
from pincompute.engine import rbac
from pincompute.federation import federation_process as federation
from pincompute.gateway import kubernetes_rbac
from pincompute.operator import operator_process as operator
from pincompute.region.cluster import manifest_installer as clusters

Role: TypeAlias = Literal["host", "member"]

RBAC = "rbac.authorization.k8s.io"
_LEASES: Manifest = {
    "apiGroups": ["coordination.k8s.io"],
    "resources": ["leases"],
    "verbs": ["get", "create", "update", "patch"],
}
_AUDIT_HEADS: Manifest = {
    "apiGroups": [""],
    "resources": ["configmaps"],
    "resourceNames": [AUDIT_HEADS],
    "verbs": ["get", "patch"],
}
_SECRETS: Manifest = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}


def of(role: Role, kinds: Kinds = KINDS) -> list[Manifest]:
    """Returns everything for a host or a member cluster, in the order to apply it."""
    return (
        [*manifests.host_manifests(kinds), *_host_rights(kinds)]
        if role == "host"
        else [*manifests.member_manifests(kinds), *_member_rights(kinds)]
    )


async def install(role: Role, kubeconfig: Path, context: str) -> None:
    """Brings a cluster up to date by server-side apply; repeating it changes nothing."""
    async with clusters.client(kubeconfig, context) as client:
        await clusters.Installer(client).apply_all(of(role))


def _host_rights(kinds: Kinds) -> list[Manifest]:
    cards = [c.card for c in federation.CONTROLLERS]
    return [
        *_service_accounts("federation", "gateway"),
        *_granted("federation", rbac.cluster_role(federation.NAME, cards, "host")),
        *_granted("federation", _system_role(federation.NAME, _LEASES, _SECRETS)),
        *_granted("gateway", kubernetes_rbac.on_host(kinds)),
        *_granted("gateway", _system_role(gateway.NAME, _SECRETS, _AUDIT_HEADS)),
    ]


def _member_rights(kinds: Kinds) -> list[Manifest]:
    federated = [c.card for c in federation.CONTROLLERS]
    local = [c.card for c in operator.CONTROLLERS]
    return [
        *_service_accounts("federation", "operator", "gateway"),
        *_granted("federation", rbac.cluster_role(federation.NAME, federated, "members")),
        *_granted("operator", rbac.cluster_role(operator.NAME, local, "local")),
        *_granted("operator", _system_role(operator.NAME, _LEASES)),
        *_granted("gateway", kubernetes_rbac.in_members(kinds)),
    ]


def _system_role(name: str, *rules: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": {MANAGED_BY: PINCOMPUTE}}
    return {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": list(rules)}


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
    subjects = [
        {"apiGroup": RBAC, "kind": "User", "name": f"pincompute:{process}"},
        {"kind": "ServiceAccount", "name": service_account(process), "namespace": SYSTEM_NAMESPACE},
    ]
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{role['kind']}Binding",
        "metadata": role["metadata"],
        "roleRef": {"apiGroup": RBAC, "kind": role["kind"], "name": role["metadata"]["name"]},
        "subjects": subjects,
    }
    return [role, binding]

"""Registers member clusters at the host: MemberClusters, the Secrets with their kubeconfigs, and the demo project.

The federation and the gateway each have a Secret of their own for each member, in a namespace of their own, so that neither
can read the other's. Namespaces, and not `resourceNames` in a Role, because a Role would have to change with every member.
"""

from __future__ import annotations

from typing import Any

import yaml

from pincompute.api.builtin import SECRETS
from pincompute.api.labels import (
    FEDERATION,
    GATEWAY,
    MANAGED_BY,
    PINCOMPUTE,
    SYSTEM_NAMESPACE,
    is_ours,
    secrets_namespace,
    service_account,
)
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.api.projects import PROJECTS
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import NotFound
from pincompute.kube.member_connections import KUBECONFIG, USAGE
from pincompute.region.cluster import certificates
from pincompute.region.cluster.manifest_installer import Installer
from pincompute.region.layout import Layout, MemberSpec

DEMO = "demo"
MOST = 10_000  # members that a region can have
HOLDERS = (FEDERATION, GATEWAY)  # processes that connect to members


def member_cluster(member: MemberSpec) -> Manifest:
    return _object(MEMBERCLUSTERS, member.name, {"zone": member.zone, "kubeconfig": {"name": secret_name(member.name)}})


def secrets(member: MemberSpec) -> list[Manifest]:
    """The Secrets of a member without their content: enough to delete them."""
    return [_secret(secrets_namespace(process), secret_name(member.name)) for process in HOLDERS]


def filled_secrets(layout: Layout, member: MemberSpec) -> list[Manifest]:
    """The Secrets with the credentials that each process has in the member."""
    usage = yaml.safe_dump(certificates.usage_kubeconfig(layout, member), sort_keys=False)
    return [
        manifest
        | {"stringData": {KUBECONFIG: _kubeconfig(layout, member, process)} | ({USAGE: usage} if process == GATEWAY else {})}
        for process, manifest in zip(HOLDERS, secrets(member), strict=True)
    ]


async def migrate(host: ApiClient) -> None:
    """Divides the one Secret that a former version had for each member, and withdraws the right to read it.

    A Secret without our label is copied, and stays.
    """
    installer = Installer(host)
    for kind in ("RoleBinding", "Role"):
        metadata = {"name": service_account(GATEWAY), "namespace": SYSTEM_NAMESPACE}
        await installer.delete({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata})
    names = {member.spec.kubeconfig.name for member in (await host.list_page(MEMBERCLUSTERS, limit=MOST)).items or ()}
    for name in sorted(names):
        try:
            former = await host.get(SECRETS, Key(SYSTEM_NAMESPACE, name))
        except NotFound:
            continue
        for process in HOLDERS:
            content = former.data.get(f"{process}.{KUBECONFIG}") or former.data.get(KUBECONFIG)
            if content:
                await installer.create_once(_secret(secrets_namespace(process), name) | {"data": {KUBECONFIG: content}})
        if is_ours(former.metadata.labels):
            await installer.delete(_secret(SYSTEM_NAMESPACE, name))


def _secret(namespace: str, name: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "labels": {MANAGED_BY: PINCOMPUTE}}
    return {"apiVersion": SECRETS.api_version, "kind": SECRETS.kind, "metadata": metadata, "type": "Opaque"}


def _kubeconfig(layout: Layout, member: MemberSpec, user: str) -> str:
    return yaml.safe_dump(certificates.embedded_kubeconfig(layout, member.name, 1 + member.index, user), sort_keys=False)


def secret_name(member: str) -> str:
    return f"member-{member}"


def demo_project() -> Manifest:
    members = [{"name": "dev", "role": "owner"}]
    return _object(PROJECTS, DEMO, {"description": "The first project: examples/hello runs here", "members": members})


def _object(resource: Resource[Any], name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec}

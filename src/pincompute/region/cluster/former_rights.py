"""Withdraws the rights to pods of all namespaces that former versions gave the gateway, once bindings in projects replace them.

The federation binds the gateway to its role for pods in each project's namespace. Until it has done so everywhere, the former
role stays, so an upgrade that stops half-way takes no logs and shells away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

from pincompute.api.builtin import NAMESPACES, ROLEBINDINGS, RoleBinding
from pincompute.api.labels import GATEWAY, MANAGED_BY, PINCOMPUTE, PROJECT, pods_role, service_account
from pincompute.api.meta import Manifest, Object, Resource
from pincompute.domain import project_roles
from pincompute.domain.project_roles import RBAC, ProjectRole
from pincompute.domain.zone_text import joined
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import NotFound
from pincompute.region.cluster.manifest_installer import Installer

_FORMER = service_account(GATEWAY)
_ROLE = f"/apis/{RBAC}/v1/clusterroles/{_FORMER}"
_WANTED: Manifest = project_roles.binding(ProjectRole(pods_role(GATEWAY), GATEWAY))
_NAMED = 3  # namespaces in a message

T = TypeVar("T", bound=Object)


async def withdraw(member: ApiClient) -> str:
    """Deletes the former role and its binding. Returns why they stay, as a sentence, empty when they are gone."""
    if not await _has_former_role(member):
        return ""
    lacking = await _lacking(member)
    if lacking:
        return _reason(member.name, lacking)
    installer = Installer(member)
    for kind in ("ClusterRoleBinding", "ClusterRole"):  # the role last: as long as it is there, a repetition goes on
        await installer.delete({"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": _FORMER}})
    return ""


async def _has_former_role(member: ApiClient) -> bool:
    try:
        await member.request("GET", _ROLE)
    except NotFound:
        return False
    return True


async def _lacking(member: ApiClient) -> list[str]:
    """Returns the projects' namespaces without the binding. One that ends gets none any more."""
    ours = f"{MANAGED_BY}={PINCOMPUTE}"
    projects = [found async for found in _all(member, NAMESPACES, {"labelSelector": f"{ours},{PROJECT}"})]
    named = {"labelSelector": ours, "fieldSelector": f"metadata.name={_WANTED['metadata']['name']}"}
    held = {found.metadata.namespace async for found in _all(member, ROLEBINDINGS, named) if _grants(found)}
    return [each.metadata.name for each in projects if not each.deleting and each.metadata.name not in held]


def _grants(found: RoleBinding) -> bool:
    return found.role_ref == _WANTED["roleRef"] and found.subjects == _WANTED["subjects"]


async def _all(member: ApiClient, resource: Resource[T], query: dict[str, str]) -> AsyncIterator[T]:
    token = ""
    while True:
        page = await member.list_page(resource, query=query, token=token)
        for found in page.items or ():
            yield found
        token = page.metadata.token
        if not token:
            return


def _reason(cluster: str, lacking: list[str]) -> str:
    more = len(lacking) - _NAMED
    names = joined([*lacking[:_NAMED], *([f"{more} more"] if more > 0 else [])])
    return (
        f"cluster {cluster} keeps the ClusterRole {_FORMER} of a former version until the federation of this version has made "
        f"the RoleBinding {_WANTED['metadata']['name']} in the namespaces of all projects; still without it: {names}. Repeat "
        "this command when `kubectl get projects` on the host shows all of them as ready"
    )

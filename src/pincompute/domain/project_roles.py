"""Lists the roles that processes have in projects only, and makes the RoleBinding of a role in one project.

Each binding grants a ClusterRole of its own name to one process. So a stolen credential reaches values of settings, logs and
shells in projects only. No ClusterRoleBinding names these roles.
"""

from __future__ import annotations

from typing import NamedTuple

from pincompute.api.labels import FEDERATION, GATEWAY, SYSTEM_NAMESPACE, pods_role, service_account, settings_role
from pincompute.api.meta import Manifest

RBAC = "rbac.authorization.k8s.io"


class ProjectRole(NamedTuple):
    """A ClusterRole that one process has in each project's namespace."""

    name: str
    process: str


ON_HOST = (ProjectRole(settings_role(FEDERATION), FEDERATION), ProjectRole(settings_role(GATEWAY), GATEWAY))
IN_MEMBERS = (ProjectRole(settings_role(FEDERATION), FEDERATION), ProjectRole(pods_role(GATEWAY), GATEWAY))


def subjects(process: str) -> list[Manifest]:
    """Returns the names of a process for RBAC: in a client certificate, and its service account."""
    return [
        {"apiGroup": RBAC, "kind": "User", "name": f"pincompute:{process}"},
        {"kind": "ServiceAccount", "name": service_account(process), "namespace": SYSTEM_NAMESPACE},
    ]


def binding(role: ProjectRole) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role.name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role.name},
        "subjects": subjects(role.process),
    }

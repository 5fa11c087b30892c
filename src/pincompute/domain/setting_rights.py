"""Makes the RoleBindings that let processes handle the values of settings in one project: the gateway writes them, never reads.

Each binds a ClusterRole of its own name to one process. So a stolen credential reaches Secrets in projects only.
"""

from __future__ import annotations

from pincompute.api.labels import FEDERATION, GATEWAY, SYSTEM_NAMESPACE, service_account, settings_role
from pincompute.api.meta import Manifest

RBAC = "rbac.authorization.k8s.io"
ON_HOST = (FEDERATION, GATEWAY)
IN_MEMBERS = (FEDERATION,)
"""The processes that have such a binding in each project there."""


def subjects(process: str) -> list[Manifest]:
    """Returns the names of a process for RBAC: in a client certificate, and its service account."""
    return [
        {"apiGroup": RBAC, "kind": "User", "name": f"pincompute:{process}"},
        {"kind": "ServiceAccount", "name": service_account(process), "namespace": SYSTEM_NAMESPACE},
    ]


def binding(process: str) -> Manifest:
    name = settings_role(process)
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        "subjects": subjects(process),
    }

"""Lists the manifests that a cluster needs before our processes run, in the order to apply them, without RBAC."""

from __future__ import annotations

from pincompute.api import admission_policies, crds, labels, priority_and_fairness
from pincompute.api.kinds import KINDS, Kinds
from pincompute.api.meta import Manifest


def host_manifests(kinds: Kinds = KINDS) -> list[Manifest]:
    return [_system_namespace(), *crds.host(kinds), *admission_policies.host(kinds), *priority_and_fairness.manifests()]


def member_manifests(kinds: Kinds = KINDS) -> list[Manifest]:
    return [_system_namespace(), *crds.member(kinds), *admission_policies.member(kinds), *priority_and_fairness.manifests()]


def _system_namespace() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": labels.SYSTEM_NAMESPACE, "labels": {labels.MANAGED_BY: labels.PINCOMPUTE}},
    }

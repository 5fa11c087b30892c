"""Lists the manifests that a cluster needs before our processes run, in the order to apply them, without RBAC."""

from __future__ import annotations

from pincompute.api import admission_policies, crds, labels
from pincompute.api.kinds import KINDS, Kinds
from pincompute.api.meta import Manifest


def host_manifests(kinds: Kinds = KINDS) -> list[Manifest]:
    private = (labels.secrets_namespace(process) for process in (labels.FEDERATION, labels.GATEWAY))
    return [*map(_namespace, (labels.SYSTEM_NAMESPACE, *private)), *crds.host(kinds), *admission_policies.host(kinds)]


def member_manifests(kinds: Kinds = KINDS) -> list[Manifest]:
    return [_namespace(labels.SYSTEM_NAMESPACE), *crds.member(kinds), *admission_policies.member(kinds)]


def _namespace(name: str) -> Manifest:
    metadata = {"name": name, "labels": {labels.MANAGED_BY: labels.PINCOMPUTE}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}

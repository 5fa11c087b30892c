"""Lists the manifests that a cluster needs before our processes run, in the order to apply them, without RBAC."""

from __future__ import annotations

from pincompute.api import admission_policies, crds, labels, node_access, priority_and_fairness
from pincompute.api.kinds import KINDS, Kinds
from pincompute.api.meta import Manifest


def host_manifests(kinds: Kinds = KINDS) -> list[Manifest]:
    private = (labels.secrets_namespace(process) for process in (labels.FEDERATION, labels.GATEWAY))
    return [
        *map(_namespace, (labels.SYSTEM_NAMESPACE, *private)),
        *crds.host(kinds),
        *admission_policies.host(kinds),
        *priority_and_fairness.manifests(),
        _audit_heads(),
    ]


def member_manifests(kinds: Kinds = KINDS) -> list[Manifest]:
    return [
        _namespace(labels.SYSTEM_NAMESPACE),
        _daemons_namespace(),
        node_access.grants({}),
        *_priority_classes(),
        *crds.member(kinds),
        *admission_policies.member(kinds),
        *priority_and_fairness.manifests(),
    ]


def _priority_classes() -> list[Manifest]:
    """Reserved and OnDemand share one priority, Preemptible is below, and pods that only hold room are the lowest. Copies of
    daemons stand above all of them and preempt none: the disruption account of an app knows nothing of a daemon that comes.
    """
    priorities = {
        **labels.TIER_PRIORITIES,
        labels.PLACEHOLDER: labels.PLACEHOLDER_PRIORITY,
        labels.DAEMONS: labels.DAEMON_PRIORITY,
    }
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": labels.priority_class(tier), "labels": {labels.MANAGED_BY: labels.PINCOMPUTE}},
            "value": priority,
            "globalDefault": False,
            **({"preemptionPolicy": "Never"} if tier == labels.DAEMONS else {}),
            "description": f"Pods of pincompute: {tier}.",
        }
        for tier, priority in priorities.items()
    ]


def _namespace(name: str) -> Manifest:
    metadata = {"name": name, "labels": {labels.MANAGED_BY: labels.PINCOMPUTE}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _daemons_namespace() -> Manifest:
    """Administrators say what a daemon may do on its node, so Pod Security refuses nothing here."""
    made = _namespace(labels.DAEMONS_NAMESPACE)
    return {
        **made,
        "metadata": {**made["metadata"], "labels": {**made["metadata"]["labels"], labels.POD_SECURITY: "privileged"}},
    }


def daemons_network() -> Manifest:
    """Copies of daemons see what nobody else sees, so they reach nobody and answer scrapes alone, never those of a project.
    Policies add up: a daemon that needs more gets another one from an administrator. Probes come from the node itself, which no
    policy stops, and none holds for a daemon on its node's network.
    """
    of_no_project = {"key": labels.PROJECT, "operator": "DoesNotExist"}
    scraping = {"namespaceSelector": {"matchLabels": {labels.SCRAPES_DAEMONS: "true"}, "matchExpressions": [of_no_project]}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": labels.PINCOMPUTE,
            "namespace": labels.DAEMONS_NAMESPACE,
            "labels": {labels.MANAGED_BY: labels.PINCOMPUTE},
        },
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [scraping], "ports": [{"port": "metrics", "protocol": "TCP"}]}],
        },
    }


def _audit_heads() -> Manifest:
    """Gateways add to it and may not create it. It is applied without data, so that an upgrade leaves the data alone."""
    metadata = {
        "name": labels.AUDIT_HEADS,
        "namespace": labels.SYSTEM_NAMESPACE,
        "labels": {labels.MANAGED_BY: labels.PINCOMPUTE},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}

"""Makes FlowSchemas and priority levels, so that the platform, the gateway and everybody else have shares of their own.

The API server divides the requests that it serves at the same time among priority levels, and refuses none before the queues
of its level are full. Inside the platform's levels it serves projects in turn, inside that of strangers users. So a project
whose work is heavy, or a user who sends requests without end, delays neither another project nor the platform.

Kubernetes' own schemas stay as they are: administrators (`system:masters`) are exempt, nodes and controllers have levels of
their own, and service accounts of projects are served in turn in `workload-low`.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from pincompute.api import labels
from pincompute.api.labels import (
    FEDERATION,
    MANAGED_BY,
    NETWORK,
    OPERATOR,
    PINCOMPUTE,
    SYSTEM_NAMESPACE,
    USAGE,
    service_account,
)
from pincompute.api.meta import Manifest

Distinguisher: TypeAlias = Literal["ByNamespace", "ByUser"]

GROUP: Final = "flowcontrol.apiserver.k8s.io"
PLATFORM: Final = "pincompute-platform"
GATEWAY: Final = "pincompute-gateway"
STRANGERS: Final = "pincompute-strangers"
LEASES: Final = "pincompute-leases"
LEADER_ELECTION: Final = "leader-election"  # a priority level of Kubernetes

_EVERYTHING: list[Manifest] = [
    {
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
]
_OWN_LEASES: list[Manifest] = [
    {
        "resourceRules": [
            {
                "verbs": ["get", "create", "update", "patch"],
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "namespaces": [SYSTEM_NAMESPACE],
            }
        ]
    }
]


def manifests() -> list[Manifest]:
    """Returns what every cluster of a region has, in the order to apply it.

    Shares are weights: Kubernetes' own levels have 245 together, `workload-high` 40 and `workload-low` 100. What is not used
    may be borrowed, but not by strangers. A schema with a lower precedence is asked first: Kubernetes has 9000 for service
    accounts and 9900 for everybody.
    """
    platform = [_account(process) for process in (FEDERATION, OPERATOR, NETWORK, USAGE)]
    everybody: Manifest = {"kind": "Group", "group": {"name": "system:authenticated"}}
    return [
        _level(PLATFORM, shares=100, queues=64, length=100),
        _level(GATEWAY, shares=60, queues=64, length=50),
        _level(STRANGERS, shares=10, queues=64, length=25, borrows=False),
        _schema(LEASES, LEADER_ELECTION, 150, platform, _OWN_LEASES, "ByUser"),
        _schema(PLATFORM, PLATFORM, 600, platform, _EVERYTHING, "ByNamespace"),
        _schema(GATEWAY, GATEWAY, 610, [_account(labels.GATEWAY)], _EVERYTHING, "ByNamespace"),
        _schema(STRANGERS, STRANGERS, 9500, [everybody], _EVERYTHING, "ByUser"),
    ]


def programs_of_a_region(*users: str) -> Manifest:
    """Returns the schema that keeps programs which log in by certificate out of the level of strangers."""
    subjects: list[Manifest] = [{"kind": "User", "user": {"name": user}} for user in users]
    return _schema("pincompute-region-programs", "workload-high", 800, subjects, _EVERYTHING, "ByUser")


def _account(process: str) -> Manifest:
    return {"kind": "ServiceAccount", "serviceAccount": {"namespace": SYSTEM_NAMESPACE, "name": service_account(process)}}


def _level(name: str, *, shares: int, queues: int, length: int, borrows: bool = True) -> Manifest:
    limited: Manifest = {
        "nominalConcurrencyShares": shares,
        "lendablePercent": 50,
        **({} if borrows else {"borrowingLimitPercent": 0}),
        "limitResponse": {"type": "Queue", "queuing": {"queues": queues, "handSize": 6, "queueLengthLimit": length}},
    }
    return _manifest("PriorityLevelConfiguration", name, {"type": "Limited", "limited": limited})


def _schema(
    name: str, level: str, precedence: int, subjects: list[Manifest], requests: list[Manifest], distinguisher: Distinguisher
) -> Manifest:
    spec = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "distinguisherMethod": {"type": distinguisher},
        "rules": [{"subjects": subjects, **rule} for rule in requests],
    }
    return _manifest("FlowSchema", name, spec)


def _manifest(kind: str, name: str, spec: Manifest) -> Manifest:
    metadata = {"name": name, "labels": {MANAGED_BY: PINCOMPUTE}}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "spec": spec}

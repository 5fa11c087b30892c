"""Makes the audit policy of a region's API servers: who did what, outside the ordinary work of the platform and of Kubernetes.

The first rule that matches a request decides. What the log never contains is the body of a Secret, a ConfigMap or a token. What
an administrator writes past the gateway stands there with its body. Reads, leases, events and statuses of the programs that a
cluster consists of are left out: they are nearly all of the requests, and tell nothing.

    <home>/logs/audit/CLUSTER.log, readable by its owner only; 8 files of 64 MiB at most
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from pincompute.api.labels import BREAK_GLASS, SYSTEM_NAMESPACE, service_account
from pincompute.api.meta import GROUP, Manifest
from pincompute.region.cluster import certificates
from pincompute.region.layout import Layout

PLATFORM: Final = [f"system:serviceaccount:{SYSTEM_NAMESPACE}:{service_account(p)}" for p in certificates.TOKEN_USERS]
USAGE_READER: Final = PLATFORM[certificates.TOKEN_USERS.index(certificates.USAGE)]
OWN_NAMESPACES: Final = [service_account(p) for p in certificates.TOKEN_USERS]  # of Secrets that one process reads
CERTIFICATE_USERS: Final = [
    certificates.USERS[name][0] for name in (certificates.KUBE_PROXY, certificates.COREDNS, certificates.KWOK)
]
CONTROL_PLANE: Final = [
    *(certificates.USERS[name][0] for name in (certificates.CONTROLLER_MANAGER, certificates.SCHEDULER)),
    *CERTIFICATE_USERS,
]
READ: Final = ["get", "list", "watch"]
WRITE: Final = ["create", "update", "patch", "delete", "deletecollection"]
CONNECT: Final = [
    "pods/exec",
    "pods/attach",
    "pods/portforward",
    "pods/proxy",
    "services/proxy",
    "nodes/proxy",
]


def flags(layout: Layout, cluster: str) -> tuple[str, ...]:
    """Events are written in batches, away from the requests that they describe."""
    return (
        f"--audit-policy-file={policy_file(layout, cluster)}",
        f"--audit-log-path={log_file(layout, cluster)}",
        "--audit-log-mode=batch",
        "--audit-log-batch-max-size=200",
        "--audit-log-batch-max-wait=1s",
        "--audit-log-batch-throttle-enable=false",
        "--audit-log-maxsize=64",
        "--audit-log-maxbackup=7",
    )


def configuration(layout: Layout, cluster: str) -> dict[Path, bytes]:
    """Returns the files that the flags name."""
    return {policy_file(layout, cluster): yaml.safe_dump(policy(), sort_keys=False, width=120).encode()}


def policy_file(layout: Layout, cluster: str) -> Path:
    return layout.cluster_dir(cluster) / "audit-policy.yaml"


def log_file(layout: Layout, cluster: str) -> Path:
    return layout.logs / "audit" / f"{cluster}.log"


def policy() -> Manifest:
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": True,
        "rules": [*_ordinary_work(), *_confidential(), *_by_administrators(), *_everything_else()],
    }


def _ordinary_work() -> list[Manifest]:
    """Connections into pods are never ordinary, and the platform's reads of Secrets only in its own namespace."""
    nodes = {"userGroups": ["system:nodes"]}
    controllers = {"userGroups": ["system:serviceaccounts:kube-system"]}
    control_plane = {"users": CONTROL_PLANE}
    platform = {"users": PLATFORM}
    cluster = (nodes, controllers, control_plane)
    leases_and_events = [
        {"group": "coordination.k8s.io", "resources": ["leases"]},
        {"group": "", "resources": ["events"]},
        {"group": "events.k8s.io", "resources": ["events"]},
    ]
    statuses = [
        {"group": "", "resources": ["*/status", "pods/binding"]},
        {"group": "apps", "resources": ["*/status"]},
        {"group": "policy", "resources": ["*/status"]},
    ]
    endpoints = [{"group": "", "resources": ["endpoints"]}, {"group": "discovery.k8s.io", "resources": ["endpointslices"]}]
    reviews = [
        {"group": "authorization.k8s.io", "resources": ["*"]},
        {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
    ]
    own_statuses = [{"group": GROUP, "resources": ["*/status"]}, {"group": "", "resources": ["pods/status"]}]
    own_secrets = {"resources": [{"group": "", "resources": ["secrets"]}], "namespaces": [SYSTEM_NAMESPACE, *OWN_NAMESPACES]}
    connect = {"level": "Metadata", "resources": [{"group": "", "resources": CONNECT}]}
    return [
        {"level": "None", "users": ["system:apiserver"]},  # the API server itself; nobody else can be it
        connect,
        {"level": "None", "nonResourceURLs": ["*"]},
        *({"level": "None", **who, "verbs": READ} for who in cluster),
        *({"level": "None", **who, "resources": leases_and_events} for who in (*cluster, platform)),
        *({"level": "None", **who, "resources": statuses} for who in cluster),
        {"level": "None", **controllers, "resources": endpoints},
        *({"level": "None", **who, "resources": reviews} for who in (nodes, {"users": [USAGE_READER]})),
        {"level": "None", **platform, "resources": own_statuses},
        {"level": "None", **platform, "verbs": READ, **own_secrets},
    ]


def _confidential() -> list[Manifest]:
    core = {"group": "", "resources": ["secrets", "configmaps", "serviceaccounts/token"]}
    tokens = {"group": "authentication.k8s.io", "resources": ["*"]}
    return [{"level": "Metadata", "resources": [core, tokens]}, {"level": "None", "users": PLATFORM, "verbs": READ}]


def _by_administrators() -> list[Manifest]:
    """The body of a definition is large, and equals what the release of the platform contains."""
    definitions = [{"group": "apiextensions.k8s.io", "resources": ["customresourcedefinitions"]}]
    return [
        {"level": "Metadata", "resources": definitions, "verbs": WRITE},
        {"level": "Request", "userGroups": ["system:masters", BREAK_GLASS], "verbs": WRITE},
    ]


def _everything_else() -> list[Manifest]:
    return [{"level": "Metadata"}]

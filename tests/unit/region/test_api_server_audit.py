"""The audit policy as data: which rule decides, and that bodies of confidential kinds are nowhere recorded."""

from __future__ import annotations

import pytest

from pincompute.api.meta import Manifest
from pincompute.region.cluster import api_server_audit

ADMIN = ("pincompute:admin", ("system:masters", "system:authenticated"))
BREAK_GLASS = ("alice", (api_server_audit.BREAK_GLASS,))
STRANGER = ("mallory", ("system:authenticated",))
NODE = ("system:node:a1-node-0", ("system:nodes",))
FEDERATION = (api_server_audit.PLATFORM[0], ("system:serviceaccounts", "system:serviceaccounts:pincompute-system"))
GATEWAY = (next(name for name in api_server_audit.PLATFORM if name.endswith("gateway")), FEDERATION[1])
USAGE = (api_server_audit.USAGE_READER, FEDERATION[1])
SCHEDULER = ("system:kube-scheduler", ("system:authenticated",))
ENDPOINTS = ("system:serviceaccount:kube-system:endpointslice-controller", ("system:serviceaccounts:kube-system",))
OURS = "pincompute.io"


def level(who: tuple[str, tuple[str, ...]], verb: str, group: str, resource: str, namespace: str = "shop") -> str:
    """What Kubernetes decides: the level of the first rule that matches."""
    return next(
        rule["level"]
        for rule in api_server_audit.policy()["rules"]
        if _of_user(rule, *who) and verb in rule.get("verbs", (verb,)) and _of_resource(rule, group, resource, namespace)
    )


def _of_user(rule: Manifest, name: str, groups: tuple[str, ...]) -> bool:
    named, grouped = rule.get("users", []), rule.get("userGroups", [])
    assert not (named and grouped), "a rule with both asks for both"
    return not named + grouped or name in named or bool(set(groups) & set(grouped))


def _of_resource(rule: Manifest, group: str, resource: str, namespace: str) -> bool:
    if "nonResourceURLs" in rule or namespace not in rule.get("namespaces", (namespace,)):
        return False
    wanted = {resource, "*", f"*/{resource.partition('/')[2]}" if "/" in resource else resource}
    asked = rule.get("resources")
    return asked is None or any(kind["group"] == group and wanted & set(kind["resources"]) for kind in asked)


@pytest.mark.parametrize("who", [ADMIN, BREAK_GLASS, STRANGER, FEDERATION])
@pytest.mark.parametrize("resource", ["secrets", "configmaps", "serviceaccounts/token"])
@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete"])
def test_nobodys_write_of_a_secret_is_recorded_with_its_body(
    who: tuple[str, tuple[str, ...]], resource: str, verb: str
) -> None:
    assert level(who, verb, "", resource) == "Metadata"
    assert level(who, "create", "authentication.k8s.io", "tokenreviews") == "Metadata"


@pytest.mark.parametrize("who", [ADMIN, BREAK_GLASS])
@pytest.mark.parametrize("verb", api_server_audit.WRITE)
def test_what_an_administrator_writes_is_recorded_with_its_body(who: tuple[str, tuple[str, ...]], verb: str) -> None:
    assert level(who, verb, OURS, "pinapps") == "Request"
    assert level(who, verb, "rbac.authorization.k8s.io", "clusterrolebindings") == "Request"
    assert level(who, verb, "coordination.k8s.io", "leases") == "Request"


@pytest.mark.parametrize("who", [ADMIN, STRANGER, GATEWAY, NODE])
@pytest.mark.parametrize("verb", ["create", "get"])
@pytest.mark.parametrize("resource", api_server_audit.CONNECT)
def test_every_connection_into_a_pod_or_a_node_is_recorded(who: tuple[str, tuple[str, ...]], verb: str, resource: str) -> None:
    assert level(who, verb, "", resource) == "Metadata"


@pytest.mark.parametrize(
    ("who", "verb", "group", "resource"),
    [
        (NODE, "get", "", "secrets"),
        (NODE, "patch", "", "pods/status"),
        (NODE, "update", "coordination.k8s.io", "leases"),
        (SCHEDULER, "watch", "", "pods"),
        (SCHEDULER, "create", "", "pods/binding"),
        (ENDPOINTS, "update", "discovery.k8s.io", "endpointslices"),
        (FEDERATION, "watch", OURS, "pinapps"),
        (FEDERATION, "patch", OURS, "pinapps/status"),
        (FEDERATION, "patch", "", "events"),
        (NODE, "create", "authentication.k8s.io", "tokenreviews"),
        (USAGE, "create", "authentication.k8s.io", "tokenreviews"),
        (USAGE, "create", "authorization.k8s.io", "subjectaccessreviews"),
    ],
)
def test_ordinary_work_is_not_recorded(who: tuple[str, tuple[str, ...]], verb: str, group: str, resource: str) -> None:
    assert level(who, verb, group, resource) == "None"
    assert level(STRANGER, verb, group, resource) == "Metadata"


@pytest.mark.parametrize(("verb", "group", "resource"), [("patch", OURS, "pinappshards"), ("delete", "", "pods")])
def test_what_the_platform_writes_is_recorded_but_for_statuses(verb: str, group: str, resource: str) -> None:
    assert level(FEDERATION, verb, group, resource) == "Metadata"


def test_the_platform_reads_secrets_in_its_own_namespace_only() -> None:
    assert level(FEDERATION, "watch", "", "secrets", "pincompute-system") == "None"
    assert level(FEDERATION, "get", "", "secrets", "shop") == "Metadata"
    assert level(FEDERATION, "list", "", "secrets", "") == "Metadata"

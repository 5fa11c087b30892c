"""The checks of kubectl-mtb: what a tenant's credential opens at an API server, and which pods a member takes from nobody."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from cluster_client import ApiRefusal
from live_region import Region
from story_manifests import web
from story_projects import make_project

from pincompute.api.builtin import NAMESPACES
from pincompute.api.meta import Manifest

MEMBER = "a1"
OWN, OTHER = "tenant", "neighbour"
REVIEW = ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMIN: Manifest = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}
NODE_PORT: Manifest = {"metadata": {"name": "n"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
POLICY: Manifest = {"metadata": {"name": "n"}, "spec": {"podSelector": {}, "ingress": [{}]}}
FORBIDDEN: dict[str, tuple[str, str, Any]] = {
    "nodes": ("GET", "/api/v1/nodes", None),
    "cluster roles": ("GET", f"{RBAC}/clusterroles", None),
    "namespaces": ("DELETE", f"/api/v1/namespaces/{OWN}", None),
    "a cluster role binding": ("POST", f"{RBAC}/clusterrolebindings", {"metadata": {"name": "n"}, "roleRef": ADMIN}),
    "a role binding": ("POST", f"{RBAC}/namespaces/{OWN}/rolebindings", {"metadata": {"name": "n"}, "roleRef": ADMIN}),
    "a role": ("POST", f"{RBAC}/namespaces/{OWN}/roles", {"metadata": {"name": "n"}, "rules": []}),
    "quotas": ("DELETE", f"/api/v1/namespaces/{OWN}/resourcequotas", None),
    "limits": ("DELETE", f"/api/v1/namespaces/{OWN}/limitranges", None),
    "network policies": ("DELETE", f"/apis/networking.k8s.io/v1/namespaces/{OWN}/networkpolicies", None),
    "a network policy": ("POST", f"/apis/networking.k8s.io/v1/namespaces/{OWN}/networkpolicies", POLICY),
    "a node port": ("POST", f"/api/v1/namespaces/{OWN}/services", NODE_PORT),
    "pods": ("POST", f"/api/v1/namespaces/{OWN}/pods", {"metadata": {"name": "n"}}),
    "secrets of another tenant": ("GET", f"/api/v1/namespaces/{OTHER}/secrets", None),
    "pods of another tenant": ("GET", f"/api/v1/namespaces/{OTHER}/pods", None),
    "a pod of another tenant": ("DELETE", f"/api/v1/namespaces/{OTHER}/pods/x", None),
    "a token of another account": ("POST", f"/api/v1/namespaces/{OTHER}/serviceaccounts/default/token", {"spec": {}}),
}
Call = Callable[[str, str, Any], int]

RESTRICTED: Manifest = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
VIOLATIONS: dict[str, tuple[Manifest, Manifest]] = {
    "added capabilities": ({}, {"securityContext": {**RESTRICTED, "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}}),
    "privileged containers": ({}, {"securityContext": {"privileged": True}}),
    "privilege escalation": ({}, {"securityContext": {**RESTRICTED, "allowPrivilegeEscalation": True}}),
    "run as root": ({"securityContext": {"runAsUser": 0}}, {}),
    "host path": ({"volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]}, {}),
    "host network": ({"hostNetwork": True}, {}),
    "host port": ({}, {"ports": [{"containerPort": 80, "hostPort": 80}]}),
    "host PID": ({"hostPID": True}, {}),
    "host IPC": ({"hostIPC": True}, {}),
}


@pytest.fixture(scope="module")
def tenant(region: Region) -> Call:
    """Sends requests with the token that a pod of the project `tenant` could have."""
    make_project(region, OWN)
    make_project(region, OTHER)
    member = region.members[MEMBER]
    path = f"/api/v1/namespaces/{OWN}/serviceaccounts/default"
    region.eventually("the project has its account", lambda: member.request("GET", path))
    token = json.loads(member.request("POST", f"{path}/token", b'{"spec": {}}', "application/json"))["status"]["token"]
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    def call(verb: str, path: str, body: Any) -> int:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(member.server + path, data, headers, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=20, context=trusting) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    return call


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_tenants_credential_opens_nothing(tenant: Call, what: str) -> None:
    """It is known, and may do what everybody may: ask who it is."""
    assert tenant(*REVIEW) == 201
    assert tenant(*FORBIDDEN[what]) == 403


@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_member_takes_no_such_pod_from_anybody(region: Region, tenant: Call, what: str) -> None:
    """Not even from an administrator: the namespace enforces the standard."""
    member, (of_pod, of_container) = region.members[MEMBER], VIOLATIONS[what]
    region.eventually("the project is in the member", lambda: member.get(NAMESPACES, "", OWN))

    def rehearse(more: Manifest, changes: Manifest) -> bytes:
        spec = web(OWN)["spec"]["template"]["spec"]
        container = {key: value for key, value in spec["containers"][0].items() if key in ("name", "image", "resources")}
        security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
        security |= more.get("securityContext", {})
        wanted = {"automountServiceAccountToken": False, **more, "securityContext": security}
        wanted["containers"] = [{"securityContext": RESTRICTED, **container, **changes}]
        body = json.dumps({"metadata": {"name": "n"}, "spec": wanted}).encode()
        return member.request("POST", f"/api/v1/namespaces/{OWN}/pods", body, "application/json", dryRun="All")

    assert rehearse({}, {})
    with pytest.raises(ApiRefusal, match="violates PodSecurity"):
        rehearse(of_pod, of_container)

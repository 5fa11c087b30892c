"""Somebody stole the token of one process and talks to API servers with it: what it opens is projects, and nothing else.

Each forbidden request stands beside the same request in a project, which succeeds. All writes are dry runs.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from cluster_client import ApiRefusal, ClusterClient
from live_region import Region

from pincompute.api.builtin import PODS
from pincompute.api.labels import (
    AUDIT_HEADS,
    FEDERATION,
    GATEWAY,
    HOST,
    MANAGED_BY,
    OPERATOR,
    PINCOMPUTE,
    PROJECT,
    RESTART_REQUEST,
)
from pincompute.api.meta import Manifest
from pincompute.domain import project_roles
from pincompute.region.cluster import certificates

MEMBER = "a1"
DEMO = "demo"  # the project of examples/hello
FOREIGN = "monitoring"
PROCESSES = {HOST: (FEDERATION, GATEWAY), MEMBER: (FEDERATION, GATEWAY, OPERATOR)}
OURS = {MANAGED_BY: PINCOMPUTE}
MERGE = "application/merge-patch+json"
RESOURCES = {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}}
SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
POD: Manifest = {
    "metadata": {"name": "made", "labels": OURS},
    "spec": {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "web", "image": "i", "resources": RESOURCES, "securityContext": SECURITY}],
    },
}
RBAC, ADMISSION = "/apis/rbac.authorization.k8s.io/v1", "/apis/admissionregistration.k8s.io/v1"
SYSTEM = "/api/v1/namespaces/pincompute-system"
ROLE: Manifest = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
MORE_RIGHTS: dict[str, tuple[str, str, Any]] = {
    "read all secrets": ("GET", "/api/v1/secrets", None),
    "read the platform's secrets": ("GET", f"{SYSTEM}/secrets", None),
    "read a project's secrets": ("GET", f"/api/v1/namespaces/{DEMO}/secrets", None),
    "read a foreign secret": ("GET", f"/api/v1/namespaces/{FOREIGN}/secrets/password", None),
    "make a token of an account": ("POST", f"{SYSTEM}/serviceaccounts/pincompute-federation/token", {"spec": {}}),
    "reach a kubelet": ("GET", "/api/v1/nodes/a1-node-0/proxy/pods", None),
    "reach a service": ("GET", "/api/v1/namespaces/default/services/kubernetes/proxy/", None),
    "make an administrator": ("POST", f"{RBAC}/clusterrolebindings", {"metadata": {"name": "x"}, "roleRef": ROLE}),
    "make a local one": ("POST", f"{RBAC}/namespaces/{DEMO}/rolebindings", {"metadata": {"name": "x"}, "roleRef": ROLE}),
    "widen a role": ("PATCH", f"{RBAC}/clusterroles/pincompute-federation", {"rules": []}),
    "remove policies": ("DELETE", f"{ADMISSION}/validatingadmissionpolicies/federation-namespaces.pincompute.io", None),
    "unbind policies": ("DELETE", f"{ADMISSION}/validatingadmissionpolicybindings/federation-namespaces.pincompute.io", None),
    "remove definitions": ("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/projects.pincompute.io", None),
    "ask for a certificate": ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", {"metadata": {"name": "x"}}),
    "take another's lease": ("PATCH", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler", {}),
    "remove a namespace": ("DELETE", f"/api/v1/namespaces/{FOREIGN}", None),
    "release a namespace": ("PATCH", "/api/v1/namespaces/kube-system", {"metadata": {"labels": OURS}}),
}
WITHOUT_OWNER = {
    "": "secrets configmaps serviceaccounts serviceaccounts/token nodes/proxy services services/proxy pods/attach pods/proxy "
    "pods/ephemeralcontainers pods/binding persistentvolumes persistentvolumeclaims",
    "apps": "deployments statefulsets daemonsets replicasets",
    "batch": "jobs cronjobs",
    "rbac.authorization.k8s.io": "roles clusterroles clusterrolebindings",
    "admissionregistration.k8s.io": "validatingadmissionpolicies mutatingadmissionpolicies validatingwebhookconfigurations",
    "apiextensions.k8s.io": "customresourcedefinitions",
    "certificates.k8s.io": "certificatesigningrequests",
}
PROJECT_ROLES = {role.name for role in (*project_roles.ON_HOST, *project_roles.IN_MEMBERS)}
STOLEN = [(cluster, process) for cluster, parts in PROCESSES.items() for process in parts]
stolen = pytest.mark.parametrize(("cluster", "process"), STOLEN)


@dataclass(frozen=True)
class Try:
    """A request in a namespace. `expected` are the answers in a project: a stream that is no WebSocket gives 400, and a pod's
    disruption budget may answer an eviction.
    """

    process: str
    verb: str
    path: str
    body: Any = None
    expected: tuple[int, ...] = (200,)


NOTE = {"metadata": {"annotations": {"a": "b"}}}
RESTART = {"metadata": {"annotations": {RESTART_REQUEST: "[]"}}}
IN_PROJECTS = {
    "make a pod": Try(OPERATOR, "POST", "/pods", POD, (201,)),
    "change a pod": Try(OPERATOR, "PATCH", "/pods/POD", NOTE),
    "end a pod": Try(OPERATOR, "DELETE", "/pods/POD"),
    "evict a pod": Try(OPERATOR, "POST", "/pods/POD/eviction", {"metadata": {"name": "POD"}}, (201, 429)),
    "read a log": Try(GATEWAY, "GET", "/pods/POD/log"),
    "open a shell": Try(GATEWAY, "POST", "/pods/POD/exec?command=ls&stdout=1", None, (400,)),
    "open a port": Try(GATEWAY, "POST", "/pods/POD/portforward?ports=80", None, (400,)),
    "ask for a restart": Try(GATEWAY, "PATCH", "/pods/POD", RESTART),
}


REFUSALS = {  # RBAC refuses the gateway before a policy is asked
    OPERATOR: "pincompute writes and opens only what it manages",
    GATEWAY: f'in the namespace \\"{FOREIGN}\\"',  # in JSON
}


class Thief:
    """Talks to one API server with a process's token, and has nothing else."""

    def __init__(self, region: Region, cluster: str, process: str) -> None:
        pki = certificates.cluster(region.layout, cluster)
        content = yaml.safe_load(pki.kubeconfig(process).read_text())
        self._server: str = content["clusters"][0]["cluster"]["server"]
        self._tls = ssl.create_default_context(cafile=str(pki.certificate(certificates.CA)))
        self._token = pki.token(process).read_text()

    def __call__(self, verb: str, path: str, body: Any = None) -> tuple[int, str]:
        dry = "" if verb == "GET" or "?" in path else "?dryRun=All"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._server}{path}{dry}", data, method=verb)
        request.add_header("Authorization", f"Bearer {self._token}")
        request.add_header("Content-Type", MERGE if verb == "PATCH" else "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._tls) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def rights(self, namespace: str) -> list[Manifest]:
        review = {"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"namespace": namespace}}
        status, text = self("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)
        assert status == 201, text
        return json.loads(text)["status"]["resourceRules"]


@pytest.fixture(scope="module")
def thieves(region: Region) -> dict[tuple[str, str], Thief]:
    return {which: Thief(region, *which) for which in STOLEN}


@pytest.fixture(scope="module")
def pod(region: Region) -> Iterator[str]:
    """The name of a pod of the project in the member. A namespace of somebody else has a pod of the same name."""
    member = region.members[MEMBER]
    region.settled(DEMO, "hello")
    name = next(placed.pod.metadata.name for placed in region.pods(DEMO, "hello", [MEMBER]))
    for cluster in (region.host, member):
        make(cluster, "/api/v1/namespaces", {"metadata": {"name": FOREIGN}})
        make(cluster, f"/api/v1/namespaces/{FOREIGN}/secrets", {"metadata": {"name": "password"}})
    make(member, f"/api/v1/namespaces/{FOREIGN}/serviceaccounts", {"metadata": {"name": "default"}})
    make(member, f"/api/v1/namespaces/{FOREIGN}/pods", {**POD, "metadata": {"name": name, "labels": OURS}})
    yield name
    for cluster in (region.host, member):
        cluster.request("DELETE", f"/api/v1/namespaces/{FOREIGN}")


def make(cluster: ClusterClient, path: str, body: Manifest) -> None:
    try:
        cluster.request("POST", path, json.dumps(body).encode(), "application/json")
    except ApiRefusal as refusal:
        if refusal.code != 409:
            raise


@pytest.mark.parametrize("what", IN_PROJECTS)
def test_a_stolen_token_opens_pods_of_projects_only(thieves: dict[tuple[str, str], Thief], pod: str, what: str) -> None:
    tried = IN_PROJECTS[what]
    body = json.loads(json.dumps(tried.body).replace("POD", pod))
    thief = thieves[MEMBER, tried.process]
    code, text = thief(tried.verb, f"/api/v1/namespaces/{DEMO}{tried.path.replace('POD', pod)}", body)
    assert code in tried.expected, text
    code, text = thief(tried.verb, f"/api/v1/namespaces/{FOREIGN}{tried.path.replace('POD', pod)}", body)
    assert (code, REFUSALS[tried.process] in text) == (403, True), text


@stolen
def test_a_stolen_token_leads_to_no_more_rights(
    thieves: dict[tuple[str, str], Thief], pod: str, cluster: str, process: str
) -> None:
    assert pod
    thief = thieves[cluster, process]
    kinds = "projects" if cluster == HOST else "clustercapacities"
    assert thief("GET", f"/apis/pincompute.io/v1alpha1/{kinds}")[0] == 200, "the token is good"
    refused = {what: thief(*request)[0] for what, request in MORE_RIGHTS.items()}
    assert {what: code for what, code in refused.items() if code != 403} == {}


@stolen
def test_a_stolen_token_has_no_verb_on_kinds_without_an_owner(
    thieves: dict[tuple[str, str], Thief], cluster: str, process: str
) -> None:
    kinds = {(group, kind) for group, plurals in WITHOUT_OWNER.items() for kind in plurals.split()}
    for namespace in ("kube-system", "pincompute-system", DEMO):
        rules = thieves[cluster, process].rights(namespace)
        assert any("pincompute.io" in rule["apiGroups"] for rule in rules)
        for rule in rules:
            named = {(group, kind) for group in rule["apiGroups"] for kind in rule["resources"]}
            assert not named & kinds or _is_narrow(process, namespace, rule), rule
            assert not {*rule["apiGroups"], *rule["resources"], *rule["verbs"]} & {"*", "impersonate", "escalate"}, rule


def _is_narrow(process: str, namespace: str, rule: Any) -> bool:
    """The anchors of the audit log; the binding of the roles in projects; and, in a project alone, the values of settings by
    name, which the gateway makes and nobody lists.
    """
    verbs, names = set(rule["verbs"]), set(rule.get("resourceNames", ()))
    if names == {AUDIT_HEADS}:
        return namespace == "pincompute-system"
    if rule["resources"] == ["clusterroles"]:
        return process == FEDERATION and verbs == {"bind"} and bool(names) and names <= PROJECT_ROLES
    if namespace != DEMO or not set(rule["resources"]) <= {"secrets", "configmaps"}:
        return False
    if process == GATEWAY:
        return verbs <= ({"create"} if "secrets" in rule["resources"] else {"get", "create"})
    return process == FEDERATION and verbs <= {"get", "create", "update", "delete"}


def test_the_gateways_token_brings_no_program_into_all_pods(region: Region, thieves: dict[tuple[str, str], Thief]) -> None:
    """It writes sidecars for administrators, but neither a selector nor what a sidecar that selects runs."""
    collection = "/apis/pincompute.io/v1alpha1/pinsidecars"
    thief = thieves[HOST, GATEWAY]
    common = {"apiVersion": "pincompute.io/v1alpha1", "kind": "PinSidecar"}
    container, chosen = {"image": "registry.internal/hello:1"}, {"projects": ["no-project"]}
    wide = {**common, "metadata": {"name": "wide"}, "spec": {"container": {"image": "evil:1"}, "selector": {"projects": ["*"]}}}
    assert thief("POST", collection, wide)[0] == 403
    assert thief("POST", collection, {**wide, "spec": {"container": container}})[0] == 201
    make(
        region.host, collection, {**common, "metadata": {"name": "probe"}, "spec": {"container": container, "selector": chosen}}
    )
    try:
        for change in (
            {"container": {"image": "evil:1"}},
            {"container": {"command": ["sh"]}},
            {"selector": {"projects": ["*"]}},
        ):
            assert thief("PATCH", f"{collection}/probe", {"spec": change})[0] == 403, change
        assert thief("PATCH", f"{collection}/probe", {"spec": {"container": {"image": "registry.internal/hello:2"}}})[0] == 200
    finally:
        region.host.request("DELETE", f"{collection}/probe")


def test_no_process_reads_the_kubeconfigs_of_another(thieves: dict[tuple[str, str], Thief]) -> None:
    for owner in (FEDERATION, GATEWAY):
        path = f"/api/v1/namespaces/pincompute-{owner}/secrets/member-{MEMBER}"
        codes = {process: thieves[HOST, process]("GET", path)[0] for process in (FEDERATION, GATEWAY)}
        assert codes == {process: 200 if process == owner else 403 for process in codes}


@pytest.mark.parametrize("cluster", PROCESSES)
def test_the_federation_takes_over_no_namespace(thieves: dict[tuple[str, str], Thief], pod: str, cluster: str) -> None:
    assert pod
    federation = thieves[cluster, FEDERATION]
    assert federation("PATCH", f"/api/v1/namespaces/{DEMO}", NOTE)[0] == 200
    for name in (FOREIGN, "kube-system", "pincompute-system"):
        code, text = federation("PATCH", f"/api/v1/namespaces/{name}", {"metadata": {"labels": OURS | {PROJECT: name}}})
        assert (code, "is not the platform's" in text) == (403, True), text


def test_the_emergency_way_is_personal_and_on_record(region: Region) -> None:
    common = ("region", "break-glass", "--cluster", MEMBER, "--user", "ada")
    assert region.run(*common, succeed=False).returncode != 0, "no reason, no access"
    assert region.run(*common, "--reason", " ", succeed=False).returncode != 0
    region.run(*common, "--reason", "the gateway is down", "--minutes", "5")
    admin = ClusterClient(region.home / "break-glass" / f"{MEMBER}-ada.kubeconfig", MEMBER)
    review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = json.loads(admin.request("POST", path, json.dumps(review).encode(), "application/json"))
    assert answer["status"]["userInfo"]["username"] == "pincompute:break-glass:ada"
    assert admin.list(PODS, DEMO), "an administrator sees the pods"
    logged = json.loads((region.home / "break-glass.log").read_text().splitlines()[-1])
    assert (logged["user"], logged["reason"], logged["cluster"]) == ("ada", "the gateway is down", MEMBER)
    records = json.loads(region.host.request("GET", f"{SYSTEM}/configmaps"))["items"]
    assert logged in [record["data"] for record in records if record["metadata"]["name"].startswith("break-glass-")]

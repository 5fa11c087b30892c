"""A user with every right inside a project's namespaces, on the host and in a member, tries to get more out of its pods.

Pod Security itself is tried in `tests/stories/test_story_pod_security.py`. Each forbidden request stands beside the same
request without it, which succeeds. Writes are dry runs, so nothing has to be removed.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cluster_client import ApiRefusal, ClusterClient
from live_region import Region
from story_manifests import web
from story_projects import make_project

from pincompute.api.builtin import NAMESPACES
from pincompute.api.labels import IMAGE_PULL_SHARD_UID, OPERATOR, POD_SECURITY, POD_SECURITY_VERSION, PROJECT, user_names
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS
from pincompute.domain import pod_security_defaults

MEMBER = "a1"
NAME = "attacked"
USER = "mallory"
PODS = f"/api/v1/namespaces/{NAME}/pods"
NAMESPACE = f"/api/v1/namespaces/{NAME}"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MERGE = "application/merge-patch+json"
SCHEDULER = "system:kube-scheduler"
HOST_OF_CHECK = {"httpGet": {"port": 8080, "host": "169.254.169.254"}}

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
TERM = {"topologyKey": "topology.kubernetes.io/region", "labelSelector": {"matchLabels": {"pincompute.io/app": "shopfront"}}}

FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    # what the pod says, what both API servers answer
    "a node": ({"nodeName": "a1-node-0"}, "spec.nodeName: nodeName must not be set"),
    "a scheduler": ({"schedulerName": "mine"}, "spec.schedulerName: schedulerName must be default-scheduler"),
    "a service account": (
        {"serviceAccountName": "builder"},
        "spec.serviceAccountName: serviceAccountName must be default",
    ),
    "a priority class": ({"priorityClassName": "system-node-critical"}, "spec.priorityClassName: priorityClassName must"),
    "every toleration": (
        {"tolerations": [{"operator": "Exists"}]},
        "spec.tolerations[0].key: a toleration must name the key of a taint",
    ),
    "a toleration of cordons": (
        {"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]},
        "spec.tolerations[0].key: a toleration",
    ),
    "a toleration of control planes": (
        {"tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]},
        "spec.tolerations[0].key: a toleration",
    ),
    "a toleration of the platform's taints": (
        {"tolerations": [{"key": "gpu", "operator": "Exists"}, {"key": "pincompute.io/drain", "operator": "Exists"}]},
        "spec.tolerations[1].key: a toleration",
    ),
    "pods of every project": (
        {"affinity": {"podAntiAffinity": {REQUIRED: [{**TERM, "namespaceSelector": {}}]}}},
        f"spec.affinity.podAntiAffinity.{REQUIRED}[0].namespaceSelector: must not be set",
    ),
    "pods of another project": (
        {"affinity": {"podAffinity": {REQUIRED: [TERM, {**TERM, "namespaces": ["victim"]}]}}},
        f"spec.affinity.podAffinity.{REQUIRED}[1].namespaces: must not be set",
    ),
    "a liking for pods of another project": (
        {"affinity": {"podAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": {**TERM, "namespaces": ["victim"]}}]}}},
        f"spec.affinity.podAffinity.{PREFERRED}[0].podAffinityTerm.namespaces: must not be set",
    ),
    "years to end": (
        {"terminationGracePeriodSeconds": 315360000},
        "spec.terminationGracePeriodSeconds: must be at most 3600 seconds",
    ),
}
IN_CONTAINERS: dict[str, tuple[dict[str, Any], str]] = {
    # what the container says, what both API servers answer
    "years to end after a check": (
        {"livenessProbe": {"tcpSocket": {"port": 8080}, "terminationGracePeriodSeconds": 315360000}},
        "spec.containers[0].livenessProbe.terminationGracePeriodSeconds: must be at most 3600 seconds",
    ),
    "an image of the node": ({"image": "127.0.0.1:10248/a/b:1"}, "spec.containers[0].image: the registry of an image must"),
    "an image of a neighbour": ({"image": "10.64.0.1:16010/a/b:1"}, "spec.containers[0].image: the registry of an image must"),
}
LAWFUL_IN_CONTAINERS: dict[str, Any] = {
    "image": "registry.example.com:5000/a/b:1",
    "livenessProbe": {"tcpSocket": {"port": 8080}, "terminationGracePeriodSeconds": 3600},
}
LAWFUL: dict[str, Any] = {
    "schedulerName": "default-scheduler",
    "serviceAccountName": "default",
    "terminationGracePeriodSeconds": 3600,
    "affinity": {"podAffinity": {REQUIRED: [TERM]}, "podAntiAffinity": {REQUIRED: [TERM]}},
    "tolerations": [{"key": "gpu", "operator": "Exists"}, {"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
}


def ask(client: ClusterClient, verb: str, path: str, body: Any, user: str = USER, kind: str = "application/json") -> str:
    """The request as the user, judged and not carried out. Returns the refusal; empty when there is none."""
    request = urllib.request.Request(f"{client.server}{path}?dryRun=All", json.dumps(body).encode(), method=verb)
    for name, value in (("Content-Type", kind), ("Impersonate-User", user), ("Impersonate-Group", "system:authenticated")):
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=20, context=client._tls):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return json.loads(error.read())["message"]


def post(client: ClusterClient, path: str, body: Any) -> None:
    """As the administrator, for good; what is there already is no error."""
    try:
        client.request("POST", path, json.dumps(body).encode(), "application/json")
    except ApiRefusal as refusal:
        if refusal.code != 409:
            raise


@pytest.fixture(scope="module")
def member(region: Region) -> Iterator[ClusterClient]:
    """A member, in which the project is there and the user may do everything inside of it."""
    make_project(region, NAME)
    for client in (region.host, region.members[MEMBER]):
        region.eventually("the namespace is there", lambda c=client: c.get(NAMESPACES, "", NAME))
        rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": USER}
        post(client, f"{RBAC}/namespaces/{NAME}/roles", {"metadata": {"name": USER}, "rules": [rule]})
        binding = {"metadata": {"name": USER}, "roleRef": reference, "subjects": [subject]}
        post(client, f"{RBAC}/namespaces/{NAME}/rolebindings", binding)
    post(region.members[MEMBER], f"{NAMESPACE}/serviceaccounts", {"metadata": {"name": "builder"}})
    projects = {"apiGroups": ["pincompute.io"], "resources": ["projects"], "verbs": ["*"]}
    post(region.host, f"{RBAC}/clusterroles", {"metadata": {"name": USER}, "rules": [projects]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}
    post(region.host, f"{RBAC}/clusterrolebindings", {"metadata": {"name": USER}, "roleRef": reference, "subjects": [subject]})
    yield region.members[MEMBER]
    for kind in ("clusterrolebindings", "clusterroles"):
        region.host.request("DELETE", f"{RBAC}/{kind}/{USER}")


def pod(**said: Any) -> dict[str, Any]:
    spec = web(NAME)["spec"]["template"]["spec"]
    return {"metadata": {"name": "mine"}, "spec": {**pod_security_defaults.filled_spec(spec), **said}}


def app(**said: Any) -> dict[str, Any]:
    manifest = web(NAME, "mine", replicas=1)
    manifest["spec"]["template"]["spec"] |= said
    return manifest


@pytest.mark.parametrize("case", FIELDS)
def test_a_pod_says_nothing_that_is_the_platforms_to_choose(member: ClusterClient, case: str) -> None:
    said, refusal = FIELDS[case]
    assert refusal in ask(member, "POST", PODS, pod(**said))
    assert ask(member, "POST", PODS, pod()) == ""


@pytest.mark.parametrize("case", FIELDS)
def test_nor_does_an_app_with_kubectl_on_the_host(region: Region, member: ClusterClient, case: str) -> None:
    said, refusal = FIELDS[case]
    assert refusal.replace("spec.", "spec.template.spec.", 1) in ask(region.host, "POST", PINAPPS.path(NAME), app(**said))
    assert ask(region.host, "POST", PINAPPS.path(NAME), app()) == ""


@pytest.mark.parametrize("case", IN_CONTAINERS)
def test_nor_does_a_container_on_either_side(region: Region, member: ClusterClient, case: str) -> None:
    for said, refusal in (IN_CONTAINERS[case], (LAWFUL_IN_CONTAINERS, "")):
        judged_pod, judged_app = pod(), app()
        judged_pod["spec"]["containers"][0] |= said
        judged_app["spec"]["template"]["spec"]["containers"][0] |= said
        of_pod = ask(member, "POST", PODS, judged_pod)
        of_app = ask(region.host, "POST", PINAPPS.path(NAME), judged_app)
        assert (refusal in of_pod, bool(of_pod)) == (True, bool(refusal)), of_pod
        assert (refusal.replace("spec.", "spec.template.spec.", 1) in of_app, bool(of_app)) == (True, bool(refusal)), of_app


def test_what_is_lawful_is_taken(region: Region, member: ClusterClient) -> None:
    assert ask(member, "POST", PODS, pod(**LAWFUL, priorityClassName="pincompute-preemptible")) == ""
    assert ask(region.host, "POST", PINAPPS.path(NAME), app(**LAWFUL)) == ""


@pytest.mark.parametrize("part", ["livenessProbe", "lifecycle"])
def test_the_nodes_kubelet_asks_no_other_host(region: Region, member: ClusterClient, part: str) -> None:
    for check, taken in ((HOST_OF_CHECK, False), ({"httpGet": {"port": 8080}}, True)):
        said = {part: {"preStop": check} if part == "lifecycle" else check}
        judged_pod, judged_app = pod(), app()
        judged_pod["spec"]["containers"][0] |= said
        judged_app["spec"]["template"]["spec"]["containers"][0] |= said
        assert (ask(member, "POST", PODS, judged_pod) == "") is taken
        assert (ask(region.host, "POST", PINAPPS.path(NAME), judged_app) == "") is taken


@pytest.mark.parametrize("path", [f"{PODS}/mine/binding", f"{NAMESPACE}/bindings"])
def test_only_the_scheduler_binds_a_pod_to_a_node(member: ClusterClient, path: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "mine"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "a1-node-0"},
    }
    assert "only the scheduler binds pods to nodes" in ask(member, "POST", path, body)
    assert "only the scheduler" not in ask(member, "POST", path, body, SCHEDULER)


def test_only_the_operator_makes_pods_that_pull_images(member: ClusterClient) -> None:
    forged = pod()
    forged["metadata"]["labels"] = {IMAGE_PULL_SHARD_UID: "u"}
    assert "only the platform writes pods with the label" in ask(member, "POST", PODS, forged)
    assert "only the platform" not in ask(member, "POST", PODS, forged, user_names(OPERATOR)[0])
    forged["metadata"]["labels"] = {f"{IMAGE_PULL_SHARD_UID}-of-mine": "u"}
    assert ask(member, "POST", PODS, forged) == ""


def test_a_pod_that_waits_takes_no_toleration_of_cordons_afterwards(member: ClusterClient) -> None:
    held = pod(schedulingGates=[{"name": "example.com/held"}])
    held["metadata"]["name"] = "held"
    post(member, PODS, held)
    try:
        given = json.loads(member.request("GET", f"{PODS}/held"))["spec"]["tolerations"]
        for key, taken in (("node.kubernetes.io/unschedulable", False), ("gpu", True)):
            change = {"spec": {"tolerations": [*given, {"key": key, "operator": "Exists"}]}}
            assert (ask(member, "PATCH", f"{PODS}/held", change, kind=MERGE) == "") is taken
    finally:
        member.request("DELETE", f"{PODS}/held", gracePeriodSeconds="0")


@pytest.mark.parametrize("where", ["host", MEMBER])
@pytest.mark.parametrize(("label", "value"), [(POD_SECURITY, "privileged"), (POD_SECURITY_VERSION, "v1.0"), (PROJECT, "other")])
def test_the_labels_that_bind_a_namespace_to_its_rules_stay(
    region: Region, member: ClusterClient, where: str, label: str, value: str
) -> None:
    client = region.host if where == "host" else member
    for path, given in ((NAMESPACE, value), (NAMESPACE, None), (f"{NAMESPACE}/status", value)):
        assert "only the platform changes" in ask(client, "PATCH", path, {"metadata": {"labels": {label: given}}}, kind=MERGE)
    assert ask(client, "PATCH", NAMESPACE, {"metadata": {"labels": {"team": "web"}}}, kind=MERGE) == ""


def test_only_an_administrator_lowers_a_project(region: Region, member: ClusterClient) -> None:
    path = PROJECTS.path("", NAME)
    for security in ({"level": "baseline"}, {"until": "2999-01-01T00:00:00Z"}):
        refusal = ask(region.host, "PATCH", path, {"spec": {"podSecurity": security}}, kind=MERGE)
        assert "spec.podSecurity: only an administrator changes it" in refusal
    assert ask(region.host, "PATCH", path, {"spec": {"description": "mine"}}, kind=MERGE) == ""
    lowered = {"apiVersion": PROJECTS.api_version, "kind": "Project", "metadata": {"name": "other"}}
    assert "only an administrator" in ask(
        region.host, "POST", PROJECTS.path(), {**lowered, "spec": {"podSecurity": {"level": "baseline"}}}
    )
    assert ask(region.host, "POST", PROJECTS.path(), {**lowered, "spec": {}}) == ""


def test_a_lowered_project_allows_what_its_level_allows_and_ends_by_itself(region: Region, member: ClusterClient) -> None:
    root = {"securityContext": {"runAsUser": 0}}
    files = {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}

    def taken(said: dict[str, Any]) -> tuple[bool, bool]:
        spec = {**web(NAME)["spec"]["template"]["spec"], **said}
        as_operator = {"metadata": {"name": "mine"}, "spec": pod_security_defaults.filled_spec(spec, level())}
        on_host = ask(region.host, "POST", PINAPPS.path(NAME), app(**said)) == ""
        return on_host, ask(member, "POST", PODS, as_operator) == ""

    def level() -> Any:
        found = {c.name: c.get(NAMESPACES, "", NAME) for c in (region.host, member)}
        levels = {there.metadata.labels[POD_SECURITY] for there in found.values() if there is not None}
        return levels.pop() if len(levels) == 1 else None

    assert (taken(root), taken(files)) == ((False, False), (False, False))
    region.host.change(PROJECTS, "", NAME, {"spec": {"podSecurity": {"level": "baseline"}}})
    region.eventually("the project is lowered", lambda: level() == "baseline")
    region.eventually("baseline is judged", lambda: taken(root) == (True, True))
    assert taken(files) == (False, False)
    ends = (datetime.now(UTC) + timedelta(seconds=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    security = {"level": "privileged", "reason": "a test", "approvedBy": "ann", "until": ends}
    region.host.change(PROJECTS, "", NAME, {"spec": {"podSecurity": security}})
    region.eventually("the project is lowered further", lambda: level() == "privileged")
    region.eventually("the lowering has ended", lambda: level() == "restricted")
    assert datetime.now(UTC) >= datetime.fromisoformat(ends)
    region.eventually("restricted is judged", lambda: (taken(root), taken(files)) == ((False, False), (False, False)))


def test_the_platforms_pods_have_the_priority_of_their_tier(region: Region) -> None:
    pods = [
        item["spec"]
        for client in region.members.values()
        for item in json.loads(client.request("GET", "/api/v1/namespaces/demo/pods"))["items"]
    ]
    assert pods
    assert {(spec["priorityClassName"], spec["priority"]) for spec in pods} == {("pincompute-ondemand", 0)}

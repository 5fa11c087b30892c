"""What the generated RBAC gives to a stolen credential: every verb of every process against every kind it does not own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest

from pincompute import installation
from pincompute.api.labels import (
    AUDIT_HEADS,
    BREAK_GLASS,
    DAEMONS_NAMESPACE,
    FEDERATION,
    GATEWAY,
    GATEWAY_USAGE,
    OPERATOR,
    SYSTEM_NAMESPACE,
    USAGE,
    pods_role,
    secrets_namespace,
    settings_role,
    user_names,
)
from pincompute.api.meta import Manifest
from pincompute.engine.controller import Card
from pincompute.engine.rbac import NEEDS, READ, SUBRESOURCES
from pincompute.federation import federation_process
from pincompute.operator import operator_process

VERBS = (*READ, "create", "update", "patch", "delete", "deletecollection", "escalate", "bind", "impersonate", "approve", "sign")
KINDS = {
    "": "pods pods/log pods/exec pods/attach pods/portforward pods/proxy pods/eviction pods/ephemeralcontainers pods/binding "
    "pods/status pods/resize services services/proxy nodes nodes/proxy nodes/status namespaces namespaces/finalize secrets "
    "configmaps serviceaccounts serviceaccounts/token persistentvolumes persistentvolumeclaims events limitranges "
    "resourcequotas replicationcontrollers users groups uids",
    "apps": "deployments deployments/scale statefulsets daemonsets replicasets",
    "batch": "jobs cronjobs",
    "rbac.authorization.k8s.io": "roles rolebindings clusterroles clusterrolebindings",
    "admissionregistration.k8s.io": "validatingadmissionpolicies validatingadmissionpolicybindings mutatingadmissionpolicies "
    "mutatingadmissionpolicybindings validatingwebhookconfigurations mutatingwebhookconfigurations",
    "apiextensions.k8s.io": "customresourcedefinitions",
    "apiregistration.k8s.io": "apiservices",
    "certificates.k8s.io": "certificatesigningrequests certificatesigningrequests/approval signers",
    "coordination.k8s.io": "leases",
    "networking.k8s.io": "networkpolicies ingresses",
    "policy": "poddisruptionbudgets",
    "scheduling.k8s.io": "priorityclasses",
    "storage.k8s.io": "storageclasses",
    "flowcontrol.apiserver.k8s.io": "flowschemas prioritylevelconfigurations",
    "pincompute.io": "pinapps pinapps/status pinpods pinpods/status pinrevisions memberclusters memberclusters/status projects "
    "projects/status pinsecrets pinsecrets/status pinconfigs pinconfigs/status pinappshards pinappshards/status "
    "pinpodshards pinpodshards/status clustercapacities "
    "clustercapacities/status",
}
UNIVERSE = [(group, kind) for group, kinds in KINDS.items() for kind in kinds.split()]
NEVER = {
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "serviceaccounts/token"),
    ("", "nodes/proxy"),
    ("", "services/proxy"),
    ("", "pods/proxy"),
    ("", "pods/ephemeralcontainers"),
    ("", "pods/binding"),
    *(kind for kind in UNIVERSE if kind[0] in ("admissionregistration.k8s.io", "apiextensions.k8s.io", "certificates.k8s.io")),
}
GATEWAYS = {  # the gateway has no cards
    "host": {
        "pinapps": VERBS[:7],
        "pinpods": VERBS[:7],
        "projects": VERBS[:7],
        "pinsecrets": VERBS[:7],
        "pinconfigs": VERBS[:7],
        "pinrevisions": READ,
        "memberclusters": READ,
    },
    "member": {
        "pods": READ,
        "events": READ,
        "nodes": READ,
        "pinappshards": READ,
        "pinpodshards": READ,
        "clustercapacities": READ,
    },
}
CASES = [("host", FEDERATION), ("host", GATEWAY), ("member", FEDERATION), ("member", GATEWAY), ("member", OPERATOR)]
cases = pytest.mark.parametrize(("role", "process"), CASES)


class Granted(NamedTuple):
    """A rule, and the namespace in which it holds; empty for everywhere."""

    namespace: str
    rule: Manifest

    def allows(self, group: str, kind: str, verb: str) -> bool:
        rule = self.rule
        parts = ((group, "apiGroups"), (kind, "resources"), (verb, "verbs"))
        return "resourceNames" not in rule and all(value in rule[part] or "*" in rule[part] for value, part in parts)


def granted(role: installation.Role, process: str) -> Iterator[Granted]:
    """Every rule that a binding gives to one of the names of the process."""
    manifests = installation.of(role)
    roles = {(m["kind"], m["metadata"].get("namespace", ""), m["metadata"]["name"]): m for m in manifests}
    for binding in manifests:
        if binding["kind"] in ("ClusterRoleBinding", "RoleBinding") and names(binding) & set(user_names(process)):
            namespace = binding["metadata"].get("namespace", "")
            ref = binding["roleRef"]
            for rule in roles[ref["kind"], namespace if ref["kind"] == "Role" else "", ref["name"]]["rules"]:
                yield Granted(namespace, rule)


def names(binding: Manifest) -> set[str]:
    return {
        f"system:serviceaccount:{s['namespace']}:{s['name']}" if s["kind"] == "ServiceAccount" else s["name"]
        for s in binding["subjects"]
    }


def declared(role: installation.Role, process: str) -> set[tuple[str, str, str]]:
    """What the cards of the process name; what they do not name is not its own."""
    if process == GATEWAY:
        return {
            (group, kind, verb)
            for kind, verbs in GATEWAYS[role].items()
            for group, k in UNIVERSE
            if k == kind
            for verb in verbs
        }
    controllers = federation_process.CONTROLLERS if process == FEDERATION else operator_process.CONTROLLERS
    where = "host" if role == "host" else "members" if process == FEDERATION else "local"
    return {right for controller in controllers for right in of_card(controller.card, where)}


def of_card(card: Card[Any], where: str) -> Iterator[tuple[str, str, str]]:
    for reads in card.reads:
        if reads.where == where and not reads.namespace:
            yield from ((reads.resource.group, reads.resource.plural, verb) for verb in READ)
    for writes in card.writes:
        if writes.where == where and not writes.in_projects and not writes.namespace:
            for word in writes.verbs:
                kind = writes.resource.plural + SUBRESOURCES.get(word, "")
                yield from ((writes.resource.group, kind, verb) for verb in NEEDS[word])


@cases
def test_a_process_may_do_everywhere_what_its_cards_name_and_nothing_else(role: installation.Role, process: str) -> None:
    rules = [each for each in granted(role, process) if not each.namespace]
    own = declared(role, process)
    assert own, "the process has rights at all"
    for (group, kind), verb in product(UNIVERSE, VERBS):
        allowed = any(rule.allows(group, kind, verb) for rule in rules)
        assert allowed == ((group, kind, verb) in own), f"{verb} {kind}.{group}"


@cases
def test_no_right_of_a_process_leads_to_more_rights(role: installation.Role, process: str) -> None:
    for namespace, rule in granted(role, process):
        words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        assert not words & {"*", "escalate", "impersonate", "approve", "sign", "deletecollection"}
        assert "nonResourceURLs" not in rule
        assert "bind" not in rule["verbs"] or rule["resourceNames"], "it binds a role by name, or none"
        kinds = set(product(rule["apiGroups"], rule["resources"])) & NEVER
        assert kinds == ({("", "secrets")} if namespace == secrets_namespace(process) else set())


@cases
def test_in_one_namespace_a_process_has_its_lease_or_reads_its_own_kubeconfigs(role: installation.Role, process: str) -> None:
    for namespace, rule in granted(role, process):
        if namespace == secrets_namespace(process):
            assert (rule["resources"], rule["verbs"]) == (["secrets"], list(READ))
        elif rule["resources"] == ["configmaps"]:
            assert (process, namespace, rule["resourceNames"]) == ("gateway", SYSTEM_NAMESPACE, [AUDIT_HEADS])
            assert rule["verbs"] == ["get", "patch"]
        elif namespace == DAEMONS_NAMESPACE:
            verbs = {"daemonsets": [*READ, "create", "update", "delete"], "pods": ["delete"]}
            assert (process, [rule["verbs"]]) == (OPERATOR, [verbs[kind] for kind in rule["resources"]])
        elif namespace:
            assert (namespace, rule["resources"]) == (SYSTEM_NAMESPACE, ["leases"])
            assert rule["verbs"] == ["create"] or rule["resourceNames"] == [f"pincompute-{process}"]


def test_the_usage_reader_and_who_asks_it_get_metrics_and_nothing_else() -> None:
    """Every kubelet that is read gets to know the reader's token, and every reader the token of who asks."""
    reader = [(rule["resources"], rule["verbs"]) for _, rule in granted("member", USAGE)]
    assert reader == [
        (["nodes"], list(READ)),
        (["nodes/metrics"], ["get"]),
        (["tokenreviews"], ["create"]),
        (["subjectaccessreviews"], ["create"]),
    ]
    assert [rule for _, rule in granted("member", GATEWAY_USAGE)] == [{"nonResourceURLs": ["/usage"], "verbs": ["get"]}]
    assert not [*granted("host", USAGE), *granted("host", GATEWAY_USAGE)]


@pytest.mark.parametrize("role", ["host", "member"])
def test_rights_go_to_one_process_each_and_to_administrators_in_an_emergency(role: installation.Role) -> None:
    bindings = [m for m in installation.of(role) if m["kind"].endswith("RoleBinding") or m["kind"] == "ClusterRoleBinding"]
    known = [set(user_names(process)) for process in (FEDERATION, GATEWAY, OPERATOR, USAGE, GATEWAY_USAGE)]
    assert bindings
    for binding in bindings:
        held = names(binding)
        assert held in known or (held, binding["metadata"]["name"]) == ({BREAK_GLASS}, "pincompute-break-glass")


@pytest.mark.parametrize("role", ["host", "member"])
def test_policies_name_whole_user_names(role: installation.Role) -> None:
    """A prefix would let in whoever may choose the rest of a name, such as a service account in our namespace."""
    policies = [m for m in installation.of(role) if m["kind"].endswith("AdmissionPolicy")]
    assert policies
    assert not [m["metadata"]["name"] for m in policies if "username.startsWith" in str(m)]
    assert not [m["metadata"]["name"] for m in policies if "startsWith(p)" in str(m)]


IN_PROJECTS = {  # what a binding in each project's namespace gives, and nothing outside of projects
    ("host", settings_role(GATEWAY)): {("secrets", "create"), ("configmaps", "get"), ("configmaps", "create")},
    ("host", settings_role(FEDERATION)): {(kind, verb) for kind in ("secrets", "configmaps") for verb in ("get", "delete")},
    ("member", settings_role(FEDERATION)): {
        (kind, verb) for kind in ("secrets", "configmaps") for verb in ("get", "create", "update", "delete")
    },
    ("member", pods_role(GATEWAY)): {
        ("pods", "patch"),
        ("pods/log", "get"),
        *((stream, verb) for stream in ("pods/exec", "pods/portforward") for verb in ("get", "create")),
    },
}


@pytest.mark.parametrize(("role", "name"), IN_PROJECTS)
def test_values_of_settings_logs_and_shells_are_granted_in_projects_alone(role: installation.Role, name: str) -> None:
    """Nobody lists values, and the gateway reads none of a secret."""
    (made,) = [m for m in installation.of(role) if m["kind"] == "ClusterRole" and m["metadata"]["name"] == name]
    found = {(kind, verb) for rule in made["rules"] for kind in rule["resources"] for verb in rule["verbs"]}
    assert found == IN_PROJECTS[role, name]
    bound = {m["roleRef"]["name"] for m in installation.of(role) if m["kind"].endswith("RoleBinding")}
    assert name not in bound, "only bindings in projects grant it"


@pytest.mark.parametrize("role", ["host", "member"])
def test_the_federation_binds_the_roles_in_projects_alone(role: installation.Role) -> None:
    binds = [each.rule for each in granted(role, FEDERATION) if "bind" in each.rule["verbs"]]
    names = [settings_role(FEDERATION), settings_role(GATEWAY) if role == "host" else pods_role(GATEWAY)]
    assert [(rule["resources"], rule["resourceNames"]) for rule in binds] == [(["clusterroles"], names)]

"""Makes the NetworkPolicy that isolates a project in every member: closed towards everybody else, open inside.

Pods of the project reach each other, the cluster's DNS, and what `spec.network` opens. A connection between two projects is
the receiving project's to allow, so the policy lets pods out to every project's pods, and each project's policy lets in.
A name in `spec.network.allowFrom` means the project that has it when the platform first sees both: the project's status keeps
the uid, and a later project of the name stays outside until an owner removes the name and adds it again.
Private addresses outside the projects (nodes, API servers, the metadata service of a cloud) stay closed in any case.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from pincompute.api.labels import PROJECT, PROJECT_UID
from pincompute.api.meta import Manifest
from pincompute.api.projects import AllowedProject, EgressPort, Project, ProjectEgress
from pincompute.api.validation_rules import PRIVATE_RANGES, contains, public_range

NAME = "pincompute"
_NAMESPACE = "kubernetes.io/metadata.name"
_DNS: Manifest = {
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    "to": [
        {
            "namespaceSelector": {"matchLabels": {_NAMESPACE: "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ],
}


def policy(project: Project) -> Manifest:
    """Returns the one policy of a project: its kind, name and spec, with every field that an API server would fill in."""
    network = project.spec.network
    inside: Manifest = {"podSelector": {}}
    allowed = [_pods_of(each) for each in project.status.allowed_projects if each.name in network.allow_from]
    projects = {"namespaceSelector": {"matchExpressions": [{"key": PROJECT, "operator": "Exists"}]}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [inside, *allowed]}],
            "egress": [{"to": [inside, projects]}, _DNS, *_egress(network.egress)],
        },
    }


def allowed_projects(project: Project, uids: Mapping[str, str]) -> tuple[AllowedProject, ...]:
    """Returns the projects that `spec.network.allowFrom` means; `uids` are those of the projects that exist, by name.

    A name without a project means the first project that gets it.
    """
    known = {each.name: each.uid for each in project.status.allowed_projects}
    names = sorted(set(project.spec.network.allow_from) - {project.metadata.name})
    found = {name: known.get(name) or uids.get(name, "") for name in names}
    return tuple(AllowedProject(name=name, uid=uid) for name, uid in found.items() if uid)


def _pods_of(project: AllowedProject) -> Manifest:
    labels = {_NAMESPACE: project.name, PROJECT: project.name, PROJECT_UID: project.uid}
    return {"namespaceSelector": {"matchLabels": labels}}


def _egress(wanted: tuple[ProjectEgress, ...]) -> Iterator[Manifest]:
    for egress in wanted:
        block = _block(egress.cidr)
        if block is not None:
            ports = {"ports": [_port(port) for port in egress.ports]} if egress.ports else {}
            yield {"to": [{"ipBlock": block}], **ports}


def _block(cidr: str) -> Manifest | None:
    """Returns the range without its private parts; None for one that an API server should have refused."""
    wanted = public_range(cidr)
    if wanted is None:
        return None
    excluded = [name for name in PRIVATE_RANGES if contains(wanted, ipaddress.ip_network(name))]
    return {"cidr": str(wanted), **({"except": excluded} if excluded else {})}


def _port(port: EgressPort) -> Manifest:
    last = {"endPort": port.end_port} if port.end_port is not None else {}
    return {"port": port.port, "protocol": port.protocol, **last}

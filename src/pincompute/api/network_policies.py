"""Defines slim structs of NetworkPolicies and of what they select: pods by label, and namespaces by label.

`requirements` brings both forms of a label selector into one that can be compared and hashed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from pincompute.api.meta import Object, Resource, Struct


class Requirement(NamedTuple):
    """One condition on labels; `operator` is In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


Requirements: TypeAlias = tuple[Requirement, ...]
"""All of them must hold; none select everything."""


class SelectorExpression(Struct):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class PolicySelector(Struct):
    match_labels: dict[str, str] = {}
    match_expressions: tuple[SelectorExpression, ...] = ()

    @property
    def requirements(self) -> Requirements:
        equal = (Requirement(key, "In", (value,)) for key, value in self.match_labels.items())
        other = (Requirement(e.key, e.operator, tuple(sorted(e.values))) for e in self.match_expressions)
        return tuple(sorted((*equal, *other)))


class IpBlock(Struct):
    cidr: str
    excluded: tuple[str, ...] = msgspec.field(default=(), name="except")


class PolicyPeer(Struct):
    """Pods, or addresses. Without a namespace selector, the pods are those of the policy's own namespace."""

    pod_selector: PolicySelector | None = None
    namespace_selector: PolicySelector | None = None
    ip_block: IpBlock | None = None


class PolicyPort(Struct):
    """A port by number, by range or by name; every port of the protocol when it names none."""

    protocol: str = "TCP"
    port: int | str | None = None
    end_port: int | None = None


class IngressRule(Struct):
    peers: tuple[PolicyPeer, ...] = msgspec.field(default=(), name="from")
    ports: tuple[PolicyPort, ...] = ()


class EgressRule(Struct):
    peers: tuple[PolicyPeer, ...] = msgspec.field(default=(), name="to")
    ports: tuple[PolicyPort, ...] = ()


class NetworkPolicySpec(Struct):
    pod_selector: PolicySelector = PolicySelector()
    policy_types: tuple[str, ...] = ()
    ingress: tuple[IngressRule, ...] = ()
    egress: tuple[EgressRule, ...] = ()

    @property
    def isolates_ingress(self) -> bool:
        return not self.policy_types or "Ingress" in self.policy_types

    @property
    def isolates_egress(self) -> bool:
        return "Egress" in self.policy_types or (not self.policy_types and bool(self.egress))


class NetworkPolicy(Object):
    spec: NetworkPolicySpec = NetworkPolicySpec()


class ContainerPort(Struct):
    container_port: int
    name: str = ""
    protocol: str = "TCP"


class NetworkContainer(Struct):
    ports: tuple[ContainerPort, ...] = ()


class NetworkPodSpec(Struct):
    host_network: bool = False
    containers: tuple[NetworkContainer, ...] = ()
    init_containers: tuple[NetworkContainer, ...] = ()


class NetworkPodStatus(Struct):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")


class NetworkPod(Object):
    """A pod as far as its network is concerned."""

    spec: NetworkPodSpec = NetworkPodSpec()
    status: NetworkPodStatus = NetworkPodStatus()

    @property
    def address(self) -> str:
        """Returns the address that is this pod's alone now; empty when it has none."""
        ended = self.status.phase in ("Succeeded", "Failed")
        return "" if ended or self.spec.host_network else self.status.pod_ip


NETWORKPOLICIES = Resource("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", True, NetworkPolicy)
NETWORKPODS = Resource("", "v1", "Pod", "pods", True, NetworkPod)

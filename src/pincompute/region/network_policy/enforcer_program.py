"""Describes the enforcer of a real node: its program in the node's network namespace, what it reads, and its rights. No I/O."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from pincompute.api.labels import MANAGED_BY, PINCOMPUTE, SYSTEM_NAMESPACE, service_account
from pincompute.api.meta import Manifest
from pincompute.region.cluster import certificates
from pincompute.region.layout import Layout, MemberSpec
from pincompute.region.network_policy.nft_script import NodeAddresses
from pincompute.region.network_policy.policy_enforcer import EnforcerSettings
from pincompute.region.nodes import node_network
from pincompute.region.process.program import FileReady, Program

RBAC = "rbac.authorization.k8s.io"


def program(layout: Layout, member: MemberSpec) -> Program:
    """The enforcer of a member's node. It arranges the node's network itself, so that it need not wait for the node."""
    enter = ("nsenter", f"--net={node_network.NAMESPACES / node_network.namespace(layout, member)}")
    kubeconfig = certificates.cluster(layout, member.name).kubeconfig(certificates.NETWORK)
    arguments = (f"--kubeconfig={kubeconfig}", f"--context={member.name}", f"--settings={_settings(layout, member)}")
    return Program(
        name=f"{member.name}-network",
        argv=(*enter, sys.executable, "-m", "pincompute.main", certificates.NETWORK, *arguments),
        prepare=node_network.node_commands(layout, member),
        ready=FileReady(path=str(_ready(layout, member))),
        needs=(f"{member.name}-apiserver",),
        grace=3.0,
    )


def configuration(layout: Layout, member: MemberSpec) -> dict[Path, bytes]:
    """The file that the enforcer reads, to be written before it starts."""
    addresses = NodeAddresses(
        pods=layout.pod_range(member),
        region=layout.pod_ranges,
        bridge=layout.bridge_range,
        machine=layout.address,
        dns_port=layout.ports(1 + member.index).dns,
        dns=layout.dns_address(1 + member.index),
    )
    settings = EnforcerSettings(node=addresses, ready=str(_ready(layout, member)))
    return {_settings(layout, member): msgspec.json.encode(settings)}


def manifests(layout: Layout) -> tuple[Manifest, ...]:
    """What a member must hold: the enforcer's account, which reads pods, namespaces and policies and changes nothing."""
    if not layout.spec.real_nodes:
        return ()
    name = service_account(certificates.NETWORK)
    labels = {MANAGED_BY: PINCOMPUTE}
    read = ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": read},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": read},
    ]
    account: Manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": labels},
    }
    role: Manifest = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels},
        "rules": rules,
    }
    binding: Manifest = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": labels},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": SYSTEM_NAMESPACE}],
    }
    return account, role, binding


def _settings(layout: Layout, member: MemberSpec) -> Path:
    return layout.node_dir(member) / "network.json"


def _ready(layout: Layout, member: MemberSpec) -> Path:
    return layout.node_dir(member) / "network.ready"

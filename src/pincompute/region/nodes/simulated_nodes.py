"""Describes simulated nodes: one KWOK per member plays the kubelet of every node with its annotation.

How nodes and pods move along stands in `stages.yaml`. A simulated pod is ready at once: say so beside any launch figure.
"""

from __future__ import annotations

from pathlib import Path

from pincompute.api.labels import CLUSTER, KWOK_USER, MANAGED_BY, PINCOMPUTE, SIMULATED_MARK, SIMULATED_NODE, ZONE
from pincompute.api.meta import Manifest
from pincompute.region.cluster import certificates
from pincompute.region.cluster.manifest_installer import Installer
from pincompute.region.layout import Layout, MemberSpec
from pincompute.region.process.program import HttpReady, Program

STAGES = Path(__file__).parent / "stages.yaml"
CAPACITY = {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "512Gi", "pods": "110"}
LEASE_SECONDS = 40


def program(layout: Layout, member: MemberSpec, binaries: Path) -> Program:
    """KWOK of a member. Its pods' addresses are of `labels.SIMULATED_POD_RANGE`, so nothing real is reached."""
    address = f"127.0.0.1:{layout.ports(1 + member.index).kwok}"
    return Program(
        name=f"{member.name}-kwok",
        argv=(
            str(binaries / "kwok"),
            f"--kubeconfig={certificates.cluster(layout, member.name).kubeconfig(certificates.KWOK)}",
            f"--config={STAGES}",
            f"--manage-nodes-with-annotation-selector={SIMULATED_NODE}=fake",
            f"--node-lease-duration-seconds={LEASE_SECONDS}",
            f"--cidr=100.{64 + member.index}.0.1/16",
            f"--server-address={address}",
            "--v=WARN",
        ),
        environment={"HOME": str(layout.cluster_dir(member.name))},  # where it reads settings of its own
        ready=HttpReady(url=f"http://{address}/healthz"),
        needs=(f"{member.name}-apiserver",),
        grace=3.0,
    )


async def provide(cluster: Installer, member: MemberSpec, count: int) -> None:
    """The member's first `count` simulated nodes and the rights of KWOK; without simulated nodes, nobody has these rights."""
    if not count:
        for manifest in reversed(manifests()):
            await cluster.delete(manifest)
        return
    await cluster.apply_all(manifests())
    for manifest in nodes(member, count):
        await cluster.create_once(manifest)


def nodes(member: MemberSpec, count: int) -> tuple[Manifest, ...]:
    """The member's first `count` simulated nodes."""
    return tuple(_node(member, number) for number in range(count))


def node_name(member: MemberSpec, number: int) -> str:
    return f"{member.name}{SIMULATED_MARK}{number}"


def manifests() -> tuple[Manifest, ...]:
    """KWOK's rights, which a cluster with simulated nodes holds and no other one. An admission policy narrows them further."""
    name = KWOK_USER
    metadata = {"name": name, "labels": {MANAGED_BY: PINCOMPUTE}}
    rbac = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]},
        {"apiGroups": [""], "resources": ["nodes/status", "pods/status"], "verbs": ["patch", "update"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get", "list", "watch", "create", "update", "patch"],
        },
    ]
    role: Manifest = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}
    binding: Manifest = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": KWOK_USER}],
    }
    return role, binding


def _node(member: MemberSpec, number: int) -> Manifest:
    """Capacity is part of the first write: the API server takes a node's status with its creation."""
    name = node_name(member, number)
    labels = {
        "type": "kwok",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": "local",
        "topology.kubernetes.io/zone": member.zone,
        ZONE: member.zone,
        CLUSTER: member.name,
        MANAGED_BY: PINCOMPUTE,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {SIMULATED_NODE: "fake"}},
        "status": {"capacity": CAPACITY, "allocatable": CAPACITY},
    }

"""Derives the paths, addresses and ports of a region from its home and its specification. No I/O.

Regions lie side by side: each has a `slot`, and every address, port and interface name follows from it.

    10.(64+slot).0.0/24             bridge: .1 the machine (API servers, registry), .10+i the node of member i
    10.(64+slot).16*(1+i).0/20      pods of member i
    10.(128+slot).16*i.0/20         Services of cluster i (0 is the host); .10 is its DNS
    16000+200*slot ...              ports, ten to a cluster, on the bridge address or on loopback; 190 and up: registry,
                                    gateway, issuer
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

MAX_MEMBERS = 14  # pod ranges that fit below one /16
MAX_SLOTS = 32


class MemberSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A member cluster of the region. `index` is never used twice while the region lives, so addresses stay.

    `simulated_nodes` were asked for this member alone; it has them or the region's number, whichever is more.
    """

    name: str
    zone: str
    index: int
    simulated_nodes: int = 0


class RegionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the region should be; kept in the home as `region.json`.

    `real_nodes` is false where root or cgroups are missing: then only simulated nodes run. Every cluster encrypts its Secrets
    with its key number `encryption_key`. `daemons`: `up` brings the metrics agent and the log shipper to the nodes.
    """

    slot: int
    members: tuple[MemberSpec, ...]
    real_nodes: bool = True
    simulated_nodes: int = 0
    encryption_key: int = 0
    daemons: bool = False


@dataclass(frozen=True, slots=True)
class ControlPlanePorts:
    """Ports of one cluster's control plane."""

    apiserver: int
    etcd: int
    etcd_peer: int
    controller_manager: int
    scheduler: int
    kwok: int
    operator: int
    dns: int
    usage: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths, names and addresses of a region."""

    home: Path
    spec: RegionSpec

    @property
    def prefix(self) -> str:
        """Begins the name of every link, namespace and cgroup of this region: at most 5 characters of a link's 15."""
        return f"pc{self.spec.slot}"

    @property
    def kubeconfig(self) -> Path:
        return self.home / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def pki(self) -> Path:
        return self.home / "pki"

    def cluster_dir(self, cluster: str) -> Path:
        return self.home / "clusters" / cluster

    def node_dir(self, member: MemberSpec) -> Path:
        return self.home / "nodes" / self.node_name(member)

    @property
    def bridge(self) -> str:
        return f"{self.prefix}-br"

    @property
    def address(self) -> str:
        """Where API servers and the registry listen."""
        return f"10.{64 + self.spec.slot}.0.1" if self.spec.real_nodes else "127.0.0.1"

    @property
    def registry(self) -> str:
        return f"{self.address}:{16190 + 200 * self.spec.slot}"

    @property
    def gateway(self) -> str:
        """Address and port of the gateway, where all users come in."""
        return f"{self.address}:{16191 + 200 * self.spec.slot}"

    @property
    def gateway_health(self) -> int:
        return 16192 + 200 * self.spec.slot

    @property
    def issuer(self) -> str:
        """Address and port of the issuer of users' tokens."""
        return f"{self.address}:{16193 + 200 * self.spec.slot}"

    @property
    def gateway_dir(self) -> Path:
        return self.home / "gateway"

    @property
    def issuer_dir(self) -> Path:
        return self.home / "issuer"

    def node_name(self, member: MemberSpec) -> str:
        return f"{member.name}-node-0"

    def node_address(self, member: MemberSpec) -> str:
        return f"10.{64 + self.spec.slot}.0.{10 + member.index}"

    def simulated_nodes(self, member: MemberSpec) -> int:
        return max(self.spec.simulated_nodes, member.simulated_nodes)

    def pod_range(self, member: MemberSpec) -> str:
        return f"10.{64 + self.spec.slot}.{16 * (1 + member.index)}.0/20"

    @property
    def bridge_range(self) -> str:
        return f"10.{64 + self.spec.slot}.0.0/24"

    @property
    def pod_ranges(self) -> str:
        """Holds the pods of all members; the machine and the nodes, in `bridge_range`, are the only other addresses in it."""
        return f"10.{64 + self.spec.slot}.0.0/16"

    def service_range(self, index: int) -> str:
        """Services of a cluster; index 0 is the host, member i has 1 + i."""
        return f"10.{128 + self.spec.slot}.{16 * index}.0/20"

    def dns_address(self, index: int) -> str:
        return f"10.{128 + self.spec.slot}.{16 * index}.10"

    def ports(self, index: int) -> ControlPlanePorts:
        """Ports of a cluster; index 0 is the host, member i has 1 + i."""
        base = 16000 + 200 * self.spec.slot + 10 * index
        return ControlPlanePorts(*range(base, base + 9))

    def usage_url(self, index: int) -> str:
        """Returns the address of the member's usage reader."""
        return f"https://127.0.0.1:{self.ports(index).usage}"

    def api_url(self, index: int) -> str:
        return f"https://{self.address}:{self.ports(index).apiserver}"

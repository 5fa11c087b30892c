"""Defines what a member's usage reader answers: the CPU and memory that the containers on its nodes use."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from pincompute.api.meta import Object, Resource, Struct

PATH = "/usage"  # of the reader; also what its callers' right names
NAMESPACE = "namespace"  # query parameter: only the containers of this namespace

NodeState: TypeAlias = Literal["read", "starting", "failed", "simulated"]
"""`starting`: it has been read once or never, so no rate is known yet."""


class ContainerUsage(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`cpu` in milli-cores, rounded up; `memory` is the working set in bytes. None is unknown."""

    namespace: str
    pod: str
    container: str
    cpu: int | None = None
    memory: int | None = None


class NodeUsage(Struct):
    """`at` is when the node answered last; `reason` says why it is not read now, while its last figures stand for a while."""

    name: str
    state: NodeState
    at: datetime | None = None
    reason: str = ""
    cpu: int | None = None
    memory: int | None = None
    containers: tuple[ContainerUsage, ...] = ()


class UsageReport(Struct):
    """`period` is the number of seconds between two readings of a node."""

    nodes: tuple[NodeUsage, ...] = ()
    period: float = 0.0


class NodeAddress(Struct):
    type: str = ""
    address: str = ""


class DaemonEndpoint(Struct):
    port: int = msgspec.field(default=0, name="Port")


class DaemonEndpoints(Struct):
    kubelet_endpoint: DaemonEndpoint = DaemonEndpoint()


class KubeletNodeStatus(Struct):
    addresses: tuple[NodeAddress, ...] = ()
    daemon_endpoints: DaemonEndpoints = DaemonEndpoints()


class KubeletNode(Object):
    """A node with the address of its kubelet."""

    status: KubeletNodeStatus = KubeletNodeStatus()


KUBELET_NODES = Resource("", "v1", "Node", "nodes", False, KubeletNode)

"""Member clusters and what they hold: registered on the host, measured in the member."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pincompute.api.conditions import Condition
from pincompute.api.core import Taint
from pincompute.api.meta import GROUP, VERSION, Object, Resource, Struct


class SecretReference(Struct):
    name: str
    namespace: str = "pincompute-system"


class FreeNodes(Struct):
    """`count` schedulable nodes that each have at least this much left: the shape of free capacity, not only its sum (S-034).

    `cpu` in milli-cores, `memory` in bytes, `pods` in pod slots.
    """

    cpu: int
    memory: int
    pods: int
    count: int


class Capacity(Struct):
    """A cluster's nodes and room. `cpu` in milli-cores, `memory` in bytes."""

    nodes: int = 0
    ready_nodes: int = 0
    cpu: int = 0
    memory: int = 0
    pods: int = 0
    requested_cpu: int = 0
    requested_memory: int = 0
    running_pods: int = 0
    pending_pods: int = 0
    free: tuple[FreeNodes, ...] = ()


class MemberClusterSpec(Struct):
    zone: str
    kubeconfig: SecretReference
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()
    cost: int = 100  # price of one core-hour relative to the others; lower is preferred


class MemberClusterStatus(Struct):
    observed_generation: int = 0
    kubernetes_version: str = ""
    capacity: Capacity | None = None
    conditions: tuple[Condition, ...] = ()


class MemberCluster(Object):
    """A Kubernetes cluster that executes work: one zone, one kubeconfig."""

    spec: MemberClusterSpec
    status: MemberClusterStatus = MemberClusterStatus()


class ClusterCapacityStatus(Struct):
    capacity: Capacity | None = None


class ClusterCapacity(Object):
    """Written in each member by its operator, the single object `local`: the cluster's room in a bounded size."""

    status: ClusterCapacityStatus = ClusterCapacityStatus()


ProjectRole: TypeAlias = Literal["viewer", "developer", "operator", "owner"]


class ProjectMember(Struct):
    name: str
    role: ProjectRole = "developer"


class ProjectSpec(Struct):
    description: str = ""
    members: tuple[ProjectMember, ...] = ()


class ProjectStatus(Struct):
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class Project(Object):
    """A tenant: one namespace of the same name in the host and in every member."""

    spec: ProjectSpec = ProjectSpec()
    status: ProjectStatus = ProjectStatus()


MEMBERCLUSTERS = Resource(GROUP, VERSION, "MemberCluster", "memberclusters", False, MemberCluster)
CLUSTERCAPACITIES = Resource(GROUP, VERSION, "ClusterCapacity", "clustercapacities", False, ClusterCapacity)
PROJECTS = Resource(GROUP, VERSION, "Project", "projects", False, Project)

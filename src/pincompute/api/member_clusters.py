"""Defines member clusters and their capacity: clusters are registered on the host, and capacity is measured in each member."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pincompute.api.builtin import Taint
from pincompute.api.conditions import Conditions
from pincompute.api.meta import GROUP, VERSION, Object, Resource, Struct, doc


class SecretReference(Struct):
    name: Annotated[
        str,
        doc(
            "Name of the Secrets, one in pincompute-federation and one in pincompute-gateway, each with credentials of that "
            "process alone. The key `kubeconfig` holds the file.",
            minLength=1,
            maxLength=253,
        ),
    ]
    namespace: Annotated[
        str, doc("Has no effect: each process reads the Secret in its own namespace.", minLength=1, maxLength=63)
    ] = "pincompute-system"


class FreeNodes(Struct):
    """`count` schedulable nodes that each have at least this much left: the shape of free room, not only its sum (S-034)."""

    resources: Annotated[dict[str, int], doc("Free on each, by resource: cpu in milli-cores, everything else in units.")] = {}
    count: Annotated[int, doc("How many nodes.")] = 0


class Capacity(Struct):
    """A cluster's nodes and room. Of every resource that its nodes have: cpu in milli-cores, everything else in units.

    An operator of a version before resources were maps writes fields that are not read any more: until it is upgraded as well,
    its cluster keeps what runs there and is taken to have no room for more.
    """

    nodes: Annotated[int, doc("All nodes.")] = 0
    ready_nodes: Annotated[int, doc("Nodes that are ready.")] = 0
    allocatable: Annotated[dict[str, int], doc("What the ready nodes that take work have, by resource; pods are slots.")] = {}
    largest: Annotated[
        dict[str, int], doc("The most of each resource that one of its nodes has, whether or not that node takes work now.")
    ] = {}
    requested: Annotated[dict[str, int], doc("What the pods on those nodes request, by resource.")] = {}
    running_pods: Annotated[int, doc("Pods that run.")] = 0
    pending_pods: Annotated[int, doc("Pods that wait for a node or for their start.")] = 0
    kubelet_version: Annotated[str, doc("Oldest version among its nodes.")] = ""
    free: Annotated[tuple[FreeNodes, ...], doc("Free room by node size, largest first.")] = ()


class MemberClusterSpec(Struct):
    zone: Annotated[
        str,
        doc(
            "The failure domain all nodes are in. Never changes.",
            minLength=1,
            maxLength=15,
        ),
    ]
    kubeconfig: Annotated[SecretReference, doc("The Secret that holds the credentials for this cluster.")]
    unschedulable: Annotated[bool, doc("Takes no new work; what runs there stays.")] = False
    taints: Annotated[
        tuple[Taint, ...],
        doc("Keeps work away that does not tolerate them; NoExecute also moves what runs there.", maxItems=32),
    ] = ()
    cost: Annotated[
        int, doc("Price of one core-hour relative to the other clusters; lower is preferred.", minimum=0, maximum=1000000)
    ] = 100


class MemberClusterStatus(Struct):
    observed_generation: Annotated[int, doc("The last metadata.generation that was acted on.")] = 0
    capacity: Annotated[Capacity | None, doc("Its nodes and room, as last reported.")] = None
    conditions: Conditions = ()


class MemberCluster(Object):
    """A Kubernetes cluster that executes work: one zone, one kubeconfig."""

    spec: Annotated[MemberClusterSpec, doc("How to reach the cluster and what it may be used for.")]
    status: Annotated[MemberClusterStatus, doc("Health and room.")] = MemberClusterStatus()


class ClusterCapacityStatus(Struct):
    capacity: Annotated[Capacity | None, doc("Nodes and room.")] = None
    measured_at: Annotated[datetime | None, doc("When it was measured; all that shards reported before is counted.")] = None


class ClusterCapacity(Object):
    """Written in each member by its operator, the single object `local`: the cluster's room in a bounded size."""

    status: Annotated[ClusterCapacityStatus, doc("Measured by this cluster's operator.")] = ClusterCapacityStatus()


MEMBERCLUSTERS = Resource(GROUP, VERSION, "MemberCluster", "memberclusters", False, MemberCluster)
CLUSTERCAPACITIES = Resource(GROUP, VERSION, "ClusterCapacity", "clustercapacities", False, ClusterCapacity)

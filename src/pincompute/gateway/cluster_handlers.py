"""Handles the list of member clusters: the state of each, since when, and how much room it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler

from pincompute.api import conditions
from pincompute.api.member_clusters import MEMBERCLUSTERS, Capacity, MemberCluster
from pincompute.api.meta import Struct, doc
from pincompute.api.resource_requests import CPU, MEMORY, PODS
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import may


class Room(Struct):
    """An amount of each resource that pods share."""

    cpu: Annotated[int, doc("In milli-cores.")] = 0
    memory: Annotated[int, doc("In bytes.")] = 0
    pods: Annotated[int, doc("Pods.")] = 0


class FreeNode(Struct):
    """Nodes with about the same room."""

    nodes: Annotated[int, doc("How many.")]
    room: Annotated[Room, doc("What each of them has left at least.")]


class Cluster(Struct):
    """A member cluster, for administrators; users need not know that there are any. Amounts are as last reported."""

    name: Annotated[str, doc("Name.")]
    zone: Annotated[str, doc("Its zone.")]
    ready: Annotated[bool, doc("It takes work.")]
    state: Annotated[
        Literal["Ready", "Unschedulable", "NotReady", "Unknown", "Leaving"],
        doc("Unschedulable takes no new work by request; Unknown does not answer; Leaving is being removed."),
    ] = "Unknown"
    since: Annotated[datetime | None, doc("When it became ready or not ready; for Leaving, when the removal began.")] = None
    nodes: Annotated[int, doc("Nodes.")] = 0
    ready_nodes: Annotated[int, doc("Nodes that are ready.")] = 0
    pods: Annotated[int, doc("Pods that run.")] = 0
    waiting: Annotated[int, doc("Pods that wait for a node or for their start.")] = 0
    allocatable: Annotated[Room | None, doc("What the ready nodes that take work have for pods; absent if unknown.")] = None
    free: Annotated[Room | None, doc("What no pod requests of it; absent if unknown.")] = None
    largest: Annotated[Room | None, doc("The largest replica that fits on a node, by cpu and then by memory.")] = None
    free_nodes: Annotated[tuple[FreeNode, ...], doc("Nodes by the room that they have left, the roomiest first.")] = ()
    message: Annotated[str, doc("If it takes no work: why.")] = ""


class ClusterPage(Struct):
    items: Annotated[tuple[Cluster, ...], doc("By name.")]


@get("/v1/admin/clusters", opt=may("clusters", "list"), operation_id="listClusters", tags=["admin"])
async def list_clusters(reads: NamedDependency[CacheReads]) -> ClusterPage:
    """The region's member clusters."""
    unreachable = frozenset(reads.unreachable_clusters())
    members = sorted(reads.host(MEMBERCLUSTERS).list(), key=lambda m: m.metadata.name)
    return ClusterPage(items=tuple(describe(m, reads.capacity(m), unreachable=m.metadata.name in unreachable) for m in members))


def describe(member: MemberCluster, reported: Capacity | None, *, unreachable: bool) -> Cluster:
    state, since, message = _state(member, unreachable=unreachable)
    capacity, known = reported or Capacity(), reported is not None
    return Cluster(
        name=member.metadata.name,
        zone=member.spec.zone,
        ready=state == "Ready",
        state=state,
        since=since,
        nodes=capacity.nodes,
        ready_nodes=capacity.ready_nodes,
        pods=capacity.running_pods,
        waiting=capacity.pending_pods,
        allocatable=_room(capacity.allocatable) if known else None,
        free=_room(_left(capacity)) if known else None,
        largest=_largest(capacity) if known else None,
        free_nodes=tuple(FreeNode(nodes=row.count, room=_room(row.resources)) for row in capacity.free),
        message=message,
    )


def _state(
    member: MemberCluster, *, unreachable: bool
) -> tuple[Literal["Ready", "Unschedulable", "NotReady", "Unknown", "Leaving"], datetime | None, str]:
    """The state, since when, and why it takes no work."""
    ready = conditions.find(member.status.conditions, "Ready")
    since = ready.last_transition_time if ready is not None else None
    if member.deleting:
        began = member.metadata.deletion_timestamp
        return "Leaving", began, "is being removed; it goes when its work runs elsewhere"
    if unreachable:
        known = since if ready is not None and ready.status != "True" else None
        return "Unknown", known, _unreachable(member.metadata.name)
    if ready is None:
        return "Unknown", None, "is not reported yet"
    if ready.status != "True":
        return "NotReady", since, ready.message
    if member.spec.unschedulable:
        return "Unschedulable", None, "takes no new work, because spec.unschedulable says so; what runs there stays"
    return "Ready", since, ""


def _unreachable(name: str) -> str:
    return (
        "does not answer; these are its last figures. Check its API server and the way to it; "
        f"in an embedded region: `pincompute region status`, `pincompute region logs {name}-apiserver`"
    )


def _largest(capacity: Capacity) -> Room | None:
    """Nothing fits where nothing is free; unknown where the shape of the free room is."""
    if capacity.free:
        return _room(capacity.free[0].resources)
    left = _left(capacity)
    return None if all(left.get(name) for name in (CPU, MEMORY, PODS)) else Room()


def _left(capacity: Capacity) -> dict[str, int]:
    return {name: max(0, amount - capacity.requested.get(name, 0)) for name, amount in capacity.allocatable.items()}


def _room(amounts: Mapping[str, int]) -> Room:
    return Room(cpu=amounts.get(CPU, 0), memory=amounts.get(MEMORY, 0), pods=amounts.get(PODS, 0))


ROUTES: Sequence[ControllerRouterHandler] = (list_clusters,)

"""What administrators see of a member cluster: its state and since when, and its room."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from pincompute.api.conditions import Condition
from pincompute.api.member_clusters import (
    Capacity,
    FreeNodes,
    MemberCluster,
    MemberClusterSpec,
    MemberClusterStatus,
    SecretReference,
)
from pincompute.api.meta import ObjectMeta
from pincompute.gateway.cluster_handlers import FreeNode, Room, describe

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
LEFT = datetime(2026, 2, 1, tzinfo=UTC)
GIB = 1024**3
CAPACITY = Capacity(
    nodes=3,
    ready_nodes=2,
    allocatable={"cpu": 8000, "memory": 16 * GIB, "pods": 220},
    requested={"cpu": 3000, "memory": 17 * GIB, "pods": 20},
    running_pods=18,
    pending_pods=2,
    free=(
        FreeNodes(resources={"cpu": 3000, "memory": 4 * GIB, "pods": 100}, count=1),
        FreeNodes(resources={"cpu": 2000, "memory": GIB, "pods": 100}, count=1),
    ),
)
READY = Condition(type="Ready", status="True", last_transition_time=SINCE)
DOWN = Condition(type="Ready", status="False", last_transition_time=SINCE, message="has no node that takes work")


def member(*conditions: Condition, unschedulable: bool = False) -> MemberCluster:
    spec = MemberClusterSpec(zone="a", kubeconfig=SecretReference(name="member-a1"), unschedulable=unschedulable)
    status = MemberClusterStatus(conditions=conditions)
    return MemberCluster(metadata=ObjectMeta(name="a1"), spec=spec, status=status)


def leaving() -> MemberCluster:
    found = member(READY)
    return msgspec.structs.replace(found, metadata=msgspec.structs.replace(found.metadata, deletion_timestamp=LEFT))


@pytest.mark.parametrize(
    ("found", "unreachable", "state", "since", "message"),
    [
        (member(READY), False, "Ready", SINCE, ""),
        (member(DOWN), False, "NotReady", SINCE, "has no node that takes work"),
        (member(READY), True, "Unknown", None, "does not answer"),
        (member(DOWN), True, "Unknown", SINCE, "does not answer"),
        (member(), False, "Unknown", None, "is not reported yet"),
        (member(READY, unschedulable=True), False, "Unschedulable", None, "takes no new work"),
        (member(DOWN, unschedulable=True), False, "NotReady", SINCE, "has no node that takes work"),
        (leaving(), False, "Leaving", LEFT, "is being removed"),
    ],
)
def test_a_state_says_since_when_and_why(
    found: MemberCluster, unreachable: bool, state: str, since: datetime | None, message: str
) -> None:
    shown = describe(found, CAPACITY, unreachable=unreachable)
    assert (shown.state, shown.since, shown.ready) == (state, since, state == "Ready")
    assert shown.message.startswith(message)
    assert bool(shown.message) == (not shown.ready)


def test_room_is_what_no_pod_requests_and_the_shape_of_it() -> None:
    shown = describe(member(READY), CAPACITY, unreachable=False)
    assert (shown.nodes, shown.ready_nodes, shown.pods, shown.waiting) == (3, 2, 18, 2)
    assert shown.allocatable == Room(cpu=8000, memory=16 * GIB, pods=220)
    assert shown.free == Room(cpu=5000, memory=0, pods=200), "more is requested than there is: nothing is free"
    assert shown.largest == Room(cpu=3000, memory=4 * GIB, pods=100)
    assert [each.nodes for each in shown.free_nodes] == [1, 1]
    assert shown.free_nodes[1] == FreeNode(nodes=1, room=Room(cpu=2000, memory=GIB, pods=100))


@pytest.mark.parametrize(
    ("capacity", "largest"),
    [
        (None, None),
        (msgspec.structs.replace(CAPACITY, free=()), Room()),
        (msgspec.structs.replace(CAPACITY, free=(), requested={"cpu": 1}), None),
    ],
)
def test_a_full_cluster_has_no_room_and_what_is_not_reported_is_unknown(
    capacity: Capacity | None, largest: Room | None
) -> None:
    shown = describe(member(READY), capacity, unreachable=False)
    assert shown.largest == largest
    assert (shown.allocatable is None, shown.free is None) == (capacity is None, capacity is None)

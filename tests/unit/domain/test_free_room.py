"""What is said of the free room where a workload waits for some."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pincompute.api.conditions import Condition
from pincompute.api.member_clusters import Capacity, FreeNodes
from pincompute.api.workloads import ClusterReplicas, Rejection, Scheduling, WorkloadStatus
from pincompute.domain import free_room
from pincompute.domain.free_room import ClusterRoom

MI = 1 << 20
ASKED = {"cpu": 500, "memory": 256 * MI, "pods": 1}


def room(*free: dict[str, int], zone: str = "a") -> ClusterRoom:
    rows = tuple(FreeNodes(count=1, resources=each) for each in free)
    return ClusterRoom(
        f"{zone}1", zone, Capacity(nodes=2, allocatable={"cpu": 4000, "memory": 8192 * MI, "pods": 110}, free=rows)
    )


def place(cpu: int, memory: int, pods: int = 9, **more: int) -> dict[str, int]:
    return {"cpu": cpu, "memory": memory * MI, "pods": pods, **more}


PLACES = {
    "what is left is less": (
        [room(place(200, 512))],
        "the node with the most room left now has cpu 200m and memory 512Mi, in zone a",
    ),
    "the one that comes closest, of all zones": (
        [room(place(200, 512), place(100, 2048)), room(place(400, 200), zone="b")],
        "the node with the most room left now has cpu 400m and memory 200Mi, in zone b",
    ),
    "two nodes of which each lacks another resource": (
        [room(place(4000, 10), place(300, 128))],
        "the node with the most room left now has cpu 300m and memory 128Mi, in zone a",
    ),
    "no slot for another pod": (
        [room(place(4000, 1024, 0))],
        "the node with the most room left now has cpu 4, memory 1Gi and no pods, in zone a",
    ),
    "it is promised to others": ([room(place(600, 512))], ""),
    "all nodes are full": ([room()], "no node there has anything left"),
    "nobody measured it": ([ClusterRoom("a1", "a", Capacity())], ""),
    "no cluster": ([], ""),
}


@pytest.mark.parametrize("case", PLACES)
def test_the_place_that_comes_closest_to_the_request_is_named(case: str) -> None:
    rooms, said = PLACES[case]
    assert free_room.roomiest_node(ASKED, rooms) == said


def test_a_device_that_no_node_has_left_is_named() -> None:
    said = free_room.roomiest_node({**ASKED, "nvidia.com/gpu": 1}, [room(place(4000, 1024))])
    assert said == "the node with the most room left now has cpu 4, memory 1Gi and no nvidia.com/gpu, in zone a"


def status(unplaced: int, *rejections: tuple[str, str], update: str = "") -> WorkloadStatus:
    refused = tuple(Rejection(cluster=name, reason=reason, message="", zone=name[0]) for name, reason in rejections)
    placed = (ClusterReplicas(cluster="c1", zone="c", replicas=2),)
    waits = Condition(
        type="UpdateScheduled", status="False", reason=update, last_transition_time=datetime(2026, 1, 1, tzinfo=UTC)
    )
    return WorkloadStatus(
        scheduling=Scheduling(generation=1, unplaced=unplaced, placement=placed, rejections=refused),
        conditions=(waits,) if update else (),
    )


LACKING = {
    "nothing was decided yet": (WorkloadStatus(), set()),
    "all have a place": (status(0, ("a1", "ZoneNotWanted")), set()),
    "those that are full, and none that does not match": (
        status(1, ("a1", "InsufficientCapacity"), ("b1", "TooLarge"), ("b2", "ZoneNotWanted")),
        {"a1"},
    ),
    "an update waits where the app runs": (status(0, update="InsufficientCapacity"), {"c1"}),
    "an update that no node could ever hold": (status(0, update="TooLarge"), set()),
}


@pytest.mark.parametrize("case", LACKING)
def test_only_clusters_that_lack_room_now_are_looked_at(case: str) -> None:
    seen, clusters = LACKING[case]
    assert free_room.lacking(seen) == clusters

"""Room of a cluster: S-034, S-104."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pincompute.api import resource_requests
from pincompute.api.builtin import Node, NodeInfo, NodeSpec, NodeStatus, Pod, PodSpec, PodStatus, Taint
from pincompute.api.conditions import Condition
from pincompute.api.member_clusters import Capacity, FreeNodes
from pincompute.api.meta import ObjectMeta
from pincompute.domain import capacity_summary

GI = 2**30


def node(name: str, *, ready: bool = True, cordoned: bool = False, taints: tuple[Taint, ...] = (), cpu: str = "4") -> Node:
    return Node(
        metadata=ObjectMeta(name=name),
        spec=NodeSpec(unschedulable=cordoned, taints=taints),
        status=NodeStatus(
            allocatable={"cpu": cpu, "memory": "8Gi", "pods": "10"},
            conditions=(Condition(type="Ready", status="True" if ready else "False"),),
        ),
    )


GPU = "nvidia.com/gpu"


def container(cpu: str, memory: str = "1Gi", gpu: str = "0", **more: str):
    return {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory, GPU: gpu}}, **more}


def pod(spec, on: str = "n1", phase: str = "Running") -> Pod:
    decoded = msgspec.convert({"nodeName": on, **spec}, PodSpec)
    return Pod(metadata=ObjectMeta(name="p"), spec=decoded, status=PodStatus(phase=phase))


ONE_CORE = {"containers": [container("1")]}


def test_what_a_cluster_has_and_what_is_left():
    nodes = [node("n1"), node("n2"), node("down", ready=False), node("cordoned", cordoned=True)]
    pods = [pod(ONE_CORE), pod(ONE_CORE, phase="Pending"), pod(ONE_CORE, on=""), pod(ONE_CORE, phase="Failed")]
    assert capacity_summary.measure(nodes, pods) == Capacity(
        nodes=4,
        ready_nodes=3,
        allocatable={"cpu": 8000, "memory": 16 * GI, "pods": 20},
        largest={"cpu": 4000, "memory": 8 * GI, "pods": 10},
        requested={"cpu": 2000, "memory": 2 * GI, "pods": 2},
        running_pods=1,
        pending_pods=2,
        free=(
            FreeNodes(resources={"cpu": 4000, "memory": 8 * GI, "pods": 10}, count=1),
            FreeNodes(resources={"cpu": 2000, "memory": 6 * GI, "pods": 8}, count=1),
        ),
    )


TAINTS = {
    "NoSchedule keeps pods away": ("NoSchedule", 0),
    "NoExecute keeps pods away": ("NoExecute", 0),
    "PreferNoSchedule does not": ("PreferNoSchedule", 1),
}


@pytest.mark.parametrize(("effect", "rows"), TAINTS.values(), ids=TAINTS.keys())
def test_tainted_nodes_have_no_room(effect, rows):
    assert len(capacity_summary.measure([node("n1", taints=(Taint(key="k", effect=effect),))], []).free) == rows


SPECS = {
    "the containers' sum": {"containers": [container("1"), container("500m")]},
    "a larger init container": {"initContainers": [container("3")], "containers": [container("1")]},
    "sidecars run on": {"initContainers": [container("1", restartPolicy="Always")], "containers": [container("1")]},
    "an init container runs beside the sidecars before it": {
        "initContainers": [container("1", restartPolicy="Always"), container("2")],
        "containers": [container("1")],
    },
    "the pod as a whole overrides": {"containers": [container("1")], "resources": {"requests": {"cpu": "5"}}},
    "overhead comes on top": {"containers": [container("1")], "overhead": {"cpu": "250m"}},
    "devices count": {"containers": [container("1", gpu="2")], "initContainers": [container("1", gpu="4")]},
    "nothing": {"containers": [{"name": "c"}]},
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_a_pod_is_measured_by_the_schedulers_formula(spec):
    """S-104: the same answer for a pod as for the template it was made from."""
    assert capacity_summary.of_pod(pod(spec)) == resource_requests.requests({"spec": spec})


def room(cpu: int, memory: int = GI, slots: int = 5, **more: int) -> dict[str, int]:
    return {"cpu": cpu, "memory": memory, "pods": slots, **more}


def test_rows_are_bounded_and_never_promise_too_much():
    """S-034: every row can be laid over that many nodes of its own."""
    nodes = [room(100 + 37 * n % 4000, GI + 911 * n % 7919 * 10**6, 1 + n % 90) for n in range(500)]
    rows = capacity_summary.rows(nodes)
    assert len(rows) <= 16
    assert sum(row.count for row in rows) == 500
    for cpu in (200, 1000, 3000):
        assert sum(r.count for r in rows if r.resources["cpu"] >= cpu) <= sum(n["cpu"] >= cpu for n in nodes)
    assert sum(r.resources["cpu"] * r.count for r in rows) > 0.6 * sum(n["cpu"] for n in nodes)


def test_nodes_with_devices_keep_rows_of_their_own():
    """S-034: the least of a node with a GPU and one without would be none."""
    nodes = [room(1000 + n, **{GPU: 1 + n % 8} if n % 5 == 0 else {}) for n in range(500)]
    rows = capacity_summary.rows(nodes)
    assert sum(row.count for row in rows if GPU in row.resources) == 100
    assert sum(row.resources.get(GPU, 0) * row.count for row in rows) >= 0.6 * sum(n.get(GPU, 0) for n in nodes)
    assert len(rows) <= 32


@given(st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 3), max_size=8), max_size=60), st.integers(1, 9))
def test_rows_are_bounded_however_many_sorts_of_devices_there_are(devices, cpu):
    nodes = [room(1000 + cpu * n, **some) for n, some in enumerate(devices)]
    rows = capacity_summary.rows(nodes)
    assert len(rows) <= 16 * capacity_summary.SORTS
    assert sum(row.count for row in rows) == len(nodes)
    for name in "abcdefgh":
        assert sum(r.count * r.resources.get(name, 0) for r in rows) <= sum(n.get(name, 0) for n in nodes)


def test_only_so_many_extended_resources_are_told():
    many = {"cpu": "4", "memory": "8Gi", "pods": "10", **{f"example.com/r{n:02}": "1" for n in range(40)}}
    crowded = msgspec.structs.replace(node("n1"), status=msgspec.structs.replace(node("n1").status, allocatable=many))
    measured = capacity_summary.measure([crowded], ())
    assert len(measured.allocatable) == len(measured.free[0].resources) == 3 + capacity_summary.EXTENDED


def test_a_device_in_use_is_not_free():
    has = {"cpu": "4", "memory": "8Gi", "pods": "10", GPU: "2"}
    one = msgspec.structs.replace(node("n1"), status=msgspec.structs.replace(node("n1").status, allocatable=has))
    uses = [pod({"containers": [container("1", gpu="1")]}), pod({"containers": [container("1", gpu="1")]})]
    assert [capacity_summary.measure([one], uses[:n]).free[0].resources.get(GPU) for n in range(3)] == [2, 1, None]
    assert capacity_summary.measure([one], uses).requested[GPU] == 2


def test_a_count_of_pods_is_a_quantity_too():
    big = msgspec.structs.replace(node("n1"), status=msgspec.structs.replace(node("n1").status, allocatable={"pods": "1k"}))
    assert capacity_summary.measure([big], []).allocatable["pods"] == 1000


def test_full_nodes_are_left_out():
    assert capacity_summary.rows([room(0), room(5, slots=0)]) == ()


def test_the_oldest_version_is_told_by_number_not_by_the_alphabet():
    versions = ("v1.10.0", "v1.9.3")
    nodes = [Node(metadata=ObjectMeta(name=v), status=NodeStatus(node_info=NodeInfo(kubelet_version=v))) for v in versions]
    assert capacity_summary.measure(nodes, ()).kubelet_version == "v1.9.3"
    assert capacity_summary.measure((), ()).kubelet_version == ""

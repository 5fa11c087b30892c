"""Room of a cluster: S-034, S-104."""

from __future__ import annotations

import msgspec
import pytest

from pincompute.api import templates
from pincompute.api.clusters import Capacity, FreeNodes
from pincompute.api.conditions import Condition
from pincompute.api.core import Node, NodeInfo, NodeSpec, NodeStatus, Pod, PodSpec, PodStatus, Taint
from pincompute.api.meta import ObjectMeta
from pincompute.domain import capacity

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


def container(cpu: str, memory: str = "1Gi", **more: str):
    return {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


def pod(spec, on: str = "n1", phase: str = "Running") -> Pod:
    decoded = msgspec.convert({"nodeName": on, **spec}, PodSpec)
    return Pod(metadata=ObjectMeta(name="p"), spec=decoded, status=PodStatus(phase=phase))


ONE_CORE = {"containers": [container("1")]}


def test_what_a_cluster_has_and_what_is_left():
    nodes = [node("n1"), node("n2"), node("down", ready=False), node("cordoned", cordoned=True)]
    pods = [pod(ONE_CORE), pod(ONE_CORE, phase="Pending"), pod(ONE_CORE, on=""), pod(ONE_CORE, phase="Failed")]
    assert capacity.measure(nodes, pods) == Capacity(
        nodes=4,
        ready_nodes=3,
        cpu=8000,
        memory=16 * GI,
        pods=20,
        requested_cpu=2000,
        requested_memory=2 * GI,
        running_pods=1,
        pending_pods=2,
        free=(FreeNodes(cpu=4000, memory=8 * GI, pods=10, count=1), FreeNodes(cpu=2000, memory=6 * GI, pods=8, count=1)),
    )


TAINTS = {
    "NoSchedule keeps pods away": ("NoSchedule", 0),
    "NoExecute keeps pods away": ("NoExecute", 0),
    "PreferNoSchedule does not": ("PreferNoSchedule", 1),
}


@pytest.mark.parametrize(("effect", "rows"), TAINTS.values(), ids=TAINTS.keys())
def test_tainted_nodes_have_no_room(effect, rows):
    assert len(capacity.measure([node("n1", taints=(Taint(key="k", effect=effect),))], []).free) == rows


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
    "nothing": {"containers": [{"name": "c"}]},
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_a_pod_is_measured_by_the_schedulers_formula(spec):
    """S-104: the same answer for a pod as for the template it was made from."""
    expected = templates.requests({"spec": spec})
    assert capacity.requests(pod(spec)) == (expected.cpu_millis, expected.memory_bytes)


def test_rows_are_bounded_and_never_promise_too_much():
    """S-034: every row can be laid over that many nodes of its own."""
    nodes = [
        FreeNodes(cpu=100 + 37 * n % 4000, memory=GI + 911 * n % 7919 * 10**6, pods=1 + n % 90, count=1) for n in range(500)
    ]
    rows = capacity.rows(nodes)
    assert len(rows) <= 16
    assert sum(row.count for row in rows) == 500
    for cpu in (200, 1000, 3000):
        assert sum(r.count for r in rows if r.cpu >= cpu) <= sum(n.cpu >= cpu for n in nodes)
    assert sum(r.cpu * r.count for r in rows) > 0.6 * sum(n.cpu for n in nodes)


def test_a_count_of_pods_is_a_quantity_too():
    big = msgspec.structs.replace(node("n1"), status=msgspec.structs.replace(node("n1").status, allocatable={"pods": "1k"}))
    assert capacity.measure([big], []).pods == 1000


def test_full_nodes_are_left_out():
    assert capacity.rows([FreeNodes(cpu=0, memory=GI, pods=5, count=1), FreeNodes(cpu=5, memory=GI, pods=0, count=1)]) == ()


def test_the_oldest_version_is_told_by_number_not_by_the_alphabet():
    versions = ("v1.10.0", "v1.9.3")
    nodes = [Node(metadata=ObjectMeta(name=v), status=NodeStatus(node_info=NodeInfo(kubelet_version=v))) for v in versions]
    assert capacity.measure(nodes, ()).kubelet_version == "v1.9.3"
    assert capacity.measure((), ()).kubelet_version == ""

"""Which copies of a daemon an operator replaces, which versions it refuses, and which nodes concern it (N1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from pincompute.api import daemons
from pincompute.api.builtin import (
    DAEMONSETS,
    NODES,
    ContainerState,
    ContainerStateWaiting,
    ContainerStatus,
    DaemonSet,
    DaemonSetStatus,
    Node,
    NodeSpec,
    NodeStatus,
    Pod,
    PodSpec,
    PodStatus,
    Taint,
)
from pincompute.api.conditions import Condition
from pincompute.api.daemons import (
    DaemonContainer,
    DaemonToleration,
    DaemonVersion,
    PinDaemonShard,
    PinDaemonShardSpec,
    PinDaemonSpec,
)
from pincompute.api.labels import DAEMON, DAEMONS_NAMESPACE, LOCAL, PODS_FINALIZER, REVISION
from pincompute.api.meta import Key, ObjectMeta, OwnerReference
from pincompute.api.shards import Origin
from pincompute.domain import daemon_set
from pincompute.engine.plan import Delete, Replace
from pincompute.operator.daemons import daemon_controller
from pincompute.operator.daemons.daemon_controller import ObservedDaemon

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
THREE = ("n1", "n2", "n3")


def version(tag: int, **more: Any) -> DaemonVersion:
    return daemons.version(PinDaemonSpec(container=DaemonContainer(image=f"logs:{tag}"), **more))


OLD, NEW = version(1), version(2)


def shard(wanted: DaemonVersion, max_unavailable: int = 0, *, proven: bool = False) -> PinDaemonShard:
    spec = PinDaemonShardSpec(
        origin=Origin(uid="d", generation=1), version=wanted, max_unavailable=max_unavailable, proven=proven
    )
    return PinDaemonShard(metadata=ObjectMeta(name="logs", uid="s", generation=2, finalizers=(PODS_FINALIZER,)), spec=spec)


def rendered(of: PinDaemonShard) -> DaemonSet:
    """The DaemonSet as the operator wrote it for the shard, and Kubernetes acts on it."""
    digest = daemon_set.render(of)["metadata"]["annotations"]
    meta = ObjectMeta(name="logs", uid="ds", generation=1, annotations=digest, labels={REVISION: of.spec.version.revision})
    return DaemonSet(metadata=meta, status=DaemonSetStatus(observed_generation=1, desired_number_scheduled=3))


def copy(node: str, of: DaemonVersion = OLD, state: str = "ready") -> Pod:
    """A copy that is ready, blinks (it runs and is not ready), or crashes."""
    owner = OwnerReference(api_version="apps/v1", kind=DAEMONSETS.kind, name="logs", uid="ds", controller=True)
    has = {DAEMON: "logs", REVISION: of.revision}
    waiting = ContainerState(waiting=ContainerStateWaiting(reason="CreateContainerConfigError", message="no such user"))
    return Pod(
        metadata=ObjectMeta(
            name=f"logs-{node}",
            namespace=DAEMONS_NAMESPACE,
            uid=node,
            resource_version="1",
            labels=has,
            owner_references=(owner,),
        ),
        spec=PodSpec(node_name=node),
        status=PodStatus(
            conditions=(Condition(type="Ready", status="True" if state == "ready" else "False"),),
            container_statuses=(ContainerStatus(name="logs", state=waiting if state == "crashes" else None),),
        ),
    )


def node(name: str, *, up: bool = True, taints: tuple[Taint, ...] = (), **has: str) -> Node:
    ready = Condition(type="Ready", status="True" if up else "False")
    return Node(
        metadata=ObjectMeta(name=name, labels=has), spec=NodeSpec(taints=taints), status=NodeStatus(conditions=(ready,))
    )


def deleted(of: PinDaemonShard, *pods: Pod) -> list[str]:
    plan = daemon_controller.decide(ObservedDaemon(of, rendered(of), pods, frozenset()))
    return [each.ref.key.name for stage in plan.stages for each in stage if isinstance(each, Delete)]


BLINK = tuple(copy(name, state="blinks") for name in THREE)


def test_a_blink_of_a_zone_brings_no_unproven_version_to_it() -> None:
    assert deleted(shard(NEW), *BLINK) == []
    assert deleted(shard(NEW), *BLINK[:2], copy("n3", state="crashes")) == ["logs-n3"]


def test_a_version_that_has_proved_itself_heals_what_is_not_ready() -> None:
    assert deleted(shard(OLD, proven=True), copy("n1", NEW, "blinks"), copy("n2", NEW), copy("n3", OLD, "blinks")) == [
        "logs-n1"
    ]


GPU = Taint(key="gpu", value="a", effect="NoSchedule")
CORDONED = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
ALL = (
    "would end the copies on 3 of 3 nodes, which its nodeSelector and tolerations leave out: correct these, or delete the "
    "daemon and write it anew"
)
TWO = (
    "would end the copies on 2 of 3 nodes, which its nodeSelector and tolerations leave out: correct these, or allow it "
    "with update.maxUnavailable (1 may be without a copy here now)"
)
TOLERATES = (DaemonToleration(key="gpu", operator="Equal", value="a"),)
OTHERWISE = (DaemonToleration(key="gpu", operator="Equal", value="b"),)
PLACED: dict[str, tuple[PinDaemonShard, tuple[Node, ...], str]] = {
    "a typo": (shard(version(2, node_selector={"disk": "sdd"}), 9), tuple(node(n, disk="ssd") for n in THREE), ALL),
    "more nodes than may be": (
        shard(version(2, node_selector={"disk": "ssd"}), 1),
        (node("n1", disk="ssd"), node("n2"), node("n3")),
        TWO,
    ),
    "as many as may be": (
        shard(version(2, node_selector={"disk": "ssd"}), 2),
        (node("n1", disk="ssd"), node("n2"), node("n3")),
        "",
    ),
    "no toleration any more": (shard(NEW, 1), (node("n1"), node("n2", taints=(GPU,)), node("n3", taints=(GPU,))), TWO),
    "a toleration": (shard(version(2, tolerations=TOLERATES)), tuple(node(n, taints=(GPU,)) for n in THREE), ""),
    "of another value": (shard(version(2, tolerations=OTHERWISE)), tuple(node(n, taints=(GPU,)) for n in THREE), ALL),
    "nodes that are cordoned": (shard(NEW), tuple(node(n, taints=(CORDONED,)) for n in THREE), ""),
    "the way back": (shard(version(2, node_selector={"disk": "sdd"}), proven=True), tuple(map(node, THREE)), ""),
}


@pytest.mark.parametrize("name", PLACED)
def test_a_version_that_leaves_nodes_out_does_not_pass_silently(name: str) -> None:
    of, nodes, refusal = PLACED[name]
    there = {each.metadata.name: each for each in nodes}
    plan = daemon_controller.decide(ObservedDaemon(of, rendered(shard(OLD)), tuple(map(copy, THREE)), frozenset(), there))
    made = [each for stage in plan.stages for each in stage]
    assert any(isinstance(each, Replace) and each.ref.resource is DAEMONSETS for each in made) is not refusal
    assert [text for each in made if (text := getattr(each, "body", {}).get("status", {}).get("message"))] == (
        [f"version {of.spec.version.revision} {refusal}"] if refusal else []
    )


def test_a_version_that_is_there_is_not_refused_afterwards() -> None:
    """Its update ends with 0 nodes that may be without a copy."""
    of = shard(version(2, node_selector={"disk": "ssd"}))
    nodes = {"n1": node("n1"), "n2": node("n2", disk="ssd")}
    assert daemon_set.refusal(of, rendered(of), tuple(map(copy, nodes)), nodes) == ""


class Copies:
    """The view of pods, by the indexes of the controller."""

    def __init__(self, *pods: Pod) -> None:
        self.pods = pods

    def by(self, index: str, value: str) -> Iterable[Pod]:
        table: Mapping[str, Any] = next(iter(daemon_controller.INDEXES.values()))
        return [pod for pod in self.pods if value in table[index](pod)]


class Cluster:
    """Knows the pods alone."""

    def __init__(self, copies: Copies) -> None:
        self.copies = copies

    def view(self, _cluster: str, _resource: object) -> Copies:
        return self.copies


def test_a_node_that_dies_concerns_the_daemons_with_a_copy_on_it() -> None:
    """A copy that starts is not ready before and after, so only the node's own event tells that it is lost."""
    reads = next(each for each in daemon_controller.CONTROLLER.card.reads if each.resource is NODES)
    views: Any = Cluster(Copies(copy("n1", state="blinks")))
    assert list(reads.concerned(LOCAL, node("n1", up=False), views)) == [Key("", "logs")]
    assert list(reads.concerned(LOCAL, node("n2", up=False), views)) == []
    assert reads.part is not None
    assert reads.part(node("n1")) != reads.part(node("n1", up=False))
    assert reads.part(node("n1")) != reads.part(node("n1", disk="ssd"))
    assert reads.part(node("n1")) == reads.part(node("n1"))

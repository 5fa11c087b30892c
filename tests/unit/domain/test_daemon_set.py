"""The DaemonSet of a daemon: what a copy may do on its node, how many nodes an update takes, and what is reported of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pincompute.api import daemons
from pincompute.api.builtin import DaemonSet, Pod
from pincompute.api.daemons import PinDaemonShard, PinDaemonShardSpec, PinDaemonShardStatus, PinDaemonSpec
from pincompute.api.labels import DAEMON, REVISION
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.shards import Origin
from pincompute.domain import daemon_set


def shard(max_unavailable: int = 0, observed: int = 0, **container: Any) -> PinDaemonShard:
    spec = msgspec.convert({"container": {"image": "logs:1", **container}}, PinDaemonSpec)
    made = PinDaemonShardSpec(
        origin=Origin(uid="d", generation=1), version=daemons.version(spec), max_unavailable=max_unavailable
    )
    status = PinDaemonShardStatus(observed_max_unavailable=observed)
    return PinDaemonShard(metadata=ObjectMeta(name="logs", uid="s", generation=4), spec=made, status=status)


def in_cluster(given: PinDaemonShard, *, observed: bool = True) -> DaemonSet:
    """What Kubernetes made of it, for three nodes."""
    body: Manifest = daemon_set.render(given)
    body["metadata"]["generation"] = 2
    body["status"] = {"observedGeneration": 2 if observed else 1, "desiredNumberScheduled": 3}
    return msgspec.convert(body, DaemonSet)


def copy(node: str, revision: str, *, ready: bool = True, **state: Any) -> Pod:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    statuses = [{"name": "logs", "state": state}] if state else []
    body = {
        "metadata": {"name": f"logs-{node}", "labels": {DAEMON: "logs", REVISION: revision}},
        "spec": {"nodeName": node, "containers": [{"name": "logs", "image": "logs:1"}]},
        "status": {"conditions": [condition], "containerStatuses": statuses},
    }
    return msgspec.convert(body, Pod)


SECURITY: dict[str, tuple[Manifest, Manifest]] = {
    "nothing but what `restricted` allows": (
        {},
        {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
    ),
    "root, without a capability": (
        {"runAsUser": 0},
        {"runAsNonRoot": False, "runAsUser": 0, "capabilities": {"drop": ["ALL"]}},
    ),
    "a capability, and no other": (
        {"capabilities": ["DAC_READ_SEARCH"]},
        {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]}},
    ),
    "one that Kubernetes takes only with more privileges": (
        {"capabilities": ["SYS_ADMIN"]},
        {"allowPrivilegeEscalation": True},
    ),
    "everything": ({"privileged": True}, {"privileged": True, "runAsNonRoot": False}),
}


@pytest.mark.parametrize("name", SECURITY)
def test_a_copy_may_do(name: str) -> None:
    given, wanted = SECURITY[name]
    container = daemon_set.render(shard(securityContext=given))["spec"]["template"]["spec"]["containers"][0]
    assert {field: container["securityContext"].get(field) for field in wanted} == wanted


@pytest.mark.parametrize(
    ("container", "limit"),
    [
        ({}, "64Mi"),
        ({"storage": "1Gi"}, "1Gi"),
        (
            {"volumes": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "more", "mountPath": "/more", "sizeLimit": 1 << 20}]},
            "81Mi",
        ),
        ({"volumes": [{"name": "logs", "mountPath": "/logs", "hostPath": {"path": "/var/log"}}]}, "64Mi"),
    ],
)
def test_a_copy_writes_no_more_to_its_node_than_its_output_and_its_folders(container: Manifest, limit: str) -> None:
    made = daemon_set.render(shard(**container))["spec"]["template"]["spec"]["containers"][0]
    assert made["resources"]["limits"]["ephemeral-storage"] == limit


def test_an_update_takes_as_many_nodes_as_the_shard_allows_and_else_leaves_all() -> None:
    assert daemon_set.render(shard(2))["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 2
    assert daemon_set.render(shard(0))["spec"]["updateStrategy"] == {"type": "OnDelete"}


def test_what_an_update_may_take_is_reported_before_and_taken_back_when_it_is_in_force() -> None:
    more, less = shard(2), shard(0, observed=2)
    assert daemon_set.status(more, in_cluster(shard(0)), (), ()).observed_max_unavailable == 2
    assert daemon_set.status(less, in_cluster(shard(2)), (), ()).observed_max_unavailable == 2
    assert daemon_set.status(less, in_cluster(less, observed=False), (), ()).observed_max_unavailable == 2
    assert daemon_set.status(less, in_cluster(less), (), ()).observed_max_unavailable == 0
    assert daemon_set.status(less, in_cluster(less), (), ()).observed_generation == 4


def test_the_nodes_are_counted() -> None:
    """One is updated and fails, one has the version before, one is lost."""
    given = shard()
    revision = given.spec.version.revision
    waiting = {"reason": "ImagePullBackOff", "message": "rpc error: code = NotFound desc = logs:1: not found"}
    pods = (copy("n1", revision, ready=False, waiting=waiting), copy("n2", "old"), copy("n3", revision, ready=False))
    found = daemon_set.status(given, in_cluster(given), pods, {"n3"})
    assert (found.nodes, found.ready, found.updated, found.updated_ready) == (3, 1, 2, 0)
    assert (found.updated_unavailable, found.failing, found.not_ready_nodes) == (1, 1, 1)
    assert "image logs:1 of logs cannot be pulled" in found.message


@pytest.mark.parametrize(("proven", "expected"), [(False, ["n3"]), (True, ["n2", "n3"])])
def test_only_copies_of_another_version_that_cannot_serve_are_replaceable(*, proven: bool, expected: list[str]) -> None:
    """One that fails gives way to every version, one that may be ready in a moment only to a version that has proved itself."""
    given = msgspec.structs.replace(shard(), spec=msgspec.structs.replace(shard().spec, proven=proven))
    waiting = {"reason": "ImagePullBackOff", "message": "not found"}
    pods = (
        copy("n1", "old"),
        copy("n2", "old", ready=False),
        copy("n3", "old", ready=False, waiting=waiting),
        copy("n4", "old", ready=False, waiting=waiting),
        copy("n5", given.spec.version.revision),
    )
    assert [pod.spec.node_name for pod in daemon_set.replaceable(given, pods, {"n4"})] == expected

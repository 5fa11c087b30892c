"""What a member in other hands, or a node, can say of a daemon, and what that takes from others (N1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pincompute.api import daemons
from pincompute.api.builtin import DaemonSet, DaemonSetStatus, Pod, PodSpec, PodStatus
from pincompute.api.conditions import Condition
from pincompute.api.daemons import (
    DaemonContainer,
    DaemonRollout,
    DaemonUpdate,
    PinDaemon,
    PinDaemonShard,
    PinDaemonShardSpec,
    PinDaemonShardStatus,
    PinDaemonSpec,
    PinDaemonStatus,
)
from pincompute.api.labels import DAEMON, DAEMONS_NAMESPACE, REVISION
from pincompute.api.meta import ObjectMeta, OwnerReference
from pincompute.api.shards import Origin
from pincompute.domain import daemon_reports, daemon_rollout, daemon_set
from pincompute.domain.daemon_rollout import DaemonMemberState

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SPEC = PinDaemonSpec(container=DaemonContainer(image="logs:2"), update=DaemonUpdate(max_unavailable="10%"))
VERSION = daemons.version(SPEC)
STABLE = daemons.version(PinDaemonSpec(container=DaemonContainer(image="logs:1")))


def shard(nodes: int) -> PinDaemonShard:
    """All of whose nodes are said to have the version before ready."""
    status = PinDaemonShardStatus(observed_generation=1, revision=VERSION.revision, nodes=nodes, ready=nodes)
    spec = PinDaemonShardSpec(origin=Origin(uid="d", generation=1), version=VERSION)
    return PinDaemonShard(metadata=ObjectMeta(name="logs", uid="s", generation=1), spec=spec, status=status)


@pytest.mark.parametrize(("own", "most"), [(5, 1), (10, 1), (29, 2), (200, 20)])
def test_a_member_that_reports_nodes_it_does_not_have_takes_none_from_others(own: int, most: int) -> None:
    liar = DaemonMemberState("z1", "z", daemon_reports.plausible(shard(10**9)))
    honest = [DaemonMemberState(f"a{number}", "a", shard(own)) for number in range(3)]
    record = DaemonRollout(revision=VERSION.revision, zones=("a", "z"), since=NOW - timedelta(seconds=1))
    given = PinDaemon(metadata=ObjectMeta(name="logs"), spec=SPEC, status=PinDaemonStatus(stable=STABLE, rollout=record))
    made = daemon_rollout.decide(given, (*honest, liar), NOW).assignments
    assert {member.name: made[member.name].max_unavailable for member in honest} == {f"a{n}": most for n in range(3)}
    few = daemon_rollout.decide(given, honest, NOW).assignments
    total = max(1, 3 * own // 10)
    assert sum(each.max_unavailable for each in few.values()) <= total, "the parts lie within the account"


FOUND = DaemonSet(metadata=ObjectMeta(name="logs", uid="set"), status=DaemonSetStatus(desired_number_scheduled=3))
OWNER = OwnerReference(kind="DaemonSet", name="logs", uid="set", controller=True)


def copy(name: str, node: str, *, owner: OwnerReference = OWNER, **metadata: Any) -> Pod:
    """A pod that is ready and carries the labels of a copy."""
    marks = {DAEMON: "logs", REVISION: VERSION.revision}
    known = ObjectMeta(name=name, uid=name, namespace=DAEMONS_NAMESPACE, labels=marks, owner_references=(owner,), **metadata)
    ready = Condition(type="Ready", status="True")
    return Pod(metadata=known, spec=PodSpec(node_name=node), status=PodStatus(conditions=(ready,)))


TRUE = copy("logs-1", "n1")
FORGED = {
    "another pod on the same node": copy("logs-2", "n1"),
    "a pod of a former DaemonSet of the name": copy("logs-2", "n2", owner=msgspec.structs.replace(OWNER, uid="former")),
    "a pod that nobody owns": msgspec.structs.replace(
        copy("logs-2", "n2"), metadata=msgspec.structs.replace(copy("logs-2", "n2").metadata, owner_references=())
    ),
    "a pod of another controller": copy("logs-2", "n2", owner=msgspec.structs.replace(OWNER, kind="ReplicaSet", uid="other")),
    "what a node runs from a file of its own": copy("logs-n2", "n2", annotations={daemon_set.MIRROR: "x"}),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_pod_that_passes_itself_off_as_a_copy_makes_no_node_ready(forged: str) -> None:
    pods = [pod for pod in (TRUE, FORGED[forged]) if daemon_set.daemon_of(pod) == "logs"]
    status = daemon_set.status(shard(3), FOUND, daemon_set.copies(FOUND, pods), ())
    assert (status.nodes, status.ready, status.updated, status.updated_ready) == (3, 1, 1, 1)


def test_a_pod_that_is_no_copy_holds_up_no_deletion() -> None:
    assert daemon_set.daemon_of(TRUE) == "logs"
    assert daemon_set.daemon_of(FORGED["what a node runs from a file of its own"]) == ""
    assert daemon_set.daemon_of(FORGED["a pod that nobody owns"]) == ""

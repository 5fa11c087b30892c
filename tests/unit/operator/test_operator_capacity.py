"""The cluster's room is written when it changes, and measured every few seconds: S-010, S-034."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from shard_builders import NOW, FixedTable, FixedTables, pod, shard, share

from pincompute.api.builtin import NAMESPACES, NODES, PODS, Namespace
from pincompute.api.labels import LOCAL
from pincompute.api.member_clusters import CLUSTERCAPACITIES, Capacity, ClusterCapacity, ClusterCapacityStatus
from pincompute.api.meta import ObjectMeta
from pincompute.api.shards import PINAPPSHARDS, PINPODSHARDS
from pincompute.engine.plan import Create, Replace
from pincompute.kube.cache_views import Unknown
from pincompute.operator.capacity_controller import CONTROLLER, KEY, PERIOD

PODS_THERE = [pod(0, share())]


def written(capacity: Capacity | None = None, *, seconds_ago: float = 60.0) -> ClusterCapacity:
    status = ClusterCapacityStatus(capacity=capacity, measured_at=NOW - timedelta(seconds=seconds_ago) if capacity else None)
    return ClusterCapacity(metadata=ObjectMeta(name=LOCAL, uid="u", resource_version="3"), status=status)


def plan(*present: ClusterCapacity, unsynced=None, shards=()):
    given = {CLUSTERCAPACITIES: present, NODES: [], PODS: PODS_THERE, PINAPPSHARDS: shards, PINPODSHARDS: ()}
    views = FixedTables({kind: FixedTable(kind, objects, synced=kind is not unsynced) for kind, objects in given.items()})
    return CONTROLLER.decide(CONTROLLER.observe(KEY, views, NOW))


def test_the_object_is_made_when_it_is_not_there():
    assert [type(a) for a in plan().actions] == [Create]


def test_the_first_measurement_is_written_at_once():
    (patch,) = plan(written()).actions
    assert isinstance(patch, Replace)
    assert patch.body == {"status": {"capacity": {"runningPods": 1}, "measuredAt": "2026-11-21T12:00:00Z"}}


def test_nothing_is_written_when_nothing_changed():
    found = plan(written(Capacity(running_pods=1)))
    assert found.settled
    assert found.wake_after == pytest.approx(PERIOD, abs=0.01)


def test_an_equal_measurement_is_written_when_a_shard_reported_since():
    """S-035: federation holds a promise until a measurement counts it, and this one does."""
    reported = shard(share())
    reported = msgspec.structs.replace(
        reported, status=msgspec.structs.replace(reported.status, reported_at=NOW - timedelta(seconds=1))
    )
    (patch,) = plan(written(Capacity(running_pods=1)), shards=[reported]).actions
    assert patch.body["status"]["measuredAt"] == "2026-11-21T12:00:00Z"
    assert plan(written(Capacity(running_pods=1), seconds_ago=0.9 * PERIOD), shards=[reported]).settled


def test_a_pass_waits_until_the_last_one_is_a_while_ago():
    found = plan(written(Capacity(), seconds_ago=0.5))
    assert found.settled
    assert found.wake_after == pytest.approx(PERIOD - 0.5, abs=0.01)


@pytest.mark.parametrize("unsynced", [NODES, PODS, CLUSTERCAPACITIES])
def test_what_is_not_known_is_not_an_empty_cluster(unsynced):
    """S-010."""
    with pytest.raises(Unknown):
        plan(written(), unsynced=unsynced)


def test_pods_and_nodes_wake_nobody_and_the_platforms_namespace_starts_it():
    keys = {r.resource: r.keys for r in CONTROLLER.card.reads}
    assert not list(keys[PODS](LOCAL, PODS_THERE[0]))
    named = {
        name: list(keys[NAMESPACES](LOCAL, Namespace(metadata=ObjectMeta(name=name)))) for name in ("demo", "pincompute-system")
    }
    assert named == {"demo": [], "pincompute-system": [KEY]}

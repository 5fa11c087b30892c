"""Health, removal and orphan collection cost what changed, never what exists: they read single things or an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from federation.object_builders import NOW, app, cluster

from pincompute.api.conditions import Condition
from pincompute.api.kinds import PINAPP
from pincompute.api.labels import DRAIN_FINALIZER, HOST, MANAGED_BY, PINCOMPUTE, SHARDS_FINALIZER
from pincompute.api.member_clusters import MEMBERCLUSTERS, MemberClusterStatus
from pincompute.api.meta import Key, ObjectMeta
from pincompute.api.shards import PINAPPSHARDS, Origin, PinAppShard, ShardSpec
from pincompute.api.workloads import PINAPPS, ClusterReplicas, ClusterStatus, PinApp, Scheduling, WorkloadStatus
from pincompute.engine.plan import Confirm, ConfirmSet, Delete, Patch
from pincompute.federation.controller_keys import MemberKey, PoolKey, ShardKey
from pincompute.federation.member import health, removal
from pincompute.federation.workload import orphan_collection, workload_model
from pincompute.kube.cache_views import Unknown

MANY = 200


@dataclass
class CountingView:
    """A view that counts how it is asked."""

    objects: dict[Key, Any]
    asked: Counter[str]
    synced: bool = True

    def get(self, key: Key) -> Any:
        self.asked["get"] += 1
        return self.objects.get(key)

    def list(self, _namespace: str = "") -> Iterable[Any]:
        self.asked["listed"] += len(self.objects)
        return self.objects.values()

    def by(self, index: str, value: str) -> Iterable[Any]:
        """What an index costs is what it gives."""
        found = [obj for obj in self.objects.values() if value in workload_model.INDEXES[PINAPPS][index](obj)]
        self.asked["listed"] += len(found)
        return found


@dataclass
class CountingWorld:
    """Views of a region; `silent` members do not answer."""

    objects: dict[tuple[str, Any], dict[Key, Any]]
    silent: frozenset[str] = frozenset()
    asked: Counter[str] = field(default_factory=Counter)

    def view(self, where: str, resource: Any) -> CountingView:
        if where in self.silent:
            raise Unknown(where)
        return CountingView(self.objects.get((where, resource), {}), self.asked)

    def members(self) -> tuple[str, ...]:
        self.asked["listed"] += MANY
        return ()

    def reachable(self, name: str) -> bool:
        return name not in self.silent


def keyed(*objects: Any) -> dict[Key, Any]:
    return {obj.key: obj for obj in objects}


def placed(name: str, where: str, *, reported: str = "", ready: int = 0, **meta: Any) -> PinApp:
    """A PinApp of one replica that is placed in one member, and perhaps still reports from another."""
    made = Scheduling(generation=1, placement=(ClusterReplicas(cluster=where, zone=where[0], replicas=1),))
    lines = (ClusterStatus(cluster=reported, zone=reported[0], replicas=1),) if reported else ()
    lines += (ClusterStatus(cluster=where, zone=where[0], replicas=1, ready_replicas=ready, known=True),)
    given = {"finalizers": (SHARDS_FINALIZER,), "generation": 1, "uid": f"uid-{name}", **meta}
    status = WorkloadStatus(scheduling=made, clusters=lines)
    return PinApp(metadata=ObjectMeta(name=name, namespace="demo", **given), spec=app().obj.spec, status=status)


def shard(name: str, **meta: Any) -> PinAppShard:
    """One in a1 of the workload of its name."""
    spec = ShardSpec(origin=Origin(uid=f"uid-{name}", generation=1), cluster="a1", zone="a", mix=())
    return PinAppShard(metadata=ObjectMeta(name=name, namespace="demo", uid=f"shard-{name}", **meta), spec=spec)


def crowd() -> list[PinApp]:
    return [placed(f"other-{number}", "b1") for number in range(MANY)]


def test_health_looks_at_one_member_whatever_their_number() -> None:
    members = [cluster(f"m{number}") for number in range(MANY)]
    world = CountingWorld({(HOST, MEMBERCLUSTERS): keyed(cluster("a1"), *members)})
    seen = health.observe(MemberKey("a1"), world, NOW)
    assert seen is not None
    assert (seen.member.name, seen.member.reachable) == ("a1", True)
    assert world.asked["listed"] == 0


LEAVING: dict[str, tuple[list[PinApp], list[Any], bool]] = {
    "nothing is in it": ([], [], True),
    "a workload is placed in it": ([placed("web", "a1")], [], False),
    "one that left reports from it, and is not ready elsewhere": ([placed("web", "b1", reported="a1")], [], False),
    "one that left reports from it, and is ready elsewhere": ([placed("web", "b1", reported="a1", ready=1)], [], True),
    "a shard is in it": ([], [shard("web")], False),
}


@pytest.mark.parametrize("case", LEAVING)
def test_s007_a_member_leaves_when_nothing_depends_on_it(case: str) -> None:
    apps, shards, goes = LEAVING[case]
    leaving = cluster("a1", deletion_timestamp=NOW, finalizers=(DRAIN_FINALIZER,))
    world = CountingWorld(
        {
            (HOST, MEMBERCLUSTERS): keyed(leaving),
            (HOST, PINAPPS): keyed(*apps, *crowd()),
            ("a1", PINAPPSHARDS): keyed(*shards),
        }
    )
    seen = removal.observe(MemberKey("a1"), world, NOW)
    assert seen is not None
    made = removal.decide(seen)
    assert any(isinstance(action, Patch) for action in made.actions) is goes
    assert any(isinstance(action, ConfirmSet) for action in made.actions) is goes
    assert world.asked["listed"] <= 2


def test_s007_a_silent_member_is_waited_for_until_health_gives_it_up() -> None:
    def of(ready: str) -> CountingWorld:
        status = MemberClusterStatus(conditions=(Condition(type="Ready", status=ready),))  # type: ignore[arg-type]
        leaving = cluster("a1", status, deletion_timestamp=NOW, finalizers=(DRAIN_FINALIZER,))
        return CountingWorld({(HOST, MEMBERCLUSTERS): keyed(leaving)}, silent=frozenset({"a1"}))

    with pytest.raises(Unknown, match="unreachable, but not given up yet"):
        removal.observe(MemberKey("a1"), of("True"), NOW)
    seen = removal.observe(MemberKey("a1"), of("False"), NOW)
    assert seen is not None
    assert [type(action) for action in removal.decide(seen).actions] == [Patch]


MINE = {"labels": {MANAGED_BY: PINCOMPUTE}}
SHARDS: dict[str, tuple[list[PinApp], dict[str, Any], str | None]] = {
    "its workload is there": ([placed("hello", "a1")], MINE, None),
    "its workload is gone": ([], MINE, ""),
    "a namesake of its workload is there": ([placed("hello", "a1", uid="another")], MINE, "another"),
    "it goes already": ([], {**MINE, "deletion_timestamp": NOW}, None),
    "it is not ours": ([], {"labels": {}}, None),
}


@pytest.mark.parametrize("case", SHARDS)
def test_s008_a_shard_whose_workload_is_gone_is_removed_once_the_host_says_so(case: str) -> None:
    apps, meta, namesake = SHARDS[case]
    orphan = shard("hello", **meta)
    others = [shard(f"other-{n}") for n in range(MANY)]
    world = CountingWorld({(HOST, PINAPPS): keyed(*apps, *crowd()), ("a1", PINAPPSHARDS): keyed(orphan, *others)})
    seen = orphan_collection.observe(ShardKey("a1", "PinAppShard", "demo", "hello"), world, NOW)
    assert seen is not None
    made = orphan_collection.decide(seen)
    if namesake is None:
        assert made.settled
    else:
        proof, delete = made.actions
        assert isinstance(proof, Confirm)
        assert (proof.ref.cluster, proof.uid) == (HOST, namesake)
        assert isinstance(delete, Delete)
        assert (delete.ref.cluster, delete.uid) == ("a1", orphan.metadata.uid)
    assert world.asked["listed"] == 0


def test_s010_a_silent_member_is_not_swept() -> None:
    world = CountingWorld({}, silent=frozenset({"a1"}))
    assert orphan_collection.observe(ShardKey("a1", "PinAppShard", "demo", "hello"), world, NOW) is None


def test_news_of_a_shard_and_of_a_workload_that_may_vanish_name_the_shards() -> None:
    of_shards, *_, of_apps, _ = orphan_collection.CONTROLLER.card.reads
    key = ShardKey("a1", "PinAppShard", "demo", "hello")
    for there, expected in (((), [key]), ((placed("hello", "a1", uid="another"),), [key]), ((placed("hello", "a1"),), [])):
        world = CountingWorld({(HOST, PINAPPS): keyed(*there)})
        assert list(of_shards.concerned("a1", shard("hello"), world)) == expected
    unknown = CountingWorld({}, silent=frozenset({HOST}))
    assert list(of_shards.concerned("a1", shard("hello"), unknown)) == [key]
    assert list(of_apps.keys(HOST, placed("hello", "a1", finalizers=()))) == [key]
    assert list(of_apps.keys(HOST, placed("hello", "a1"))) == []
    assert of_apps.resource == PINAPP.workload


def test_keys_read_as_what_they_name_and_sort() -> None:
    keys = [ShardKey("b1", "PinAppShard", "demo", "web"), ShardKey("a1", "PinPodShard", "demo", "run")]
    assert [str(key) for key in sorted(keys)] == ["PinPodShard demo/run in a1", "PinAppShard demo/web in b1"]
    assert [str(key) for key in sorted([MemberKey("b1"), MemberKey("a1")])] == ["a1", "b1"]
    assert str(PoolKey("gpu")) == "gpu"
    assert MemberKey("a1").object == Key("", "a1")

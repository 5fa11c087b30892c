"""The pool: who is in line, who waits for what, and what one reconciliation costs the others."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import msgspec
import pytest
from federation.cached_region import CachedRegion
from federation.object_builders import NOW, capacity, template

from pincompute.api.kinds import PINAPP
from pincompute.api.workloads import ClusterStatus, Ended, Placement, RolloutStatus, WorkloadStatus
from pincompute.federation.scheduling import scheduling_queue
from pincompute.federation.scheduling.pool_controller import BATCH

FEW = capacity(nodes=1)  # room for 8 replicas of half a core
GPU = "nvidia.com/gpu"
MANY = 3 * BATCH + 20


@pytest.fixture
def region() -> CachedRegion:
    return CachedRegion()


def names(region: CachedRegion) -> list[str]:
    return [workload.key.name for workload in region.seen().waiting]


def test_two_tiers_never_get_the_same_last_room(region: CachedRegion):
    """Reserved and OnDemand submits of the same moment both used to get it."""
    region.join("a1", FEW)
    region.submit("ordinary", replicas=6)
    region.submit("reserved", replicas=6, tier="Reserved", seconds=1)
    region.reconcile()
    assert (region.placed("reserved"), region.placed("ordinary")) == (6, 2)


def test_the_line_is_by_tier_and_then_first_come_first_served(region: CachedRegion):
    for seconds, (name, tier) in enumerate(
        (("late", "OnDemand"), ("spare", "Preemptible"), ("paid", "Reserved"), ("later", "OnDemand"))
    ):
        region.submit(name, tier=tier, seconds=seconds)
    assert names(region) == ["paid", "late", "later", "spare"]


def test_a_write_that_keeps_failing_stops_nobody(region: CachedRegion):
    """It used to stop everything behind the first batch of its tier."""
    region.join("a1", capacity(nodes=1000))
    bad = [f"bad-{n:03}" for n in range(BATCH + 5)]
    for name in bad:
        region.submit(name, replicas=1, tier="Reserved")
    region.submit("good", replicas=1)
    plan = region.reconcile(*bad)
    assert plan.independent
    region.left_alone.update(action.ref.key.name for action in plan.actions)  # as the engine does
    for plan in region.settle(*bad):
        region.left_alone.update(action.ref.key.name for action in plan.actions)
    assert region.placed("good") == 1


def test_what_has_no_room_leaves_the_line_until_there_is_some(region: CachedRegion):
    """S-038."""
    region.join("a1", FEW)
    region.submit("first", replicas=8)
    region.submit("late", replicas=2, seconds=1)
    region.reconcile()
    assert region.placed("late") == 0
    assert names(region) == []
    region.measure("a1", capacity(nodes=1, used=500))
    assert names(region) == []
    region.measure("a1", capacity(nodes=2))
    assert names(region) == ["late"]
    region.reconcile()
    assert region.placed("late") == 2


CHANGES = {
    "a member joins": lambda region: region.join("b1", FEW),
    "it asks for less": lambda region: region.edit("late", template=template(cpu="10m")),
    "it is scaled": lambda region: region.edit("late", replicas=1),
    "another's promise ends": lambda region: region.delete("first"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_had_no_room_is_in_line_again_when(region: CachedRegion, change: str):
    region.join("a1", FEW)
    region.submit("first", replicas=8)
    region.submit("late", replicas=2, seconds=1)
    region.reconcile()
    assert names(region) == []
    CHANGES[change](region)
    assert names(region) == ["late"]


def uneven(region: CachedRegion) -> None:
    """Six replicas; zone b has room for one of them."""
    region.join("a1", capacity())
    region.join("b1", capacity(nodes=1, used=3500))
    region.submit("web", replicas=6)
    region.reconcile()
    assert names(region) == []
    assert rows(region) == {"a1": 5, "b1": 1}


def rows(region: CachedRegion) -> dict[str, int]:
    made = region.app("web").status.scheduling
    return {row.cluster: row.replicas for row in made.placement} if made else {}


def test_what_is_uneven_is_in_line_again_when_the_zone_has_room(region: CachedRegion):
    """S-135: not before, so what stays full costs nobody anything."""
    uneven(region)
    region.measure("a1", capacity(nodes=8))
    assert names(region) == []
    region.measure("b1", capacity(nodes=1))
    assert names(region) == ["web"]
    region.reconcile()
    assert rows(region) == {"a1": 3, "b1": 3}
    assert names(region) == []


def test_what_moved_lately_is_in_line_when_it_may_move_again(region: CachedRegion):
    """S-135: the pool wakes by itself then."""
    uneven(region)
    made = region.app("web").status.scheduling
    region.report("web", scheduling=msgspec.structs.replace(made, evened_at=NOW - timedelta(minutes=2)))
    region.measure("b1", capacity(nodes=1))
    assert names(region) == []
    assert region.reconcile().wake_after == 180
    region.now += timedelta(minutes=3)
    assert names(region) == ["web"]


def test_an_update_keeps_what_is_uneven_out_of_the_line(region: CachedRegion):
    """S-134: the end of the update is an event, and brings it back."""
    uneven(region)
    update = RolloutStatus(revision="v2", stable="v1")
    region.report("web", rollout=update)
    region.measure("b1", capacity(nodes=1))
    assert names(region) == []
    region.report("web", rollout=msgspec.structs.replace(update, state="Complete"))
    assert names(region) == ["web"]


def test_a_zone_that_leaves_is_behind_no_more(region: CachedRegion):
    uneven(region)
    region.leave("b1")
    region.reconcile()
    assert rows(region) == {"a1": 6}
    assert region.app("web").status.scheduling.behind == ()


def test_room_that_comes_free_goes_to_the_first_in_line(region: CachedRegion):
    region.join("a1", FEW)
    region.submit("first", replicas=8)
    region.submit("ordinary", replicas=8, seconds=1)
    region.submit("reserved", replicas=8, tier="Reserved", seconds=2)
    region.edit("first", tier="Reserved")
    region.reconcile()
    region.measure("a1", capacity(nodes=2))
    region.reconcile()
    assert (region.placed("reserved"), region.placed("ordinary")) == (8, 0)


def test_its_reasons_stay_true(region: CachedRegion):
    """S-040: also where a change gives no room."""
    region.join("a1", FEW)
    region.submit("late", replicas=2, placement=Placement(zones=("c",)))
    region.reconcile()
    region.join("b1", FEW)
    assert names(region) == ["late"]
    region.reconcile()
    made = region.app("late").status.scheduling
    assert made is not None
    assert [(r.zone, r.message) for r in made.rejections] == [("a", "is not in `zones` (c)"), ("b", "is not in `zones` (c)")]
    assert names(region) == []


def test_many_that_lack_the_same_hide_none_that_lacks_nothing(region: CachedRegion):
    """S-038."""
    region.join("a1", capacity(nodes=100))
    greedy = template()
    greedy["spec"]["containers"][0]["resources"]["requests"][GPU] = "1"
    for n in range(MANY):
        region.submit(f"greedy-{n:03}", replicas=1, pod=greedy, tier="Reserved")
    region.submit("small", replicas=1, seconds=1)
    assert sum(len(plan.actions) for plan in region.settle()) == MANY + 1
    assert region.placed("small") == 1
    region.measure("a1", capacity(nodes=100, **{GPU: 1}))
    assert sum(len(plan.actions) for plan in region.settle()) == 100  # so many have room now; of the others nothing is written
    assert sum(region.placed(f"greedy-{n:03}") for n in range(MANY)) == 100
    assert names(region) == []


def test_another_image_needs_no_decision(region: CachedRegion):
    region.join("a1")
    region.submit("web")
    region.reconcile()
    region.edit("web", template=template(image="registry.internal/hello:2"))
    assert names(region) == []
    region.edit("web", replicas=7)
    assert names(region) == ["web"]


def test_a_paused_workload_asks_for_nothing_until_it_goes_on(region: CachedRegion):
    """S-258."""
    region.join("a1", FEW)
    region.submit("web", replicas=9)
    region.reconcile()
    region.edit("web", paused=True)
    region.edit("web", replicas=3, template=template(cpu="1"))
    region.measure("a1", capacity(nodes=4))
    assert names(region) == []
    region.edit("web", paused=False)
    assert names(region) == ["web"]


def test_a_stopped_workload_promises_nothing(region: CachedRegion):
    region.join("a1", FEW)
    region.submit("web", replicas=8)
    region.reconcile()
    region.edit("web", stopped=True)
    region.reconcile()
    region.submit("other", replicas=8)
    region.reconcile()
    assert (region.placed("web"), region.placed("other")) == (0, 8)


def test_replicas_in_a_cluster_that_leaves_are_placed_anew(region: CachedRegion):
    """S-033."""
    for name in ("a1", "b1"):
        region.join(name)
    region.submit("web", replicas=4)
    region.reconcile()
    region.leave("b1")
    assert names(region) == ["web"]
    region.reconcile()
    made = region.app("web").status.scheduling
    assert made is not None
    assert {row.cluster: row.replicas for row in made.placement} == {"a1": 4}
    assert names(region) == []


def test_a_cluster_that_answers_again_gets_what_it_missed(region: CachedRegion):
    """S-135."""
    for name in ("a1", "b1"):
        region.join(name)
    region.silent.add("b1")
    region.submit("web", replicas=4)
    region.reconcile()
    assert names(region) == []
    region.silent.clear()
    assert names(region) == ["web"]
    region.reconcile()
    made = region.app("web").status.scheduling
    assert made is not None
    assert {row.cluster: row.replicas for row in made.placement} == {"a1": 2, "b1": 2}


def test_a_template_that_cannot_be_used_is_told_once(region: CachedRegion):
    region.join("a1")
    region.submit("odd", pod=template(cpu="half"))
    assert len(region.reconcile().actions) == 1
    assert names(region) == []
    region.edit("odd", template=template())
    assert names(region) == ["odd"]


@pytest.mark.parametrize(
    ("ready", "reported", "measured", "held"),
    [
        (0, None, 0, 2),  # nothing is ready
        (2, 5, 3, 2),  # ready, but measured before it was
        (2, 5, 5, 0),
        (1, 5, 6, 1),
    ],
)
def test_a_promise_is_held_until_the_replicas_are_ready_and_counted(region: CachedRegion, ready, reported, measured, held):
    """S-035: a ready replica of two seconds ago is not in the measured room yet."""
    at = {None: None} | {n: NOW + timedelta(seconds=n) for n in range(10)}
    region.join("a1")
    region.submit("web", replicas=2)
    region.reconcile()
    line = ClusterStatus(cluster="a1", zone="a", replicas=2, ready_replicas=ready, reported_at=at[reported])
    region.report("web", clusters=(line,))
    region.now = at[measured]
    region.measure("a1", capacity())
    region.submit("next")
    assert region.seen().promised.get("a1", {}).get("pods", 0) == held
    region.edit("web", replicas=3)
    region.reconcile()
    made = region.app("web").status.scheduling
    assert made is not None
    assert made.placement[0].added == (3 if held == 2 else 1)


def test_what_ran_to_its_end_is_promised_nothing(region: CachedRegion):
    """It is not ready, and never will be."""
    region.join("a1", FEW)
    region.submit("batch", replicas=8)
    region.reconcile()
    region.report("batch", ended=Ended(revision="r", phase="Succeeded"))
    region.submit("next", replicas=8)
    region.reconcile()
    assert region.placed("next") == 8


def test_an_object_that_cannot_be_read_stops_nobody_and_is_told_why(region: CachedRegion):
    """One bad object used to block its tier."""
    region.join("a1")
    region.submit("bad")
    region.edit("bad", template={"spec": {"containers": ["oops"]}})
    region.submit("good", seconds=1)
    plan = region.reconcile()
    assert plan.failed == ()
    assert region.placed("good") == 6
    assert "is not a pod template" in region.app("bad").status.conditions[-1].message


def test_what_runs_everywhere_gets_a_share_in_a_cluster_that_joins(region: CachedRegion, monkeypatch: pytest.MonkeyPatch):
    """A kind that runs on every node is reconciled when a cluster can take it, and only then."""
    monkeypatch.setattr(scheduling_queue, "KINDS", (dataclasses.replace(PINAPP, strategy="every node"),))
    region.join("a1")
    region.submit("daemon", replicas=1, placement=Placement(zones=("a", "b")), status=WorkloadStatus(phase="Running"))
    region.reconcile()
    region.join("c1")
    assert names(region) == []
    region.join("b1")
    assert names(region) == ["daemon"]
    region.reconcile()
    made = region.app("daemon").status.scheduling
    assert made is not None
    assert {row.cluster: row.replicas for row in made.placement} == {"a1": 1, "b1": 1}
    assert names(region) == []

"""Cluster-level scheduling: filters, scores, division, the ledger of assumed capacity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from federation.object_builders import NOW, app, capacity, member, template

from pincompute.api.builtin import Taint
from pincompute.api.kinds import PINAPP
from pincompute.api.workloads import Placement, RolloutState, RolloutStatus, Scheduling, WorkloadStatus
from pincompute.federation.scheduling import zone_balance
from pincompute.federation.scheduling.placement import place
from pincompute.federation.scheduling.pool_controller import ObservedPool, decide

REGION = (member("a1"), member("b1"), member("c1"))


def rows(decision: Scheduling) -> dict[str, int]:
    return {row.cluster: row.replicas for row in decision.placement}


def reasons(decision: Scheduling) -> dict[str, str]:
    return {r.cluster: r.reason for r in decision.rejections}


def seen(*waiting, members=REGION, assumed=None) -> ObservedPool:
    return ObservedPool(NOW, tuple(waiting), members, assumed or {})


def decided(plan, index: int = 0) -> dict:
    return plan.actions[index].body["status"]["scheduling"]


def test_replicas_are_spread_over_the_zones_and_the_decision_names_its_generation():
    decision = place(app(replicas=6, generation=4), REGION, {}, now=NOW)
    assert rows(decision) == {"a1": 2, "b1": 2, "c1": 2}
    assert (decision.generation, decision.unplaced) == (4, 0)


def test_every_cluster_that_gets_nothing_is_named_with_its_reason():
    """S-040."""
    out = (
        member("d1", leaving=True),
        member("e1", taints=(Taint(key="gpu", effect="NoSchedule"),)),
        member("f1", reachable=False),
        member("g1", capacity=None),
        member("h1", ready=False),
    )
    decision = place(app(), (*REGION, *out), {}, now=NOW)
    assert reasons(decision) == {
        "d1": "Leaving",
        "e1": "Tainted",
        "f1": "Unreachable",
        "g1": "CapacityUnknown",
        "h1": "NotReady",
    }
    assert set(rows(decision)) == {"a1", "b1", "c1"}


def test_a_toleration_of_the_pod_template_opens_a_tainted_cluster():
    pod = template()
    pod["spec"]["tolerations"] = [{"key": "gpu", "operator": "Exists"}]
    decision = place(app(replicas=1, pod=pod), (member("e1", taints=(Taint(key="gpu", effect="NoSchedule"),)),), {}, now=NOW)
    assert rows(decision) == {"e1": 1}


def test_only_wanted_zones_clusters_and_labels_are_used():
    assert rows(place(app(placement=Placement(zones=("b",))), REGION, {}, now=NOW)) == {"b1": 6}
    assert rows(place(app(placement=Placement(clusters=("c1",))), REGION, {}, now=NOW)) == {"c1": 6}
    labelled = (REGION[0], member("b1", labels={"gpu": "g5"}))
    assert rows(place(app(placement=Placement(cluster_selector={"gpu": "g5"})), labelled, {}, now=NOW)) == {"b1": 6}


def test_no_candidate_at_all_waits_with_words_and_does_not_crash():
    """S-040: zero candidates must not crash spread maths."""
    plan = decide(seen(app(), members=()))
    condition = next(c for c in plan.actions[0].body["status"]["conditions"] if c["type"] == "Scheduled")
    assert (condition["status"], condition["reason"]) == ("False", "NoClusterMatches")
    assert condition["message"].endswith("6 of 6 replicas wait: the region has no member cluster; add one")
    alone = decide(seen(app(replicas=1), members=()))
    (told,) = (c for c in alone.actions[0].body["status"]["conditions"] if c["type"] == "Scheduled")
    assert told["message"].startswith("1 of 1 replica waits:")


def test_room_is_judged_node_by_node_not_by_the_sum():
    """S-034: four nodes with half a core free each hold no pod of a core."""
    fragmented = member("a1", capacity=capacity(nodes=4, cpu=4000, used=3500))
    decision = place(app(replicas=1, pod=template(cpu="1")), (fragmented,), {}, now=NOW)
    assert decision.unplaced == 1
    assert reasons(decision) == {"a1": "InsufficientCapacity"}


def test_two_workloads_in_one_run_never_use_the_same_room_twice():
    """S-035: room for 8 replicas, two apps of 6."""
    members = (member("a1", capacity=capacity(nodes=1)),)
    plan = decide(seen(app("first"), app("second"), members=members))
    placed = [sum(row["replicas"] for row in decided(plan, n)["placement"]) for n in (0, 1)]
    assert placed == [6, 2]
    assert decided(plan, 1)["unplaced"] == 4


def test_capacity_promised_before_is_not_promised_again():
    decision = place(app(replicas=6), (member("a1", capacity=capacity(nodes=1)),), {"a1": {"cpu": 3000, "pods": 6}}, now=NOW)
    assert rows(decision) == {"a1": 2}


def test_a_new_generation_moves_nothing_that_may_stay():
    """S-030."""
    before = place(app(), REGION, {}, now=NOW)
    assert rows(place(app(generation=2, scheduling=before), REGION, {}, now=NOW)) == rows(before)


def test_a_leaving_cluster_gives_its_replicas_to_the_others():
    """S-033."""
    before = place(app(), REGION, {}, now=NOW)
    region = (*REGION[:2], member("c1", leaving=True))
    assert rows(place(app(scheduling=before), region, {}, now=NOW)) == {"a1": 3, "b1": 3}


def test_scaling_while_a_cluster_is_silent_takes_nothing_from_it():
    """S-061."""
    before = place(app(), REGION, {}, now=NOW)
    region = (*REGION[:2], member("c1", reachable=False))
    decision = place(app(replicas=9, generation=2, scheduling=before), region, {}, now=NOW)
    assert rows(decision)["c1"] == 2
    assert decision.passed_over == ("c1",)


def test_nothing_is_missed_by_a_silent_cluster_when_nothing_is_wanted():
    before = place(app(), REGION, {}, now=NOW)
    stopped = place(app(replicas=0, generation=2, scheduling=before), (*REGION[:2], member("c1", reachable=False)), {}, now=NOW)
    assert (rows(stopped), stopped.passed_over) == ({}, ())


def test_a_cluster_that_is_back_gets_what_it_missed():
    """S-135: the end is the same as if it had never been away."""
    before = place(app(), REGION, {}, now=NOW)
    away = place(app(replicas=9, generation=2, scheduling=before), (*REGION[:2], member("c1", reachable=False)), {}, now=NOW)
    back = place(app(replicas=9, generation=2, scheduling=away), REGION, {}, now=NOW)
    assert rows(back) == {"a1": 3, "b1": 3, "c1": 3}
    assert back.passed_over == ()


FULL = capacity(nodes=1, used=4000)
CROWDED = (*REGION[:2], member("c1", capacity=FULL))


def uneven() -> Scheduling:
    """Zone c had no room when it was decided."""
    return place(app(), CROWDED, {}, now=NOW)


def updating(scheduling: Scheduling, state: RolloutState = "Progressing", stable: str = "v0") -> WorkloadStatus:
    return WorkloadStatus(scheduling=scheduling, rollout=RolloutStatus(revision="v1", stable=stable, state=state))


def test_a_zone_that_had_no_room_is_remembered_and_gets_its_share_when_it_has():
    """S-135: zones differ by one replica at most; nothing moves as long as there is no room, and it is said why."""
    made = uneven()
    assert (rows(made), made.behind, made.evened_at) == ({"a1": 3, "b1": 3}, ("c1",), None)
    assert reasons(made) == {"c1": "InsufficientCapacity"}
    still = place(app(generation=2, scheduling=made), CROWDED, {}, now=NOW)
    assert (rows(still), still.behind) == (rows(made), ("c1",))
    after = place(app(scheduling=made), REGION, {}, now=NOW)
    assert (rows(after), after.behind, after.evened_at) == ({"a1": 2, "b1": 2, "c1": 2}, (), NOW)
    assert reasons(after) == {}


def test_no_more_replicas_move_than_there_is_room_for():
    roomy = (*REGION[:2], member("c1", capacity=capacity(nodes=1, used=3500)))
    some = place(app(scheduling=uneven()), roomy, {}, now=NOW)
    assert sorted(rows(some).values()) == [1, 2, 3]
    assert some.behind == ("c1",)


def test_a_zone_that_nothing_kept_from_its_share_moves_nothing():
    """S-030: a member that joins, or a rule of placement that is wider, moves no replica that may stay."""
    before = place(app(), REGION[:2], {}, now=NOW)
    joined = place(app(generation=2, scheduling=before), REGION, {}, now=NOW)
    assert (rows(joined), joined.behind) == ({"a1": 3, "b1": 3}, ())


@pytest.mark.parametrize("state", ["Progressing", "AwaitingApproval", "RollingBack"])
def test_evening_out_yields_to_an_update(state: RolloutState):
    """S-134, S-135: both would use up one account. The first start of an app is no update."""
    away = place(app(), (*REGION[:2], member("c1", reachable=False)), {}, now=NOW)
    during = place(app(status=updating(away, state)), REGION, {}, now=NOW)
    assert (rows(during), during.passed_over, during.behind) == ({"a1": 3, "b1": 3}, (), ("c1",))
    assert reasons(during) == {}, "it has room"
    for status in (updating(during, "Complete"), updating(during, stable="")):
        assert rows(place(app(status=status), REGION, {}, now=NOW)) == {"a1": 2, "b1": 2, "c1": 2}


def test_evening_out_again_waits_for_a_while():
    """S-135: a zone that comes and goes carries replicas along once in five minutes."""
    moved = msgspec.structs.replace(uneven(), evened_at=NOW)
    soon, late = NOW + zone_balance.COOLDOWN - timedelta(seconds=1), NOW + zone_balance.COOLDOWN
    assert rows(place(app(scheduling=moved), REGION, {}, now=soon)) == {"a1": 3, "b1": 3}
    assert rows(place(app(scheduling=moved), REGION, {}, now=late)) == {"a1": 2, "b1": 2, "c1": 2}
    assert zone_balance.cools_for(moved, soon) == 1


def test_a_cluster_whose_nodes_come_later_gets_its_part_then():
    """N2: a member reports its capacity before its first node has joined."""
    early = place(app(), (*REGION[:2], member("c1", capacity=capacity(nodes=0))), {}, now=NOW)
    assert (rows(early), reasons(early)) == ({"a1": 3, "b1": 3}, {"c1": "NoReadyNode"})
    assert rows(place(app(scheduling=early), REGION, {}, now=NOW)) == {"a1": 2, "b1": 2, "c1": 2}


def test_a_decision_that_stands_is_not_written_again():
    placed = place(app(), REGION, {}, now=NOW)
    plan = decide(seen(app(status=WorkloadStatus(scheduling=placed))))
    assert plan.settled


def test_the_decision_is_one_write_pinned_to_what_was_read():
    (patch,) = decide(seen(app())).actions
    assert (patch.uid, patch.resource_version, patch.subresource) == ("uid-hello", "7", "status")


def test_others_behind_the_batch_are_decided_at_once():
    plan = decide(replace(seen(app()), more=True))
    assert plan.wake_after == 0.0
    assert plan.independent


def test_a_device_that_no_cluster_has_is_missed_by_name():
    """S-034: GPUs count; what lacks is named."""
    pod = template()
    pod["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = "2"
    with_gpu = member("a1", capacity=capacity(nodes=1, **{"nvidia.com/gpu": 3}))
    decision = place(app(replicas=3, pod=pod), (with_gpu, *REGION[1:]), {}, now=NOW)
    assert (rows(decision), decision.unplaced) == ({"a1": 1}, 2)
    full = "has no room for another replica, which asks for nvidia.com/gpu 2"
    assert [(r.zone, r.reason, r.message) for r in decision.rejections] == [
        (zone, "InsufficientCapacity", full) for zone in ("a", "b", "c")
    ]
    promised = {"a1": {"nvidia.com/gpu": 2, "pods": 1}}
    assert rows(place(app(replicas=1, pod=pod), (with_gpu,), promised, now=NOW)) == {}


NO_GPU = "has no node that is large enough: each replica asks for nvidia.com/gpu 2, a node has no nvidia.com/gpu"


@pytest.mark.parametrize(
    ("largest", "reason", "message"),
    [
        ({"cpu": 4000, "memory": 8 << 30, "pods": 110}, "TooLarge", NO_GPU),
        ({"cpu": 4000, "memory": 8 << 30, "pods": 110, "nvidia.com/gpu": 2}, "InsufficientCapacity", None),
        ({}, "InsufficientCapacity", None),
    ],
    ids=["no node has it", "a node that has none left has it", "an operator that does not report it"],
)
def test_what_no_node_can_ever_hold_is_told_from_what_has_no_room_now(largest: dict, reason: str, message: str | None):
    pod = template()
    pod["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = "2"
    full = replace(member("a1"), capacity=msgspec.structs.replace(capacity(nodes=1), largest=largest))
    decision = place(app(replicas=3, pod=pod), (full,), {}, now=NOW)
    (rejection,) = decision.rejections
    assert rejection.reason == reason
    assert message is None or rejection.message == message


@dataclass(frozen=True)
class Packed:
    """A kind of which all pods must be in one cluster."""

    strategy: str
    workload: Any = PINAPP.workload
    name: str = "packed"


def test_what_must_be_in_one_cluster_is_there_or_nowhere():
    """S-037."""
    small, large = member("a1", capacity=capacity(nodes=1)), member("b1", capacity=capacity(nodes=2))
    gang = replace(app("gang", replicas=10), kind=Packed("pack"))
    assert rows(place(gang, (small, large), {}, now=NOW)) == {"b1": 10}
    alone = place(replace(app("gang-2", replicas=10), kind=Packed("pack")), (small,), {}, now=NOW)
    assert (rows(alone), alone.unplaced) == ({}, 10)
    assert [r.message for r in alone.rejections] == ["has room for 8 more of cpu 500m each"]


def test_what_runs_on_every_node_has_a_share_in_every_cluster_that_matches():
    daemon = replace(app("daemon", replicas=1, placement=Placement(zones=("a", "b"))), kind=Packed("every node"))
    assert rows(place(daemon, REGION, {}, now=NOW)) == {"a1": 1, "b1": 1}


def test_a_workload_that_cannot_be_decided_stops_no_other():
    """One bad object used to block its tier."""
    bad = app("bad", placement=Placement(zones=(1, "a")))  # type: ignore[arg-type]
    plan = decide(seen(app("first"), bad, app("last")))
    assert [action.ref.key.name for action in plan.actions] == ["first", "last"]
    assert [failed.ref.key.name for failed in plan.failed] == ["bad"]


def test_a_template_that_cannot_be_used_says_why():
    (patch,) = decide(seen(app(pod=template(cpu="half")))).actions
    condition = patch.body["status"]["conditions"][0]
    assert condition["reason"] == "InvalidTemplate"
    assert "half" in condition["message"]


def test_scores_alone_do_not_cause_a_write():
    placed = place(app(), REGION, {}, now=NOW)
    moved = msgspec.structs.replace(placed, scores=())
    warm = tuple(replace(m, capacity=capacity(used=900)) for m in REGION)
    assert decide(seen(app(status=WorkloadStatus(scheduling=moved)), members=warm)).settled

"""Cluster-level scheduling: filters, scores, division, the ledger of assumed capacity."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from federation.worlds import NOW, app, capacity, member, template

from pincompute.api.core import Taint
from pincompute.api.workloads import ClusterReplicas, ClusterStatus, Placement, Scheduling, WorkloadStatus
from pincompute.federation.scheduling import BATCH, Seen, decide, ledger
from pincompute.federation.scheduling.placement import place

REGION = (member("a1"), member("b1"), member("c1"))


def rows(decision: Scheduling) -> dict[str, int]:
    return {row.cluster: row.replicas for row in decision.placement}


def reasons(decision: Scheduling) -> dict[str, str]:
    return {r.cluster: r.reason for r in decision.rejections}


def seen(*waiting, members=REGION, assumed=None) -> Seen:
    return Seen(NOW, tuple(waiting), members, assumed or {})


def decided(plan, index: int = 0) -> dict:
    return plan.actions[index].body["status"]["scheduling"]


def test_replicas_are_spread_over_the_zones_and_the_decision_names_its_generation():
    decision = place(app(replicas=6, generation=4), REGION, {})
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
    decision = place(app(), (*REGION, *out), {})
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
    decision = place(app(replicas=1, pod=pod), (member("e1", taints=(Taint(key="gpu", effect="NoSchedule"),)),), {})
    assert rows(decision) == {"e1": 1}


def test_only_wanted_zones_clusters_and_labels_are_used():
    assert rows(place(app(placement=Placement(zones=("b",))), REGION, {})) == {"b1": 6}
    assert rows(place(app(placement=Placement(clusters=("c1",))), REGION, {})) == {"c1": 6}
    labelled = (REGION[0], member("b1", labels={"gpu": "g5"}))
    assert rows(place(app(placement=Placement(cluster_selector={"gpu": "g5"})), labelled, {})) == {"b1": 6}


def test_no_candidate_at_all_waits_with_words_and_does_not_crash():
    """S-040: zero candidates must not crash spread maths."""
    plan = decide(seen(app(), members=()))
    condition = next(c for c in plan.actions[0].body["status"]["conditions"] if c["type"] == "Scheduled")
    assert (condition["status"], condition["reason"]) == ("False", "NoClusterMatches")
    assert "add one" in condition["message"]


def test_room_is_judged_node_by_node_not_by_the_sum():
    """S-034: four nodes with half a core free each hold no pod of a core."""
    fragmented = member("a1", capacity=capacity(nodes=4, cpu=4000, used=3500))
    decision = place(app(replicas=1, pod=template(cpu="1")), (fragmented,), {})
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
    decision = place(app(replicas=6), (member("a1", capacity=capacity(nodes=1)),), {"a1": {"cpu": 3000, "pods": 6}})
    assert rows(decision) == {"a1": 2}


@pytest.mark.parametrize(
    ("ready", "reported", "measured", "held"),
    [
        (0, None, 0, 2),  # nothing is ready
        (2, 5, 3, 2),  # ready, but measured before it was
        (2, 5, 5, 0),
        (1, 5, 6, 1),
    ],
)
def test_a_promise_is_held_until_the_replicas_are_ready_and_counted(ready, reported, measured, held):
    """S-035: a ready replica of two seconds ago is not in the measured room yet."""
    at = {None: None} | {n: NOW + timedelta(seconds=n) for n in range(10)}
    there = member("a1", measured_at=at[measured])
    line = ClusterStatus(cluster="a1", zone="a", replicas=2, ready_replicas=ready, reported_at=at[reported])
    made = Scheduling(generation=1, placement=(ClusterReplicas(cluster="a1", zone="a", replicas=2, added=2),))
    workload = app(replicas=2, status=WorkloadStatus(scheduling=made, clusters=(line,)))
    assert ledger([workload.obj], [there]).get("a1", {}).get("pods", 0) == held
    assert place(workload, (there,), {}).placement[0].added == (2 if held == 2 else 0)


def test_a_new_generation_moves_nothing_that_may_stay():
    """S-030."""
    before = place(app(), REGION, {})
    assert rows(place(app(generation=2, scheduling=before), REGION, {})) == rows(before)


def test_a_leaving_cluster_gives_its_replicas_to_the_others():
    """S-033."""
    before = place(app(), REGION, {})
    region = (*REGION[:2], member("c1", leaving=True))
    assert rows(place(app(scheduling=before), region, {})) == {"a1": 3, "b1": 3}


def test_scaling_while_a_cluster_is_silent_takes_nothing_from_it():
    """S-061."""
    before = place(app(), REGION, {})
    region = (*REGION[:2], member("c1", reachable=False))
    decision = place(app(replicas=9, generation=2, scheduling=before), region, {})
    assert rows(decision)["c1"] == 2
    assert decision.passed_over == ("c1",)


def test_nothing_is_missed_by_a_silent_cluster_when_nothing_is_wanted():
    before = place(app(), REGION, {})
    stopped = place(app(replicas=0, generation=2, scheduling=before), (*REGION[:2], member("c1", reachable=False)), {})
    assert (rows(stopped), stopped.passed_over) == ({}, ())


def test_a_cluster_that_is_back_gets_what_it_missed():
    """S-135: the end is the same as if it had never been away."""
    before = place(app(), REGION, {})
    away = place(app(replicas=9, generation=2, scheduling=before), (*REGION[:2], member("c1", reachable=False)), {})
    back = place(app(replicas=9, generation=2, scheduling=away), REGION, {})
    assert rows(back) == {"a1": 3, "b1": 3, "c1": 3}
    assert back.passed_over == ()


def test_a_cluster_whose_nodes_come_later_gets_its_part_then():
    """N2: a member reports its capacity before its first node has joined."""
    early = place(app(), (*REGION[:2], member("c1", capacity=capacity(nodes=0))), {})
    assert (rows(early), reasons(early)) == ({"a1": 3, "b1": 3}, {"c1": "NoReadyNode"})
    assert rows(place(app(scheduling=early), REGION, {})) == {"a1": 2, "b1": 2, "c1": 2}


def test_a_decision_that_stands_is_not_written_again():
    placed = place(app(), REGION, {})
    plan = decide(seen(app(status=WorkloadStatus(scheduling=placed))))
    assert plan.settled


def test_the_decision_is_one_write_pinned_to_what_was_read():
    (patch,) = decide(seen(app())).actions
    assert (patch.uid, patch.resource_version, patch.subresource) == ("uid-hello", "7", "status")


def test_a_batch_is_bounded_and_asks_for_another_look():
    plan = decide(seen(*(app(f"app-{n:03}", replicas=1) for n in range(BATCH + 10))))
    assert len(plan.actions) == BATCH
    assert plan.wake_after == 0.0


def test_a_template_that_cannot_be_used_says_why():
    (patch,) = decide(seen(app(pod=template(cpu="half")))).actions
    condition = patch.body["status"]["conditions"][0]
    assert condition["reason"] == "InvalidTemplate"
    assert "half" in condition["message"]


def test_scores_alone_do_not_cause_a_write():
    placed = place(app(), REGION, {})
    moved = msgspec.structs.replace(placed, scores=())
    warm = tuple(replace(m, capacity=capacity(used=900)) for m in REGION)
    assert decide(seen(app(status=WorkloadStatus(scheduling=moved)), members=warm)).settled

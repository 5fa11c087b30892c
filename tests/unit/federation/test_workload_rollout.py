"""Which revisions each member runs, and how many replicas may be disturbed there: S-123, S-124, S-159, S-258."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec
import pytest
from federation.object_builders import NOW, member, template, writes_shard

from pincompute.api.kinds import PINAPP, PINPOD
from pincompute.api.labels import SHARDS_FINALIZER
from pincompute.api.member_clusters import Capacity, FreeNodes
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.shards import (
    DisruptionRequests,
    Origin,
    PinAppShard,
    RevisionStatus,
    ShardBudget,
    ShardSpec,
    ShardStatus,
    Share,
)
from pincompute.api.workloads import (
    ClusterReplicas,
    PinApp,
    PinAppSpec,
    PinPod,
    PinPodSpec,
    Scheduling,
    UnreadyCause,
    Update,
    WorkloadStatus,
)
from pincompute.engine.plan import Confirm, Create, Plan, Replace
from pincompute.federation.scheduling import demand
from pincompute.federation.workload import rollout, workload_controller, workload_model
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.workload_model import Workload
from pincompute.federation.workload.workload_status import PACE

V1, V2, V3 = (template(f"registry.internal/hello:{n}") for n in (1, 2, 3))
RESHAPED = template("registry.internal/hello:1", args=["again"])
BY_DEFAULT = Update()
ONE_AT_A_TIME = Update(max_unavailable=1, max_surge=0)


def wanted(pod: Manifest, placement: Mapping[str, int], update: Update = BY_DEFAULT, *, paused: bool = False) -> Workload:
    rows = tuple(ClusterReplicas(cluster=c, zone=c[0], replicas=n) for c, n in placement.items())
    spec = PinAppSpec(template=pod, replicas=sum(placement.values()), update=update, paused=paused)
    meta = ObjectMeta(
        name="hello",
        namespace="demo",
        uid="uid",
        generation=2,
        resource_version="7",
        finalizers=(SHARDS_FINALIZER,),
        creation_timestamp=NOW,
    )
    decision = Scheduling(generation=2, placement=rows)
    return workload_model.read(PINAPP, PinApp(metadata=meta, spec=spec, status=WorkloadStatus(scheduling=decision)))


def read(obj: PinApp) -> Workload:
    return workload_model.read(PINAPP, obj)


def unit(placement: Mapping[str, int]) -> Workload:
    """A PinPod of the same template."""
    rows = tuple(ClusterReplicas(cluster=c, zone=c[0], replicas=n) for c, n in placement.items())
    meta = ObjectMeta(name="one", namespace="demo", uid="uid", generation=2, resource_version="7", creation_timestamp=NOW)
    status = WorkloadStatus(scheduling=Scheduling(generation=2, placement=rows))
    return workload_model.read(PINPOD, PinPod(metadata=meta, spec=PinPodSpec(template=V1), status=status))


def unit_site(cluster: str) -> MemberShard:
    return site(cluster, [(V1, 1)], [(V1, 1, 1)])


def name(pod: Manifest) -> str:
    return wanted(pod, {"a1": 1}).rendered.revision


def site(
    cluster: str,
    mix: list[tuple[Manifest, int]],
    pods: list[tuple[Manifest, int, int]],
    budget: ShardBudget = ShardBudget(),  # noqa: B008 - frozen
    **facts: object,
) -> MemberShard:
    """`pods`: template, replicas, ready; these are available unless it is `young`. Other `facts`: known, settled, ready,
    requests, unschedulable, capacity.
    """
    shares = tuple(Share(revision=name(pod), template=wanted(pod, {"a1": 1}).rendered.template, replicas=n) for pod, n in mix)
    spec = ShardSpec(origin=Origin(uid="uid", generation=1), cluster=cluster, zone=cluster[0], mix=shares, budget=budget)
    old = not facts.get("young", False)
    rows = tuple(RevisionStatus(revision=name(pod), replicas=n, ready=up, available=up * old) for pod, n, up in pods)
    status = ShardStatus(
        observed_generation=4 if facts.get("settled", True) else 3,
        replicas=sum(n for _, n, _ in pods),
        ready_replicas=sum(up for _, _, up in pods),
        available_replicas=sum(up for _, _, up in pods) * old,
        revisions=rows,
        guaranteed=sum(n for _, n in mix) - budget.unavailable - budget.updating,
        disruption_requests=facts.get("requests", DisruptionRequests()),
        unschedulable=facts.get("unschedulable", 0),
    )
    meta = ObjectMeta(name="hello", namespace="demo", uid=f"shard-{cluster}", generation=4)
    known = bool(facts.get("known", True))
    there = member(cluster, reachable=known, **{k: v for k, v in facts.items() if k in ("capacity", "ready")})
    return MemberShard(there, PinAppShard(metadata=meta, spec=spec, status=status), known=known)


def empty(cluster: str) -> MemberShard:
    return MemberShard(member(cluster), None)


def assigned(of: Workload, *sites: MemberShard, refused: str = "") -> dict[str, tuple[dict[str, int], tuple[int, int, int]]]:
    """Per member its mix and unavailable, updating, surge."""
    names = {name(pod): f"v{n}" for n, pod in enumerate((V1, V2, V3), 1)} | {name(RESHAPED): "reshaped"}
    decision = demand.decision(of)
    assert decision is not None
    kept = {name(pod): wanted(pod, {"a1": 1}).rendered.template for pod in (V1, V2, V3)}
    made = rollout.decide(of, decision, sites, kept, refused)
    return {
        a.site.name: (
            {names[share.revision]: share.replicas for share in a.mix},
            (a.budget.unavailable, a.budget.updating, a.budget.surge),
        )
        for a in made.assignments
    }


THREE = {"a1": 1, "b1": 1, "c1": 1}
SERVING = [site(c, [(V1, 1)], [(V1, 1, 1)]) for c in THREE]
NOTHING = (0, 0, 0)


def test_a_new_workload_gets_its_revision_everywhere():
    assert assigned(wanted(V1, {"a1": 2, "b1": 1}), empty("a1"), empty("b1")) == {
        "a1": ({"v1": 2}, NOTHING),
        "b1": ({"v1": 1}, NOTHING),
    }


def test_an_update_begins_with_one_replica_more_in_one_cluster():
    """Three replicas in three clusters at 25 %: all three stay."""
    assert assigned(wanted(V2, THREE), *SERVING) == {
        "a1": ({"v1": 1, "v2": 1}, (0, 0, 1)),
        "b1": ({"v1": 1}, NOTHING),
        "c1": ({"v1": 1}, NOTHING),
    }


def test_a_bad_image_stops_after_the_first():
    begun = site("a1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 0)], ShardBudget(surge=1))
    assert assigned(wanted(V2, THREE), begun, *SERVING[1:]) == {
        "a1": ({"v1": 1, "v2": 1}, (0, 0, 1)),
        "b1": ({"v1": 1}, NOTHING),
        "c1": ({"v1": 1}, NOTHING),
    }


def test_a_revision_that_has_proved_itself_reaches_the_others_one_at_a_time():
    proved = site("a1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 1)], ShardBudget(surge=1))
    assert assigned(wanted(V2, THREE), proved, *SERVING[1:]) == {
        "a1": ({"v2": 2}, (0, 1, 1)),
        "b1": ({"v2": 1}, NOTHING),
        "c1": ({"v2": 1}, NOTHING),
    }


def test_the_replica_that_was_too_many_goes_when_all_have_the_revision():
    done = [site(c, [(V2, 1)], [(V2, 1, 1)]) for c in ("b1", "c1")]
    last = site("a1", [(V2, 2)], [(V2, 2, 2)], ShardBudget(surge=1))
    assert assigned(wanted(V2, THREE), last, *done)["a1"] == ({"v2": 1}, NOTHING)


def test_it_stays_while_another_there_does_not_serve():
    """What goes first is what does not serve, and that would be a pod that only restarts."""
    done = [site(c, [(V2, 1)], [(V2, 1, 1)]) for c in ("b1", "c1")]
    last = site("a1", [(V2, 2)], [(V2, 2, 1)], ShardBudget(surge=1))
    assert assigned(wanted(V2, THREE), last, *done)["a1"] == ({"v2": 2}, (0, 0, 1))


def test_without_surge_one_replica_proves_it_on_the_account():
    assert assigned(wanted(V2, THREE, ONE_AT_A_TIME), *SERVING) == {
        "a1": ({"v2": 1}, (0, 1, 0)),
        "b1": ({"v1": 1}, NOTHING),
        "c1": ({"v1": 1}, NOTHING),
    }


def test_without_surge_a_bad_image_keeps_its_share_of_the_account():
    bad = site("a1", [(V2, 1)], [(V2, 1, 0)])
    told = assigned(wanted(V2, THREE, ONE_AT_A_TIME), bad, *SERVING[1:])
    assert told == {"a1": ({"v2": 1}, NOTHING), "b1": ({"v1": 1}, NOTHING), "c1": ({"v1": 1}, NOTHING)}


def test_without_surge_a_replica_that_does_not_serve_is_the_canary():
    """S-159: it costs nothing."""
    down = site("b1", [(V1, 1)], [(V1, 1, 0)])
    told = assigned(wanted(V2, THREE, ONE_AT_A_TIME), SERVING[0], down, SERVING[2])
    assert {cluster: mix for cluster, (mix, _) in told.items()} == {"a1": {"v1": 1}, "b1": {"v2": 1}, "c1": {"v1": 1}}


def test_while_the_canary_is_tried_no_other_replica_takes_its_revision():
    """A replica that is not ready for a moment must not be given an image that may be bad."""
    begun = site("a1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 0)], ShardBudget(surge=1))
    blip = site("b1", [(V1, 1)], [(V1, 1, 0)])
    told = assigned(wanted(V2, THREE), begun, blip, SERVING[2])
    assert {cluster: mix for cluster, (mix, _) in told.items()} == {"a1": {"v1": 1, "v2": 1}, "b1": {"v1": 1}, "c1": {"v1": 1}}


def test_a_third_template_is_tried_in_the_replica_that_was_too_many():
    """Two deploys close together: the first one's canary serves already."""
    begun = site("a1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 1)], ShardBudget(surge=1))
    told = assigned(wanted(V3, THREE), begun, *SERVING[1:])
    assert told["a1"][0].get("v3") == 1
    assert told["a1"][1] == (0, 1, 1)


def test_a_third_template_goes_on_where_the_second_has_reached_all():
    there = [site(c, [(V2, 1)], [(V2, 1, 1)]) for c in ("b1", "c1")]
    last = site("a1", [(V2, 2)], [(V2, 2, 2)], ShardBudget(surge=1))
    assert assigned(wanted(V3, THREE), last, *there)["a1"] == ({"v2": 1, "v3": 1}, (0, 1, 1))


def test_what_has_no_place_is_neither_promised_nor_counted():
    """40 wanted, 8 placed: two of the eight may be missing, not ten."""
    of = wanted(V2, {"a1": 8})
    spec = msgspec.structs.replace(of.obj.spec, replicas=40)
    of = read(msgspec.structs.replace(of.obj, spec=spec))
    proved = site("a1", [(V1, 8), (V2, 2)], [(V1, 8, 8), (V2, 2, 2)], ShardBudget(surge=2))
    (mix, (unavailable, updating, _)) = assigned(of, proved)["a1"]
    assert sum(mix.values()) - unavailable - updating >= 6


def test_a_pause_in_mid_update_keeps_the_surge_and_every_revision():
    begun = site("a1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 0)], ShardBudget(surge=1))
    told = assigned(wanted(V2, THREE, paused=True), begun, *SERVING[1:])
    assert told["a1"] == ({"v1": 1, "v2": 1}, (0, 0, 1))


def test_room_that_is_not_known_is_waited_for():
    """S-010: a federation that has just started must not take silence for lack of room."""
    full = msgspec.structs.replace(member("a1").capacity, free=())
    crowded = site("a1", [(V1, 1)], [(V1, 1, 1)], capacity=full)
    unseen = [site(c, [(V1, 1)], [(V1, 1, 1)], known=False) for c in ("b1", "c1")]
    told = assigned(wanted(V2, THREE), crowded, *unseen)
    assert told["a1"] == ({"v1": 1}, NOTHING)


def test_a_drain_does_not_wait_for_an_update_that_is_stuck():
    """S-232: a mistyped image uses the surge of the update; the drain has one of its own."""
    stuck = site("a1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 0)], ShardBudget(surge=1))
    drained = site("b1", [(V1, 1)], [(V1, 1, 1)], requests=DisruptionRequests(drains=1))
    first = assigned(wanted(V2, THREE), stuck, drained, SERVING[2])
    assert sum(surge for _, (_, _, surge) in first.values()) == 2
    more = site("c1", [(V1, 2)], [(V1, 2, 2)], ShardBudget(surge=1))
    assert assigned(wanted(V2, THREE), stuck, drained, more)["b1"] == ({"v1": 1}, (1, 0, 0))


def test_a_unit_is_gone_before_it_comes_again():
    """Two writers of one volume would be worse than a moment without."""
    of = unit({"b1": 1})
    there = unit_site("a1")
    assert assigned(of, there, empty("b1"))["b1"][0] == {}
    assert assigned(of, there, empty("b1"))["a1"][0] == {}
    assert sum(assigned(of, empty("a1"), empty("b1"))["b1"][0].values()) == 1


def test_what_serves_nowhere_is_replaced_at_once():
    broken = [site(c, [(V1, 1)], [(V1, 1, 0)]) for c in THREE]
    told = assigned(wanted(V2, THREE), *broken)
    assert [mix for mix, _ in told.values()] == [{"v2": 1}] * 3


def test_back_to_the_old_template_needs_no_proof():
    """S-124: what was broken goes back at once, what serves is not touched."""
    begun = site("a1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 0)], ShardBudget(surge=1))
    told = assigned(wanted(V1, THREE), begun, *SERVING[1:])
    assert told == {"a1": ({"v1": 1}, NOTHING), "b1": ({"v1": 1}, NOTHING), "c1": ({"v1": 1}, NOTHING)}


def test_another_template_in_the_middle_of_an_update_takes_the_place_of_the_broken_one():
    begun = site("a1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 0)], ShardBudget(surge=1))
    told = assigned(wanted(V3, THREE), begun, *SERVING[1:])
    assert told["a1"] == ({"v1": 1, "v3": 1}, (0, 1, 1))  # what does not serve costs nothing


def test_pods_that_must_be_new_are_replaced_by_eviction():
    proved = site("a1", [(V1, 1), (RESHAPED, 1)], [(V1, 1, 1), (RESHAPED, 1, 1)], ShardBudget(surge=1))
    told = assigned(wanted(RESHAPED, THREE), proved, *SERVING[1:])
    assert told["b1"] == ({"reshaped": 1}, (1, 0, 0))


def test_where_no_cluster_has_room_one_replica_at_a_time_is_taken():
    full = msgspec.structs.replace(member("a1").capacity, free=())
    crowded = [site(c, [(V1, 1)], [(V1, 1, 1)], capacity=full) for c in THREE]
    told = assigned(wanted(V2, THREE), *crowded)
    assert told["a1"] == ({"v2": 1}, (0, 1, 0))


def test_one_replica_more_that_no_node_takes_moves_to_another_cluster():
    stuck = site("a1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 0)], ShardBudget(surge=1), unschedulable=1)
    told = assigned(wanted(V2, THREE), stuck, *SERVING[1:])
    assert told == {"a1": ({"v1": 1}, NOTHING), "b1": ({"v1": 1, "v2": 1}, (0, 0, 1)), "c1": ({"v1": 1}, NOTHING)}


def test_what_became_ready_a_moment_ago_is_protected_as_well():
    """The proof of a canary makes all replicas there unavailable that have not been ready for as long."""
    young = site("a1", [(V1, 1)], [(V1, 1, 1)], young=True)
    assert assigned(wanted(V2, {"a1": 1}), young) == {"a1": ({"v1": 1, "v2": 1}, (0, 0, 1))}
    begun = site("a1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 0)], ShardBudget(surge=1), young=True)
    assert assigned(wanted(V2, {"a1": 1}), begun) == {"a1": ({"v1": 1, "v2": 1}, (0, 0, 1))}


def test_an_update_waits_for_the_room_of_a_member_that_has_just_answered_again():
    back = site("a1", [(V1, 1)], [(V1, 1, 1)], ready=False)
    assert assigned(wanted(V2, {"a1": 1}), back) == {"a1": ({"v1": 1}, NOTHING)}


def test_a_surge_replica_moves_to_the_zone_whose_turn_it_is():
    of = wanted(V3, {"a1": 2, "b1": 1})
    held = site("a1", [(V1, 2), (V2, 1)], [(V1, 2, 2), (V2, 1, 0)], ShardBudget(surge=1))
    made = limited(of, {"a1": 0, "b1": 1}, held, site("b1", [(V1, 1)], [(V1, 1, 1)]))
    assert made == {"a1": {"v1": 2}, "b1": {"v1": 1, "v3": 1}}


def test_a_replica_that_is_on_its_way_back_is_not_asked_to_turn_round():
    """Its report is of before the operator turned it."""
    canary = site("b1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 0)], ShardBudget(surge=1))
    turned = site("a1", [(V1, 2)], [(V1, 1, 1), (V2, 1, 0)])
    asked = site("a1", [(V1, 1), (V2, 1)], [(V1, 1, 1), (V2, 1, 0)])
    of = wanted(V2, {"a1": 2, "b1": 1})
    assert assigned(of, turned, canary)["a1"] == ({"v1": 2}, NOTHING)
    assert assigned(of, asked, canary)["a1"] == ({"v1": 1, "v2": 1}, NOTHING)


def test_a_silent_member_counts_as_down():
    """S-123."""
    silent = site("c1", [(V1, 1)], [(V1, 1, 1)], known=False)
    told = assigned(wanted(V2, THREE, ONE_AT_A_TIME), *SERVING[:2], silent)
    assert told["a1"] == ({"v1": 1}, NOTHING)


def test_a_paused_workload_keeps_what_it_runs_replica_by_replica():
    """S-258: half-updated, and able to make its old pods again."""
    half = site("a1", [(V2, 3)], [(V1, 2, 2), (V2, 1, 1)])
    told = assigned(wanted(V2, {"a1": 3}, paused=True), half)
    assert told["a1"] == ({"v1": 2, "v2": 1}, NOTHING)


def test_a_drain_is_answered_from_the_account():
    drained = site("b1", [(V1, 1)], [(V1, 1, 1)], requests=DisruptionRequests(drains=1))
    told = assigned(wanted(V1, THREE, ONE_AT_A_TIME), SERVING[0], drained, SERVING[2])
    assert told["b1"] == ({"v1": 1}, (1, 0, 0))


def test_a_drain_where_none_may_be_missing_waits_for_one_replica_more():
    drained = site("b1", [(V1, 1)], [(V1, 1, 1)], requests=DisruptionRequests(drains=1))
    first = assigned(wanted(V1, THREE), SERVING[0], drained, SERVING[2])
    assert sum(surge for _, (_, _, surge) in first.values()) == 1
    assert first["b1"][1][0] == 0
    more = site("a1", [(V1, 2)], [(V1, 2, 2)], ShardBudget(surge=1))
    assert assigned(wanted(V1, THREE), more, drained, SERVING[2])["b1"] == ({"v1": 1}, (1, 0, 0))


def test_a_restart_by_request_where_none_may_be_missing_waits_for_one_replica_more():
    """S-166."""
    asked = site("b1", [(V1, 1)], [(V1, 1, 1)], requests=DisruptionRequests(updates=1))
    first = assigned(wanted(V1, THREE), SERVING[0], asked, SERVING[2])
    assert sum(surge for _, (_, _, surge) in first.values()) == 1
    more = site("a1", [(V1, 2)], [(V1, 2, 2)], ShardBudget(surge=1))
    assert assigned(wanted(V1, THREE), more, asked, SERVING[2])["b1"] == ({"v1": 1}, (0, 1, 0))


def test_a_drain_goes_on_where_what_it_has_taken_cannot_come_back():
    """S-232: two replicas on the only node of a member; one is pending, and the account is spent on it."""
    six = {"a1": 2, "b1": 2, "c1": 2}
    drained = site(
        "a1", [(V1, 2)], [(V1, 2, 1)], ShardBudget(unavailable=1), requests=DisruptionRequests(drains=1), unschedulable=1
    )
    others = [site(c, [(V1, 2)], [(V1, 2, 2)]) for c in ("b1", "c1")]
    first = assigned(wanted(V1, six), drained, *others)
    assert sum(surge for _, (_, _, surge) in first.values()) == 1
    more = site("b1", [(V1, 3)], [(V1, 3, 3)], ShardBudget(surge=1))
    assert assigned(wanted(V1, six), drained, more, others[1])["a1"] == ({"v1": 2}, (2, 0, 0))


@pytest.mark.parametrize("replicas", [1, 2, 7])
def test_a_workload_that_runs_as_wanted_is_left_alone(replicas: int):
    there = site("a1", [(V1, replicas)], [(V1, replicas, replicas)])
    assert assigned(wanted(V1, {"a1": replicas}), there) == {"a1": ({"v1": replicas}, NOTHING)}


def plan(of: Workload, *sites: MemberShard) -> Plan:
    return workload_controller.decide(workload_controller.ObservedWorkload(NOW + PACE, of, sites))


def test_what_is_superseded_is_kept_before_anything_of_the_next_is_dispatched():
    stages = plan(wanted(V2, THREE), *SERVING).stages
    kept = next(i for i, stage in enumerate(stages) if any(isinstance(a, Create) for a in stage))
    applied = next(i for i, stage in enumerate(stages) if any(writes_shard(a) for a in stage))
    assert kept < applied
    (revision,) = [a for a in stages[kept] if isinstance(a, Create)]
    assert revision.body["spec"]["revision"] == name(V1)
    assert revision.body["spec"]["number"] == 1


def test_a_workload_that_never_changed_costs_no_revision():
    assert not [a for a in plan(wanted(V1, {"a1": 2}), empty("a1")).actions if isinstance(a, Create) and not writes_shard(a)]


def test_whoever_gives_away_a_part_of_the_account_asks_all_members_first():
    """F5: an old view could give the same part away twice."""
    confirmed = {a.ref.cluster for a in plan(wanted(V2, THREE, ONE_AT_A_TIME), *SERVING).stages[0] if isinstance(a, Confirm)}
    assert confirmed == {"host", "a1", "b1", "c1"}


def test_a_member_that_fails_does_not_hold_up_the_status():
    """The status is written beside the shards, not after them."""
    stage = next(s for s in plan(wanted(V2, THREE), *SERVING).stages if any(writes_shard(a) for a in s))
    assert any(isinstance(a, Replace) and a.subresource == "status" for a in stage)


def test_pods_keep_the_name_of_a_revision_that_a_former_version_gave_it():
    """S-131: an upgrade of the platform restarts nothing."""
    of = wanted(V1, {"a1": 1})
    there = site("a1", [(V1, 1)], [(V1, 1, 1)])
    assert there.shard is not None
    named = msgspec.structs.replace(there.shard.spec.mix[0], revision="cfa938f814")
    spec = msgspec.structs.replace(there.shard.spec, mix=(named,))
    former = replace(there, shard=msgspec.structs.replace(there.shard, spec=spec))
    kept = workload_controller.named(of, (former,), ())
    assert kept.rendered.revision == "cfa938f814"


def test_what_a_member_refuses_becomes_a_sentence():
    refused = "a1 does not take it: spec.mix[0].template: Invalid value"
    seen = workload_controller.ObservedWorkload(NOW + PACE, wanted(V1, {"a1": 1}), (empty("a1"),), refused=refused)
    (told,) = [a for a in workload_controller.decide(seen).actions if isinstance(a, Replace) and a.subresource == "status"]
    assert told.body["status"]["message"] == f"{refused}; correct the field that it names, or what the field refers to"


def proof(of: Workload, *sites: MemberShard) -> dict[str, int]:
    """How long a pod must be ready, by member."""
    decision = demand.decision(of)
    assert decision is not None
    kept = {name(pod): wanted(pod, {"a1": 1}).rendered.template for pod in (V1, V2, V3)}
    return {a.site.name: a.min_ready_seconds for a in rollout.decide(of, decision, sites, kept, "").assignments}


def test_a_canary_without_a_health_check_has_to_run_for_a_while():
    """A container without one is ready as soon as it starts: one that crashes after a second would prove its revision."""
    old = [site(c, [(V1, 1)], [(V1, 1, 1)]) for c in ("a1", "b1", "c1")]
    seconds = proof(wanted(V2, {"a1": 1, "b1": 1, "c1": 1}), *old)
    assert sorted(seconds.values()) == [0, 0, rollout.PROOF]


def test_a_canary_with_a_health_check_is_proved_by_it():
    checked = template("registry.internal/hello:2")
    checked["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8080}}
    assert set(proof(wanted(checked, {"a1": 1}), site("a1", [(V1, 1)], [(V1, 1, 1)])).values()) == {0}


def test_a_canary_whose_sidecar_has_no_check_has_to_run_for_a_while():
    """A sidecar counts for the readiness of its pod: one that crashes after a second would prove the revision."""
    checked = template("registry.internal/hello:2")
    checked["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8080}}
    checked["spec"]["initContainers"] = [{"name": "agent", "image": "registry.internal/agent:1", "restartPolicy": "Always"}]
    assert proof(wanted(checked, {"a1": 1}), site("a1", [(V1, 1)], [(V1, 1, 1)])) == {"a1": rollout.PROOF}


HUGE = template("registry.internal/hello:1", cpu="500")


@pytest.mark.parametrize("update", [BY_DEFAULT, ONE_AT_A_TIME], ids=["with surge", "without"])
@pytest.mark.parametrize("replicas", [1, 3])
def test_nothing_that_serves_is_given_up_for_what_no_node_can_hold(update: Update, replicas: int):
    of = wanted(HUGE, {"a1": replicas}, update)
    decision = demand.decision(of)
    assert decision is not None
    made = rollout.decide(of, decision, (site("a1", [(V1, replicas)], [(V1, replicas, replicas)]),), {}, "")
    assert made.lacks_room
    (only,) = made.assignments
    assert [(share.revision, share.replicas) for share in only.mix if share.replicas] == [(name(V1), replicas)]
    assert (only.budget.unavailable, only.budget.updating, only.budget.surge) == (0, 0, 0)


def test_a_unit_is_not_given_up_for_what_no_node_can_hold():
    obj = unit({"a1": 1}).obj
    larger = msgspec.structs.replace(obj, spec=msgspec.structs.replace(obj.spec, template=HUGE))
    of = workload_model.read(PINPOD, larger)
    decision = demand.decision(of)
    assert decision is not None
    made = rollout.decide(of, decision, (unit_site("a1"),), {}, "")
    assert made.lacks_room
    assert made.assignments[0].mix[0].revision == name(V1)


def test_where_nothing_serves_what_no_node_can_hold_replaces_it():
    of = wanted(HUGE, {"a1": 1})
    decision = demand.decision(of)
    assert decision is not None
    assert not rollout.decide(of, decision, (site("a1", [(V1, 1)], [(V1, 1, 0)]),), {}, "").lacks_room


def room(*free: int, full: int = 0) -> Capacity:
    """Nodes with so many milli-cores left, and nodes with none, which have no row."""
    rows = tuple(FreeNodes(resources={"cpu": cpu, "memory": 2**36, "pods": 50}, count=1) for cpu in free)
    return Capacity(nodes=len(free) + full, ready_nodes=len(free) + full, largest={"cpu": 4000, "memory": 2**37}, free=rows)


def made_of(of: Workload, *sites: MemberShard) -> rollout.Rollout:
    decision = demand.decision(of)
    assert decision is not None
    return rollout.decide(of, decision, sites, {}, "")


def replicas_of(made: rollout.Rollout, of: Workload) -> dict[str, int]:
    """How many of the wanted revision each member should run."""
    target = of.rendered.revision
    return {a.site.name: sum(s.replicas for s in a.mix if s.revision == target) for a in made.assignments}


SMALL, LARGE = template("registry.internal/hello:1", cpu="1"), template("registry.internal/hello:2", cpu="4")


@pytest.mark.parametrize("update", [BY_DEFAULT, ONE_AT_A_TIME], ids=["with surge", "without"])
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize(
    "there", [room(3000, full=1), room(3000, 500), None], ids=["a full node", "a fuller node", "unmeasured"]
)
def test_nothing_that_serves_is_given_up_for_room_on_a_node_that_may_run_none_of_it(
    update: Update, replicas: int, there: Capacity | None
):
    of = wanted(LARGE, {"a1": replicas}, update)
    made = made_of(of, site("a1", [(SMALL, replicas)], [(SMALL, replicas, replicas)], capacity=there))
    kept = sum(share.replicas for share in made.assignments[0].mix if share.revision == name(SMALL))
    assert kept == replicas
    assert made.assignments[0].budget.unavailable == 0
    assert made.lacks_room == (there is not None)


@pytest.mark.parametrize("there", [room(3000), room(3000, 3500), room(4000, full=1)], ids=["one node", "each node", "room now"])
def test_a_replica_whose_place_is_certain_takes_the_place_of_one_that_serves(there: Capacity):
    of = wanted(LARGE, {"a1": 1}, ONE_AT_A_TIME)
    made = made_of(of, site("a1", [(SMALL, 1)], [(SMALL, 1, 1)], capacity=there))
    assert (made.lacks_room, replicas_of(made, of)) == (False, {"a1": 1})


def test_a_replica_that_does_not_serve_is_the_canary_where_none_that_serves_can_leave():
    """Nothing is lost, and its leaving may make room."""
    of = wanted(LARGE, {"a1": 1, "b1": 1})
    serves = site("a1", [(SMALL, 1)], [(SMALL, 1, 1)], capacity=room(full=1))
    broken = site("b1", [(SMALL, 1)], [(SMALL, 1, 0)], capacity=room(3000, full=1))
    made = made_of(of, serves, broken)
    assert (made.lacks_room, replicas_of(made, of)) == (False, {"a1": 0, "b1": 1})


HALF = template("registry.internal/hello:1", cpu="2")


@pytest.mark.parametrize(("unavailable", "goes_on"), [(2, True), (1, False)])
def test_what_needs_the_room_of_all_gets_it_where_all_may_be_missing(unavailable: int, goes_on: bool):
    of = wanted(LARGE, {"a1": 2}, Update(in_place="Never", max_unavailable=unavailable, max_surge=0))
    made = made_of(of, site("a1", [(HALF, 2)], [(HALF, 2, 2)], capacity=room(full=1)))
    assert (made.lacks_room, replicas_of(made, of)["a1"]) == (not goes_on, 2 if goes_on else 0)
    assert made.assignments[0].budget.unavailable == (2 if goes_on else 0)


def test_the_last_that_serves_leaves_as_well_where_all_may_be_missing_and_another_waits_for_its_room():
    of = wanted(LARGE, {"a1": 2}, Update(in_place="Never", max_unavailable=2, max_surge=0))
    half = site(
        "a1", [(LARGE, 2)], [(HALF, 1, 1), (LARGE, 1, 0)], ShardBudget(unavailable=2), unschedulable=1, capacity=room(2000)
    )
    kept = {name(HALF): wanted(HALF, {"a1": 1}).rendered.template}
    decision = demand.decision(of)
    assert decision is not None
    assert replicas_of(rollout.decide(of, decision, (half,), kept, ""), of) == {"a1": 2}


def test_a_surge_replica_that_no_node_takes_waits_where_none_that_serves_can_leave():
    """The member's scheduler knows better than the measurement; it starts the replica as soon as there is room."""
    of = wanted(LARGE, {"a1": 1})
    begun = site(
        "a1",
        [(SMALL, 1), (LARGE, 1)],
        [(SMALL, 1, 1), (LARGE, 1, 0)],
        ShardBudget(surge=1),
        unschedulable=1,
        capacity=room(4000),
    )
    made = made_of(of, begun)
    (only,) = made.assignments
    assert {share.revision: share.replicas for share in only.mix} == {name(SMALL): 1, name(LARGE): 1}
    assert (made.lacks_room, made.without_surge, only.budget) == (True, "", ShardBudget(surge=1))


def limited(of: Workload, limits: Mapping[str, int], *sites: MemberShard) -> dict[str, dict[str, int]]:
    """Per member its mix, where so many replicas may have the target now."""
    names = {name(pod): f"v{n}" for n, pod in enumerate((V1, V2, V3), 1)}
    decision = demand.decision(of)
    assert decision is not None
    made = rollout.decide(of, decision, sites, {}, "", limits, stepwise=True)
    return {each.site.name: {names[share.revision]: share.replicas for share in each.mix} for each in made.assignments}


def in_trouble(there: MemberShard) -> MemberShard:
    assert there.shard is not None
    status = msgspec.structs.replace(there.shard.status, causes=(UnreadyCause(reason="ErrImagePull", message="no image"),))
    return replace(there, shard=msgspec.structs.replace(there.shard, status=status))


@pytest.mark.parametrize("trouble", [True, False])
def test_a_correction_reaches_what_is_in_trouble_before_its_turn(trouble: bool):
    """Zone b has lost all the account allows, so nothing in zone a could begin. What only starts there waits for its turn."""
    broken = site("b1", [(V2, 2)], [(V2, 2, 0)])
    sites = (site("a1", [(V1, 2)], [(V1, 2, 2)]), in_trouble(broken) if trouble else broken)
    found = limited(wanted(V3, {"a1": 2, "b1": 2}, ONE_AT_A_TIME), {"a1": 2, "b1": 0}, *sites)
    assert found == {"a1": {"v1": 2}, "b1": {"v2": 1, "v3": 1} if trouble else {"v2": 2}}


def test_replicas_of_two_failing_revisions_are_not_turned_into_each_other():
    """The report is behind: two replicas have the new revision by now, and the next report will say so."""
    failing = site("b1", [(V1, 1), (V2, 2)], [(V1, 2, 0), (V2, 1, 0)])
    found = limited(
        wanted(V2, {"a1": 2, "b1": 3}, ONE_AT_A_TIME), {"a1": 0, "b1": 3}, site("a1", [(V3, 2)], [(V3, 2, 2)]), failing
    )
    assert found["b1"] == {"v1": 1, "v2": 2}

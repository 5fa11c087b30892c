"""Which revisions each member runs, and how many replicas may be disturbed there: S-123, S-124, S-159, S-258."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec
import pytest
from federation.object_builders import NOW, member, template, writes_shard

from pincompute.api.kinds import PINAPP, PINPOD
from pincompute.api.labels import SHARDS_FINALIZER
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
from pincompute.api.workloads import ClusterReplicas, PinApp, PinAppSpec, PinPod, PinPodSpec, Scheduling, Update, WorkloadStatus
from pincompute.engine.plan import Confirm, Create, Plan, Replace
from pincompute.federation.scheduling import demand
from pincompute.federation.workload import rollout, workload_controller, workload_model
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.workload_model import Workload
from pincompute.federation.workload.workload_status import PACE

V1, V2, V3 = (template(f"registry.internal/hello:{n}") for n in (1, 2, 3))
RESHAPED = template("registry.internal/hello:1", cpu="250m")
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
    """`pods`: template, replicas, available. `facts`: known, settled, requests, unschedulable."""
    shares = tuple(Share(revision=name(pod), template=wanted(pod, {"a1": 1}).rendered.template, replicas=n) for pod, n in mix)
    spec = ShardSpec(origin=Origin(uid="uid", generation=1), cluster=cluster, zone=cluster[0], mix=shares, budget=budget)
    rows = tuple(RevisionStatus(revision=name(pod), replicas=n, ready=up, available=up) for pod, n, up in pods)
    status = ShardStatus(
        observed_generation=4 if facts.get("settled", True) else 3,
        replicas=sum(n for _, n, _ in pods),
        available_replicas=sum(up for _, _, up in pods),
        revisions=rows,
        guaranteed=sum(n for _, n in mix) - budget.unavailable - budget.updating,
        disruption_requests=facts.get("requests", DisruptionRequests()),
        unschedulable=facts.get("unschedulable", 0),
    )
    meta = ObjectMeta(name="hello", namespace="demo", uid=f"shard-{cluster}", generation=4)
    known = bool(facts.get("known", True))
    there = member(cluster, reachable=known, **{k: v for k, v in facts.items() if k == "capacity"})
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
    assert told.body["status"]["message"] == f"{refused}; correct the template or what it refers to"

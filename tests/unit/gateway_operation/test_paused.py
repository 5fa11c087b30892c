"""A paused workload keeps its pods as they are, on the host and in the members; a stopped one has none (S-258)."""

from __future__ import annotations

import msgspec
from federation.object_builders import NOW, app, member, shard, template, writes_shard

from pincompute.api.kinds import PINAPP
from pincompute.api.meta import Manifest
from pincompute.api.workloads import ClusterReplicas, PinApp, Scheduling
from pincompute.domain import rolling_update
from pincompute.domain.rolling_update import PodActions, ReplicaState, WantedRevision
from pincompute.engine.plan import Replace
from pincompute.federation.scheduling import demand
from pincompute.federation.scheduling.placement import place
from pincompute.federation.workload import workload_controller, workload_model
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.workload_model import Workload
from pincompute.federation.workload.workload_status import PACE


def placed(generation: int, **counts: int) -> Scheduling:
    rows = tuple(ClusterReplicas(cluster=c, zone=c[0], replicas=n) for c, n in counts.items())
    return Scheduling(generation=generation, revision="before", placement=rows)


def with_spec(workload: Workload, **spec: object) -> Workload:
    obj = workload.obj
    assert isinstance(obj, PinApp)
    return workload_model.read(PINAPP, msgspec.structs.replace(obj, spec=msgspec.structs.replace(obj.spec, **spec)))


def paused(pod: Manifest | None = None, **counts: int) -> Workload:
    """Paused at generation 1, and since then changed in every respect."""
    changed = app(replicas=9, generation=2, scheduling=placed(1, **counts), pod=pod or template("registry.internal/hello:2"))
    return with_spec(changed, paused=True)


def test_it_stands_by_its_last_decision_whatever_it_asks_for() -> None:
    decision = place(paused(a1=2, b1=1), (member("a1"), member("b1"), member("c1")), {}, now=NOW)
    assert decision == placed(1, a1=2, b1=1)
    assert demand.stands(paused(a1=2, b1=1))


def test_it_moves_out_of_a_cluster_that_leaves_with_as_many_replicas_as_it_had() -> None:
    decision = place(paused(a1=2, b1=1), (member("a1", leaving=True), member("b1"), member("c1")), {}, now=NOW)
    assert sum(row.replicas for row in decision.placement) == 3
    assert {row.cluster for row in decision.placement} <= {"b1", "c1"}
    assert decision.revision == "before"


def test_what_was_never_placed_stays_so() -> None:
    decision = place(with_spec(app(), paused=True), (member("a1"),), {}, now=NOW)
    assert (decision.placement, decision.unplaced) == ((), 0)


def applies(workload: Workload, *sites: MemberShard) -> dict[str, Manifest]:
    plan = workload_controller.decide(workload_controller.ObservedWorkload(NOW, workload, sites))
    return {a.ref.cluster: a.body["spec"] for a in plan.actions if writes_shard(a)}


def test_its_shards_keep_the_revision_they_have_and_learn_the_generation() -> None:
    former = app(replicas=2)
    now = with_spec(app(generation=2, scheduling=placed(2, a1=2), pod=template("registry.internal/hello:2")), paused=True)
    spec = applies(now, MemberShard(member("a1"), shard(former, "a1", 2)))["a1"]
    assert spec["mix"][0]["revision"] == former.rendered.revision != now.rendered.revision
    assert (spec["paused"], spec["origin"]["generation"]) == (True, 2)


def test_where_it_has_to_move_its_revision_moves_with_it() -> None:
    former = app(replicas=2)
    now = with_spec(app(generation=2, scheduling=placed(2, b1=2), pod=template("registry.internal/hello:2")), paused=True)
    sites = (
        MemberShard(member("a1", leaving=True), shard(former, "a1", 2)),
        MemberShard(member("b1"), None),
    )
    assert applies(now, *sites)["b1"]["mix"][0]["revision"] == former.rendered.revision


def test_resumed_it_gets_what_was_asked_for_meanwhile() -> None:
    former = app(replicas=2)
    now = app(generation=3, scheduling=placed(3, a1=2), pod=template("registry.internal/hello:2"))
    held = shard(former, "a1", 2)
    held = msgspec.structs.replace(held, spec=msgspec.structs.replace(held.spec, paused=True))
    spec = applies(now, MemberShard(member("a1"), held))["a1"]
    assert [(share["revision"], share["replicas"]) for share in spec["mix"]] == [
        (former.rendered.revision, 2),
        (now.rendered.revision, 1),  # one more proves the revision first
    ]
    assert "paused" not in spec


OLD, NEW = WantedRevision("old", "shape", 0), WantedRevision("new", "shape", 3)


def test_in_the_middle_of_an_update_its_pods_stay_and_only_a_missing_one_is_made() -> None:
    there = [ReplicaState("p0", "old", "shape"), ReplicaState("p1", "new", "shape")]
    assert rolling_update.kept([NEW], there) == PodActions(create=("new",))
    assert (
        rolling_update.kept([NEW], [*there, ReplicaState("p2", "old", "shape"), ReplicaState("p3", "old", "shape")])
        == PodActions()
    )


def test_a_stopped_workload_wants_none_and_keeps_its_number() -> None:
    stopped = with_spec(app(replicas=6), stopped=True)
    assert stopped.replicas == 0
    assert isinstance(stopped.obj, PinApp)
    assert stopped.obj.spec.replicas == 6
    assert place(stopped, (member("a1"),), {}, now=NOW).placement == ()


def test_a_paused_workload_stands_by_its_last_decision_though_it_was_stopped_since() -> None:
    assert with_spec(paused(a1=2), stopped=True).replicas == 2


def test_the_phase_says_so() -> None:
    workload = with_spec(app(generation=2, scheduling=placed(2, a1=2)), paused=True)
    seen = workload_controller.ObservedWorkload(NOW + PACE, workload, (MemberShard(member("a1"), shard(workload, "a1", 2)),))
    plan = workload_controller.decide(seen)
    (written,) = [a.body["status"] for a in plan.actions if isinstance(a, Replace) and a.subresource == "status"]
    assert written["phase"] == "Paused"
    assert "resume" in written["message"]

"""Shards follow placements: S-002, S-009, S-048, S-062, N7."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from federation.cached_region import CachedRegion, FakeCache
from federation.object_builders import NOW, app, member, shard, template, writes_shard

from pincompute.api.builtin import NAMESPACES, NETWORKPOLICIES, Namespace, NetworkPolicy
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, ObjectMeta
from pincompute.api.projects import PROJECTS, Project
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.settings import PINCONFIGS, PINSECRETS
from pincompute.api.shards import PINAPPSHARDS
from pincompute.api.workloads import PINAPPS, ClusterReplicas, Scheduling, WorkloadStatus
from pincompute.engine.api_refusals import ApiRefusals
from pincompute.engine.error_classification import Outcome
from pincompute.engine.plan import ConfirmSet, Delete, Patch, Plan, Replace
from pincompute.engine.worker import KeyTrouble
from pincompute.federation.settings import setting_references
from pincompute.federation.workload import member_shards, workload_controller
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.workload_model import Workload
from pincompute.kube.cache_views import Unknown


def placed(generation: int = 1, **counts: int) -> Scheduling:
    rows = tuple(ClusterReplicas(cluster=c, zone=c[0], replicas=n) for c, n in counts.items())
    return Scheduling(generation=generation, revision="r", placement=rows)


def site(name: str, there=None, *, known: bool = True, lacks: str = "", **facts) -> MemberShard:
    return MemberShard(member(name, reachable=known, **facts), there, known=known, lacks=lacks)


def decide(of: Workload, sites: tuple[MemberShard, ...]) -> Plan:
    return workload_controller.decide(workload_controller.ObservedWorkload(NOW, of, sites))


def shares(plan) -> dict[str, int]:
    """Replicas by cluster of the shards that are written."""
    applies = [a for a in plan.actions if writes_shard(a)]
    return {a.ref.cluster: sum(share["replicas"] for share in a.body["spec"]["mix"]) for a in applies}


def dispatched(plan: Plan) -> bool:
    """Anything but the status is written."""
    return any(not (isinstance(a, Replace) and a.subresource == "status") for a in plan.actions)


def deleted(plan) -> dict[str, str]:
    return {a.ref.cluster: a.uid for a in plan.actions if isinstance(a, Delete)}


def test_each_placed_member_gets_a_shard_with_the_origin_and_the_mix():
    hello = app(scheduling=placed(a1=2, b1=4))
    plan = decide(hello, (site("a1"), site("b1"), site("c1")))
    assert shares(plan) == {"a1": 2, "b1": 4}
    body = next(a for a in plan.actions if writes_shard(a)).body
    assert body["spec"]["origin"] == {"uid": "uid-hello", "generation": 1}
    assert body["spec"]["mix"][0]["revision"] == hello.rendered.revision


def test_shards_that_are_right_are_not_written_again():
    """S-004."""
    hello = app(scheduling=placed(a1=2))
    assert decide(hello, (site("a1", shard(hello, "a1", 2)), site("b1"))).settled


def test_a_decision_for_another_generation_is_not_followed():
    """S-048."""
    assert decide(app(generation=2, scheduling=placed(a1=2)), (site("a1"),)).settled


def test_a_silent_member_is_left_alone():
    """S-014, S-062."""
    hello = app(scheduling=placed(a1=2, b1=2))
    plan = decide(hello, (site("a1"), site("b1", known=False)))
    assert shares(plan) == {"a1": 2}


def test_a_member_that_is_back_keeps_its_replicas_until_a_decision_counts_on_it():
    """S-061, S-126: it gets the present template at once; how many it should run was decided without it."""
    made = msgspec.structs.replace(placed(2, a1=4), passed_over=("b1",))
    hello = app(replicas=4, generation=2, scheduling=made)
    former = app(replicas=6, pod=template("registry.internal/hello:0"))
    plan = decide(hello, (site("a1", shard(former, "a1", 4)), site("b1", shard(former, "b1", 2))))
    assert shares(plan) == {"a1": 5, "b1": 2}  # one more proves the template first
    assert deleted(plan) == {}


def test_a_silent_member_does_not_keep_the_others_from_giving_back():
    made = msgspec.structs.replace(placed(2, a1=2, c1=2), passed_over=("b1",))
    hello, former = app(replicas=4, generation=2, scheduling=made), app(replicas=8)
    there = (
        site("a1", shard(former, "a1", 3)),
        site("b1", shard(former, "b1", 2), known=False),
        site("c1", shard(former, "c1", 3)),
    )
    assert shares(decide(hello, there)) == {"a1": 2, "c1": 2}


def test_the_old_copy_stays_until_the_new_one_is_ready():
    """N7, S-064."""
    hello = app(replicas=2, scheduling=placed(b1=2))
    moving = decide(hello, (site("a1", shard(hello, "a1", 2), leaving=True), site("b1")))
    assert shares(moving) == {"b1": 2}
    assert deleted(moving) == {}
    moved = decide(hello, (site("a1", shard(hello, "a1", 2), leaving=True), site("b1", shard(hello, "b1", 2))))
    assert deleted(moved) == {"a1": "shard-a1"}


def test_a_shard_of_a_deleted_namesake_goes_first():
    """S-009: matched by uid, not by name."""
    old = app()
    orphan = shard(old, "a1", 2)
    orphan = msgspec.structs.replace(
        orphan, spec=msgspec.structs.replace(orphan.spec, origin=msgspec.structs.replace(orphan.spec.origin, uid="gone"))
    )
    plan = decide(app(scheduling=placed(a1=2)), (MemberShard(member("a1"), None, orphan),))
    assert deleted(plan) == {"a1": "shard-a1"}
    assert shares(plan) == {}


LACKS = "namespace demo lacks NetworkPolicy wall"


def test_a_member_without_a_prepared_namespace_gets_no_shard_and_the_status_says_what_is_missing():
    hello = app(replicas=6, scheduling=placed(a1=2, b1=4))
    plan = decide(hello, (site("a1"), site("b1", lacks=LACKS)))
    assert shares(plan) == {"a1": 2}
    late = workload_controller.ObservedWorkload(
        NOW + timedelta(minutes=1), hello, (site("a1", shard(hello, "a1", 2)), site("b1", lacks=LACKS))
    )
    waits = workload_controller.decide(late)
    assert not dispatched(waits)
    [status] = [a.body["status"] for a in waits.actions if isinstance(a, Replace)]
    assert f"4 replicas wait for the project's namespace (zone b: {LACKS})" in status["message"]
    said = msgspec.convert(status, WorkloadStatus)
    told = Workload(hello.kind, msgspec.structs.replace(hello.obj, status=said), hello.replicas, hello.rendered)
    again = workload_controller.decide(replace(late, workload=told))
    assert again.settled
    assert again.wake_after is None, "nothing polls: a change of the namespace concerns the workload"


def test_a_shard_in_a_namespace_that_is_not_prepared_shrinks_and_never_grows():
    former = app(replicas=6)
    for wanted, written in ((2, {"b1": 2}), (4, {}), (6, {})):
        hello = app(replicas=wanted, generation=1, scheduling=placed(b1=wanted))
        there = site("b1", shard(former, "b1", 4), lacks=LACKS)
        assert shares(decide(hello, (there,))) == written


def test_an_update_reaches_a_shard_in_a_namespace_that_is_not_prepared():
    """The canary is never a replica that cannot start."""
    hello = app(replicas=4, generation=2, scheduling=placed(2, a1=2, b1=2))
    former = app(replicas=4, pod=template("registry.internal/hello:0"))
    there = site("a1", shard(former, "a1", 2, ready=0), lacks=LACKS)
    plan = decide(hello, (there, site("b1", lacks=LACKS)))
    [write] = [a for a in plan.actions if writes_shard(a)]
    assert [share["revision"] for share in write.body["spec"]["mix"]] == [hello.rendered.revision]
    assert shares(plan) == {"a1": 2}
    serving = site("a1", shard(former, "a1", 2))
    canary = decide(hello, (serving, site("b1", lacks=LACKS)))
    [write] = [a for a in canary.actions if writes_shard(a)]
    assert write.ref.cluster == "a1"
    assert hello.rendered.revision in [share["revision"] for share in write.body["spec"]["mix"]]


def test_what_changes_in_a_namespace_concerns_the_workloads_that_lack_replicas_there():
    waiting, complete, elsewhere = (
        app(name, scheduling=placed(**{to: 2})).obj for name, to in (("w", "a1"), ("c", "a1"), ("e", "b1"))
    )
    region = CachedRegion()
    for obj in (waiting, complete, elsewhere):
        region.put(HOST, PINAPPS, obj)
    for name in ("a1", "b1"):
        region.stores[name, PINAPPSHARDS] = FakeCache({})
    region.put("a1", PINAPPSHARDS, shard(app("c"), "a1", 2))
    card = workload_controller.controllers(ApiRefusals())[0].card
    reads = {(read.where, read.resource): read for read in card.reads}
    space = Namespace(metadata=ObjectMeta(name="demo", uid="n"))
    wall = NetworkPolicy(metadata=ObjectMeta(name="wall", namespace="demo", uid="p"))
    project = Project(metadata=ObjectMeta(name="demo", uid="p"))
    assert list(reads["members", NAMESPACES].concerned("a1", space, region)) == [Key("demo", "w")]
    assert list(reads["members", NETWORKPOLICIES].concerned("a1", wall, region)) == [Key("demo", "w")]
    assert list(reads["members", NETWORKPOLICIES].concerned("c1", wall, region)) == []
    assert sorted(reads["host", PROJECTS].concerned(HOST, project, region)) == [Key("demo", "e"), Key("demo", "w")]


def test_a_refusal_of_a_former_generation_says_nothing_about_the_present_one():
    """A corrected deploy must not end with what the member said about the one before."""
    refusals = ApiRefusals()
    controller = workload_controller.controllers(refusals)[0]
    hello = app(scheduling=placed(a1=2))
    (write,) = [a for a in decide(hello, (site("a1"),)).actions if writes_shard(a)]
    version = controller.card.version_of(write)
    refusals.note(controller.card, hello.key, KeyTrouble(Outcome.REFUSED, "POST /x on a1: too long", version))
    region = CachedRegion()
    region.stores[HOST, PINREVISIONS] = FakeCache(workload_controller.INDEXES[PINREVISIONS])
    for settings in (PINSECRETS, PINCONFIGS):
        region.stores[HOST, settings] = FakeCache(setting_references.ON_HOST[settings])
    for generation, refused in ((1, "a1 does not take it: too long"), (2, "")):
        corrected = msgspec.structs.replace(
            hello.obj, metadata=msgspec.structs.replace(hello.obj.metadata, generation=generation)
        )
        region.put(HOST, PINAPPS, corrected)
        seen = controller.observe(hello.key, region, NOW)
        assert seen is not None
        assert seen.refused == refused


def test_deletion_removes_every_shard_and_then_releases_the_workload_with_proof():
    hello = app(scheduling=placed(a1=2, b1=2), deleting=True)
    sites = (site("a1", shard(hello, "a1", 2)), site("b1"))
    assert deleted(decide(hello, sites)) == {"a1": "shard-a1"}
    plan = decide(hello, (site("a1"), site("b1")))
    *proofs, release = plan.actions
    assert all(isinstance(p, ConfirmSet) and not p.uids for p in proofs)
    assert len(proofs) == 2
    assert isinstance(release, Patch)
    assert release.body == {"metadata": {"finalizers": []}}


def test_deletion_waits_for_a_silent_member_that_may_still_run_it():
    """S-010: silence is not absence."""
    hello = app(scheduling=placed(a1=2, b1=2), deleting=True)
    plan = decide(hello, (site("a1"), site("b1", known=False)))
    assert not dispatched(plan)
    assert "b1" in plan.why


def test_deletion_does_not_wait_for_a_dead_member_that_is_being_removed():
    """S-007: deleting a cluster that is dead must end."""
    hello = app(scheduling=placed(a1=2, b1=2), deleting=True)
    plan = decide(hello, (site("a1"), site("b1", known=False, leaving=True)))
    assert isinstance(plan.actions[-1], Patch)


class UnsyncedMembers(CachedRegion):
    """Members of which nothing but the room is known."""

    def view(self, where: str, resource: object) -> object:
        if (where, resource) not in self.stores:
            raise Unknown(f"{resource} of {where} has not synced")
        return super().view(where, resource)


def test_what_moves_away_waits_while_a_member_that_is_not_given_up_cannot_be_seen():
    """S-010: a single pod must not be made elsewhere beside one that still runs."""
    region = UnsyncedMembers()
    region.join("a1")
    moving = app(scheduling=placed(a1=1))
    assert [shown.known for shown in member_shards.observe(moving, region)] == [False]
    region.leave("a1")
    with pytest.raises(Unknown):
        member_shards.observe(moving, region)
    ending = app(scheduling=placed(a1=1), deleting=True)
    assert [shown.known for shown in member_shards.observe(ending, region)] == [False], "it moves nowhere, so it need not wait"

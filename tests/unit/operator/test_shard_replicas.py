"""Pods converge to the mix: S-006, S-010, S-155, S-159, S-345, F5."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import msgspec
import pytest
from shard_builders import (
    NOW,
    PULLED,
    UID,
    disruption_budget,
    namespace,
    pod,
    pulling,
    seen,
    shard,
    share,
    with_status,
    world,
)

from pincompute.api import template_hash
from pincompute.api.builtin import (
    NAMESPACES,
    NODES,
    PODS,
    Container,
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    Node,
    NodeSpec,
    NodeStatus,
)
from pincompute.api.labels import IN_PLACE, LOCAL, RESTART_REQUEST, SHAPE, SHARD_UID, SIDECARS
from pincompute.api.meta import Key, ObjectMeta
from pincompute.api.shards import PINAPPSHARDS, PINPODSHARDS, Origin, ShardBudget, Share
from pincompute.api.sidecars import PINSIDECARSHARDS, PinSidecarShard, PinSidecarShardSpec, PinSidecarShardStatus
from pincompute.api.workloads import Ended
from pincompute.domain.restart_requests import RestartRequest
from pincompute.engine.plan import Confirm, ConfirmSet, Create, Delete, Evict, Patch, Plan, Ref, Replace
from pincompute.kube.cache_views import Unknown
from pincompute.operator.replicas.replicas_controller import CONTROLLERS, decide

APPS, UNITS = CONTROLLERS
REF = Ref(LOCAL, PINAPPSHARDS, Key("demo", "hello"))
V1, V2 = share("hello:1"), share("hello:2")
OTHER = share("hello:1", env=[{"name": "A", "value": "b"}])


def names(plan: Plan, verb: type) -> list[str]:
    """Names of the pods that are created, patched or deleted."""
    return [a.ref.key.name for a in plan.actions if isinstance(a, verb) and a.ref.resource is PODS]


def settled(of, *pods):
    """The shard with the status that follows from its pods."""
    report = next(a for a in decide(seen(of, *pods)).actions if isinstance(a, Replace) and a.subresource == "status")
    return with_status(of, msgspec.convert(report.body["status"], type(of.status)))


def test_a_new_shard_gets_its_pods_and_asks_first():
    """S-345, F5: shard and set are confirmed before anything is made."""
    plan = decide(seen(shard(V1)))
    assert plan.stages[0] == (
        Confirm(REF, UID, 1),
        ConfirmSet(LOCAL, PODS, "demo", SHARD_UID, UID, frozenset(), "shard-uid"),
    )
    assert names(plan, Create) == ["hello-a1-0", "hello-a1-1"]


def test_no_pod_is_made_changed_or_ended_outside_of_a_projects_namespace():
    """A shard may be there before the namespace's labels change; whoever changed them may want the pods to be others'."""
    missing, outdated, surplus = (pod(0, V1),), (pod(0, V1), pod(1, V1)), (pod(0, V1), pod(1, V1), pod(2, V1))
    ended = (pod(0, V1), pod(1, V1, up=False, phase="Failed"))
    going = shard(V1, deleting=True)
    for of, pods in ((shard(V1), missing), (shard(V2), outdated), (shard(V1), surplus), (shard(V1), ended), (going, outdated)):
        touched = [a for a in decide(seen(of, *pods)).actions if isinstance(a, Create | Patch | Delete | Evict)]
        assert any(action.ref.resource is PODS for action in touched)
        made = decide(seen(of, *pods, in_project=False, budget=None))
        assert all(isinstance(a, Replace) and a.subresource == "status" for a in made.actions), "no budget is written either"
    [report] = [a for a in decide(seen(shard(V1), in_project=False)).actions if isinstance(a, Replace)]
    assert "the namespace is not a project's" in str(report.body["status"])


def test_creates_come_in_batches_that_double():
    plan = decide(seen(shard(share(replicas=1100))))
    sizes = [sum(isinstance(a, Create) for a in stage) for stage in plan.stages]
    assert sizes == [0, 8, 16, 32, 64, 128, 256, 500, 96]


def test_nothing_is_done_when_everything_is_there():
    pods = (pod(0, V1), pod(1, V1))
    assert decide(seen(settled(shard(V1), *pods), *pods)) == Plan()


def test_a_confirmed_set_contains_what_others_marked():
    """A forged label makes no pod ours, but it must not make every plan look stale."""
    plan = decide(seen(shard(V1), marked=frozenset({"forged"})))
    assert plan.stages[0][1].uids == {"forged"}


def test_names_that_others_have_are_passed_over():
    assert names(decide(seen(shard(V1), taken=frozenset({"hello-a1-0"}))), Create) == ["hello-a1-1", "hello-a1-2"]


def test_a_single_unit_waits_for_its_name():
    plan = decide(seen(shard(share(replicas=1)), resource=PINPODSHARDS, taken=frozenset({"hello-a1"})))
    assert names(plan, Create) == []
    assert plan.wake_after is not None


def test_an_image_change_is_patched_in_place_and_pinned():
    """S-150: half of two at 25 % is one."""
    plan = decide(seen(shard(V2), pod(0, V1), pod(1, V1), pulls=(pulling(V2, PULLED),)))
    (patch,) = [a for a in plan.actions if isinstance(a, Patch)]
    assert (patch.ref.key.name, patch.uid, patch.resource_version) == ("hello-a1-1", "uid-1", "101")
    assert patch.body["spec"] == {"containers": [{"name": "web", "image": "hello:2"}]}
    assert names(plan, Create) == names(plan, Delete) == []
    assert plan.stages[0] == (Confirm(REF, UID, 1),)


def test_the_next_pod_waits_for_the_container_that_is_restarted():
    """S-153, S-159."""
    record = {IN_PLACE: '{"web":{"id":"id-1","image":"hello:1"}}'}
    plan = decide(seen(shard(V2), pod(0, V1), pod(1, V2, annotations=record)))
    assert names(plan, Patch) == []


def test_a_changed_environment_means_new_pods():
    """S-151: what serves is evicted, so that a drain at the same time is counted."""
    plan = decide(seen(shard(OTHER), pod(0, V1), pod(1, V1)))
    assert (names(plan, Evict), names(plan, Patch), names(plan, Delete)) == (["hello-a1-1"], [], [])


def test_an_annotation_that_the_environment_reads_restarts_the_container_or_replaces_the_pod_whose_image_nobody_knows():
    """S-157: a container restarts alone by another name of its image, which needs the digest that its node tells."""
    env = [{"name": "TEAM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['team']"}}}]
    old = share(env=env)
    template = {**old.template, "metadata": {"annotations": {"team": "b"}}}
    new, one = (Share(template_hash.revision(template), template, replicas) for replicas in (2, 1))
    known = ContainerStatus(name="web", container_id="id-0", image_id="reg/hello@sha256:" + "a" * 64, ready=True)
    plan = decide(seen(shard(one), pod(0, old, status=known)))
    (patch,) = [action for action in plan.actions if isinstance(action, Patch)]
    assert patch.body["spec"] == {"containers": [{"name": "web", "image": "hello:1@sha256:" + "a" * 64}]}
    plan = decide(seen(shard(new), pod(0, old), pod(1, old)))
    assert (names(plan, Evict), names(plan, Patch)) == (["hello-a1-1"], [])


def test_where_new_pods_are_ruled_out_a_pod_whose_image_nobody_knows_waits_and_the_status_says_why():
    """E11: it was replaced, which the user had ruled out."""
    env = [{"name": "TEAM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['team']"}}}]
    old = share(env=env)
    template = {**old.template, "metadata": {"annotations": {"team": "b"}}}
    new = Share(template_hash.revision(template), template, 2)
    plan = decide(seen(shard(new, in_place="Require"), pod(0, old), pod(1, old)))
    assert (names(plan, Evict), names(plan, Delete), names(plan, Patch)) == ([], [], [])
    (told,) = [a.body["status"] for a in plan.actions if isinstance(a, Replace)]
    assert [(cause["reason"], cause["replicas"]) for cause in told["causes"]] == [("ImageDigestUnknown", 2)]
    assert "and update.inPlace is Require" in told["message"]
    assert told.get("disruptionRequests", {}) == {}


def test_recreate_is_never_in_place():
    plan = decide(seen(shard(V2, in_place="Never"), pod(0, V1), pod(1, V1)))
    assert (names(plan, Evict), names(plan, Patch)) == (["hello-a1-1"], [])


def test_nothing_that_serves_is_disturbed_without_a_budget_and_what_waits_is_reported():
    """S-123: who may be disturbed is decided over all clusters, not here."""
    plan = decide(seen(shard(V2, budget=ShardBudget()), pod(0, V1), pod(1, V1), pulls=(pulling(V2, PULLED),)))
    assert (names(plan, Evict), names(plan, Patch), names(plan, Delete)) == ([], [], [])
    (told,) = [a.body["status"] for a in plan.actions if isinstance(a, Replace)]
    assert told["disruptionRequests"] == {"updates": 2}
    assert told["guaranteed"] == 2


def test_the_disruption_budget_follows_the_budget():
    """S-232, S-233: and is there before the shard says that it has acted on it."""
    of = shard(V1, budget=ShardBudget(unavailable=1))
    plan = decide(seen(of, pod(0, V1), pod(1, V1), budget=disruption_budget(shard(V1, budget=ShardBudget()))))
    (proof, (kept,), *_rest) = plan.stages
    assert proof == (Confirm(REF, UID, 1),), "an old view must not lower it"
    assert isinstance(kept, Replace)
    assert kept.body["spec"]["minAvailable"] == 1
    assert kept.body["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_pods_on_a_cordoned_node_are_reported_as_drains():
    plan = decide(seen(shard(V1), pod(0, V1, node="n1"), pod(1, V1, node="n2"), draining=frozenset({"n2"})))
    (told,) = [a.body["status"] for a in plan.actions if isinstance(a, Replace)]
    assert told["disruptionRequests"] == {"drains": 1}


def request(container: str = "", **facts: str) -> dict[str, str]:
    asked = RestartRequest(id="r1", by="ann", at=NOW, container=container, **facts)
    return {RESTART_REQUEST: msgspec.json.encode([asked]).decode()}


def test_a_restart_by_request_waits_for_a_budget():
    """S-166: two at once do not take more than one."""
    asked = (pod(0, V1, annotations=request("web")), pod(1, V1, annotations=request("web")))
    assert names(decide(seen(shard(V1, budget=ShardBudget()), *asked)), Patch) == []
    assert len(names(decide(seen(shard(V1), *asked)), Patch)) == 1


def test_a_request_goes_with_what_it_asked_for():
    (patch,) = [
        a
        for a in decide(seen(shard(V1), pod(0, V1, annotations=request("web")), pod(1, V1))).actions
        if isinstance(a, Patch) and a.ref.resource is PODS
    ]
    assert patch.body["metadata"]["annotations"][RESTART_REQUEST] is None


def test_a_replica_that_is_to_be_replaced_by_request_is_evicted():
    plan = decide(seen(shard(V1), pod(0, V1, annotations=request()), pod(1, V1)))
    assert names(plan, Evict) == ["hello-a1-0"]


def test_a_pod_on_its_way_out_is_replaced_under_another_name():
    plan = decide(seen(shard(V1), pod(0, V1, deleting=True), pod(1, V1)))
    assert names(plan, Create) == ["hello-a1-2"]


def test_an_evicted_pod_is_replaced():
    plan = decide(seen(shard(V1), pod(0, V1, phase="Failed", reason="Evicted"), pod(1, V1)))
    assert (names(plan, Create), names(plan, Delete)) == (["hello-a1-2"], ["hello-a1-0"])


def test_a_pod_that_fails_at_once_is_not_replaced_at_once():
    young = pod(0, V1, up=False, phase="Failed", created=NOW - timedelta(seconds=4))
    plan = decide(seen(shard(V1), young, pod(1, V1)))
    assert (names(plan, Create), names(plan, Delete), plan.wake_after) == ([], [], 6.0)


def test_deletes_are_pinned_and_confirmed():
    plan = decide(seen(shard(share(replicas=1)), pod(0, V1), pod(1, V1, up=False)))
    (delete,) = [a for a in plan.actions if isinstance(a, Delete)]
    assert (delete.ref.key.name, delete.uid, delete.resource_version) == ("hello-a1-1", "uid-1", "101")
    assert [type(a) for a in plan.stages[0]] == [Confirm, ConfirmSet]


def test_a_ready_pod_counts_as_available_after_a_while():
    fresh = pod(1, OTHER, since=NOW - timedelta(seconds=4))
    plan = decide(
        seen(
            shard(
                share("hello:1", 1, env=OTHER.template["spec"]["containers"][0]["env"]),
                min_ready_seconds=10,
                budget=ShardBudget(),
            ),
            pod(0, V1),
            fresh,
        )
    )
    assert (names(plan, Evict), plan.wake_after) == ([], 6.0)


def test_a_deleted_shard_deletes_its_pods():
    plan = decide(seen(shard(V1, deleting=True), pod(0, V1), pod(1, V1, deleting=True)))
    assert plan.stages[0] == (Confirm(REF, UID, 1),)
    assert names(plan, Delete) == ["hello-a1-0"]


def test_a_deleted_shard_outside_of_a_projects_namespace_goes_once_somebody_else_has_ended_its_pods():
    waits = decide(seen(shard(V1, deleting=True), pod(0, V1), in_project=False))
    assert waits.settled
    assert "not that of a project" in waits.why
    proof, (release,) = decide(seen(shard(V1, deleting=True), in_project=False)).stages
    assert proof == (ConfirmSet(LOCAL, PODS, "demo", SHARD_UID, UID, frozenset()),)
    assert release.body == {"metadata": {"finalizers": ["other/one"]}}


def test_a_deleted_shard_waits_for_its_pods():
    assert decide(seen(shard(V1, deleting=True), pod(1, V1, deleting=True))).settled


def test_a_deleted_shard_goes_once_the_api_server_confirms_that_no_pod_is_left():
    """S-010: an empty cache alone proves nothing."""
    plan = decide(seen(shard(V1, deleting=True)))
    assert plan.stages[0] == (ConfirmSet(LOCAL, PODS, "demo", SHARD_UID, UID, frozenset()),)
    (release,) = plan.stages[1]
    assert release.body == {"metadata": {"finalizers": ["other/one"]}}
    assert (release.uid, release.resource_version) == (UID, "7")


@pytest.mark.parametrize("unsynced", [PODS, NODES, NAMESPACES, PINAPPSHARDS])
def test_what_is_not_known_is_not_empty(unsynced):
    """S-010."""
    with pytest.raises(Unknown):
        APPS.observe(Key("demo", "hello"), world([shard(V1)], unsynced=unsynced), NOW)


def test_observe_tells_own_pods_from_marked_ones_and_from_names_that_are_taken():
    own, forged = pod(0, V1), pod(1, V1, owner="somebody")
    room = {"cpu": "2", "memory": "8Gi"}
    nodes = [Node(metadata=ObjectMeta(name="n1"), spec=NodeSpec(unschedulable=True), status=NodeStatus(allocatable=room))]
    found = APPS.observe(Key("demo", "hello"), world([shard(V1)], [own, forged], nodes), NOW)
    assert found == seen(
        shard(V1),
        own,
        marked=frozenset({"uid-0", "uid-1"}),
        taken=frozenset({"hello-a1-1"}),
        draining=frozenset({"n1"}),
        budget=None,
        allocatable={"n1": room},
    )


@pytest.mark.parametrize(
    ("level", "filled"), [("restricted", True), ("baseline", False), ("privileged", False), ("unheard of", True)]
)
def test_a_new_pod_is_filled_in_for_the_level_of_its_namespace(level: str, filled: bool):
    tables = world([shard(V1)], namespaces=[namespace(level)])
    found = APPS.observe(Key("demo", "hello"), tables, NOW)
    bodies = [action.body for action in decide(found).actions if isinstance(action, Create) and action.ref.resource is PODS]
    assert [("securityContext" in body["spec"]) for body in bodies] == [filled] * 2


def test_another_level_replaces_no_pod_that_runs():
    """Its next image comes with a new pod, because the shape of the running one is another level's."""
    lowered = seen(shard(V1), pod(0, V1), pod(1, V1), level="baseline")
    assert [a for a in decide(lowered).actions if a.ref.resource is PODS] == []
    updated = seen(shard(V2), pod(0, V1), pod(1, V1), level="baseline")
    assert not [a for a in decide(updated).actions if isinstance(a, Patch) and a.ref.resource is PODS]


def test_another_level_concerns_the_shards_of_its_project():
    (read,) = [r for c in CONTROLLERS for r in c.card.reads if r.resource is NAMESPACES and c is APPS]
    assert list(read.concerned(LOCAL, namespace(), world([shard(V1)]))) == [Key("demo", "hello")]


def test_a_sidecar_that_comes_to_the_member_concerns_the_shards_that_wait_for_it():
    """Their pods are not made without it, and figures of its fleet concern nobody."""
    (read,) = [r for r in APPS.card.reads if r.resource is PINSIDECARSHARDS]
    named = {"metadata": {"annotations": {SIDECARS: "metrics"}}, **V1.template}
    waits = shard(Share(revision="v", template=named, replicas=1))
    fleet = PinSidecarShard(
        metadata=ObjectMeta(name="metrics", generation=1),
        spec=PinSidecarShardSpec(origin=Origin(uid="o", generation=1), versions=(), birth="", target=""),
    )
    reported = msgspec.structs.replace(fleet, status=PinSidecarShardStatus(observed_generation=1))
    there = world([waits])
    assert list(read.concerned(LOCAL, fleet, there)) == [Key("demo", "hello")]
    assert list(read.concerned(LOCAL, reported, there)) == []
    changed = msgspec.structs.replace(reported, metadata=ObjectMeta(name="metrics", generation=2))
    assert list(read.concerned(LOCAL, changed, there)) == [Key("demo", "hello")]  # it may allow their project now


def test_another_tier_touches_no_pod_that_runs():
    assert [
        a for a in decide(seen(shard(V1, tier="Preemptible"), pod(0, V1), pod(1, V1))).actions if a.ref.resource is PODS
    ] == []


def test_a_shard_that_is_gone_needs_nothing():
    assert APPS.observe(Key("demo", "hello"), world(), NOW) is None


def test_news_of_a_pod_concerns_its_shard_of_the_right_kind():
    reads = {c.card.name: next(r for r in c.card.reads if r.resource is PODS) for c in CONTROLLERS}
    found = {name: list(r.keys(LOCAL, pod(0, V1))) for name, r in reads.items()}
    assert found == {"operator.pinapp-shard": [Key("demo", "hello")], "operator.pinpod-shard": []}


def test_the_same_is_decided_twice():
    world_now = seen(shard(V2), pod(0, V1), pod(1, V1, up=False), pod(2, OTHER))
    assert decide(world_now) == decide(dataclasses.replace(world_now))


UNIT = share("hello:1", replicas=1)
ONCE = msgspec.structs.replace(UNIT, template={"spec": {**UNIT.template["spec"], "restartPolicy": "Never"}})


def units(*pods, of=None):
    return decide(seen(of or shard(ONCE), *pods, resource=PINPODSHARDS, budget=None))


def told_of(plan: Plan) -> dict:
    (status,) = [a.body["status"] for a in plan.actions if isinstance(a, Replace) and a.subresource == "status"]
    return status


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_unit_that_ran_to_its_end_is_not_run_again(phase):
    """S-162: its pod stays to be looked at, and its end is kept."""
    plan = units(pod(0, ONCE, up=False, phase=phase))
    assert (names(plan, Create), names(plan, Delete), names(plan, Evict)) == ([], [], [])
    assert told_of(plan)["ended"]["phase"] == phase


def test_its_end_outlives_its_pod():
    ended = Ended(revision=ONCE.revision, phase="Succeeded", reason="Completed")
    of = shard(ONCE)
    plan = units(of=with_status(of, msgspec.structs.replace(of.status, ended=ended)))
    assert names(plan, Create) == []


def test_a_unit_that_was_evicted_has_not_ended():
    plan = units(pod(0, ONCE, up=False, phase="Failed", reason="Evicted"))
    assert names(plan, Delete) == ["hello-a1-0"]


def test_a_deadline_is_for_good_whatever_the_restart_policy():
    plan = units(pod(0, UNIT, up=False, phase="Failed", reason="DeadlineExceeded"), of=shard(UNIT))
    assert names(plan, Delete) == []
    assert told_of(plan)["ended"]["reason"] == "DeadlineExceeded"


BEGAN, FINISHED = NOW - timedelta(minutes=9), NOW - timedelta(minutes=1)


def end(name: str, code: int, reason: str, message: str = "") -> ContainerStatus:
    how = ContainerStateTerminated(exit_code=code, reason=reason, message=message, started_at=BEGAN, finished_at=FINISHED)
    return ContainerStatus(name=name, state=ContainerState(terminated=how))


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ((end("web", 3, "Error", "no input"),), "container web ended with exit code 3 (no input)"),
        ((end("web", 137, "OOMKilled"),), "container web ended with exit code 137 (out of memory)"),
        ((end("web", 143, "Error"),), "container web ended with exit code 143 (SIGTERM)"),
        (
            (end("web", 1, "Error"), end("log", 0, "Completed"), end("db", 2, "Error")),
            "container web ended with exit code 1; container db ended with exit code 2",
        ),
        ((), "a container failed"),
    ],
)
def test_how_each_container_of_a_unit_ended_is_kept(statuses, said):
    """Exit codes, reasons and times outlive the pod."""
    gone = pod(0, ONCE, up=False, phase="Failed")
    gone = msgspec.structs.replace(gone, status=msgspec.structs.replace(gone.status, container_statuses=statuses))
    ended = told_of(units(gone))["ended"]
    assert ended["message"] == f"{said}; look at its logs, and restart the unit to run it again"
    rows = [(row["name"], row.get("exitCode", 0), row["reason"]) for row in ended.get("containers", ())]
    assert rows == [(s.name, s.state.terminated.exit_code, s.state.terminated.reason) for s in statuses]
    if statuses:
        assert ended["at"] == ended["containers"][0]["finishedAt"]


def test_a_sidecar_that_is_asked_to_end_is_no_failure_of_a_unit():
    """The kubelet ends sidecars after the mains: their exit codes say nothing of the work, and the platform's are not shown."""
    gone = pod(0, ONCE, up=False, phase="Failed")
    sidecars = (Container(name="log", restart_policy="Always"), Container(name="platform-metrics", restart_policy="Always"))
    status = msgspec.structs.replace(
        gone.status,
        container_statuses=(end("web", 1, "Error"),),
        init_container_statuses=(end("log", 143, "Error"), end("platform-metrics", 143, "Error")),
    )
    gone = msgspec.structs.replace(gone, status=status, spec=msgspec.structs.replace(gone.spec, init_containers=sidecars))
    ended = told_of(units(gone))["ended"]
    assert ended["message"].startswith("container web ended with exit code 1; look at")
    assert [row["name"] for row in ended["containers"]] == ["web", "log"]


def test_another_revision_of_a_unit_that_ended_runs():
    of = shard(msgspec.structs.replace(ONCE, revision="next"))
    plan = units(pod(0, ONCE, up=False, phase="Succeeded"), of=of)
    assert names(plan, Delete) == ["hello-a1-0"]


def test_pods_of_a_former_version_of_the_program_are_still_updated_in_place():
    """S-131: their shape is named otherwise; the template that they run under tells it anew."""
    former = msgspec.structs.replace(V1, revision="cfa938f814", replicas=0)
    pods = tuple(
        msgspec.structs.replace(
            made, metadata=msgspec.structs.replace(made.metadata, annotations=made.metadata.annotations | {SHAPE: "0123456789"})
        )
        for made in (pod(0, former), pod(1, former))
    )
    plan = decide(seen(shard(V2, former), *pods, pulls=(pulling(V2, PULLED),)))
    assert (names(plan, Patch), names(plan, Evict)) == (["hello-a1-1"], [])

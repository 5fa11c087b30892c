"""S-158: the image of an update in place is on the node before the container that it replaces ends."""

from __future__ import annotations

import msgspec
import pytest
from shard_builders import NOW, PULLED, UID, pod, pulling, seen, shard, share

from pincompute.api import validation_rules
from pincompute.api.builtin import (
    PODS,
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateWaiting,
    Pod,
    PodSpec,
    PodStatus,
)
from pincompute.api.conditions import Condition
from pincompute.api.labels import IMAGE_PULL_SHARD_UID, IN_PLACE, RESTART_REQUEST
from pincompute.api.meta import Manifest
from pincompute.api.shards import ShardBudget
from pincompute.domain import image_pull
from pincompute.domain.image_pull import ImagePull
from pincompute.domain.restart_requests import RestartRequest
from pincompute.engine.plan import Confirm, Create, Delete, Evict, Patch, Plan, Replace
from pincompute.operator import image_pulls
from pincompute.operator.replicas.replicas_controller import decide

V1, V2, V3 = share("hello:1"), share("hello:2"), share("hello:3")
NOT_FOUND = 'failed to resolve reference "hello:2": hello:2: not found'
FAILING = ContainerState(waiting=ContainerStateWaiting(reason="ErrImagePull", message=NOT_FOUND))
NO_ROOM = Condition(
    type="PodScheduled", status="False", reason="Unschedulable", message="0/3 nodes are available: 3 Too many pods."
)


def names(plan: Plan, verb: type) -> list[str]:
    return [a.ref.key.name for a in plan.actions if isinstance(a, verb) and a.ref.resource is PODS]


def told(plan: Plan) -> Manifest:
    return next(a.body["status"] for a in plan.actions if isinstance(a, Replace) and a.subresource == "status")


def made(plan: Plan) -> Manifest:
    (body,) = [a.body for a in plan.actions if isinstance(a, Create)]
    return body


def test_a_replica_that_serves_waits_for_its_node():
    """It requests nothing meanwhile, because it could use no budget; the shard is confirmed before the pod is made."""
    plan = decide(seen(shard(V2), pod(0, V1), pod(1, V1)))
    body = made(plan)
    assert body["metadata"]["labels"][IMAGE_PULL_SHARD_UID] == UID
    assert body["metadata"]["name"] == pulling(V2, None).metadata.name
    assert [(c["name"], c["image"]) for c in body["spec"]["containers"]] == [("web", "hello:2")]
    assert names(plan, Patch) == []
    assert told(plan).get("disruptionRequests", {}) == {}
    assert isinstance(plan.stages[0][0], Confirm)


def test_the_pod_that_pulls_may_run_in_a_project_and_takes_the_room_of_no_other():
    spec = made(decide(seen(shard(V2), pod(0, V1), pod(1, V1))))["spec"]
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]
    assert spec["priorityClassName"] == "pincompute-placeholder"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert not spec["automountServiceAccountToken"]
    assert [rule.problem for rule in validation_rules.MEMBER_POD if not rule.holds(spec)] == []


def test_no_program_of_an_image_runs_and_its_pod_is_confined_as_the_replicas_are():
    """An image chooses what it contains, but nothing below a device."""
    context = {"readOnlyRootFilesystem": True}
    template = share("hello:2", securityContext=context).template
    pod_context = {"runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    given = {**template, "spec": {**template["spec"], "runtimeClassName": "sandbox", "securityContext": pod_context}}
    spec = image_pull.spec(ImagePull("n1", "v", {"web": "hello:2"}), given, "baseline")
    (container,) = spec["containers"]
    assert container["command"] == ["/dev/null/pull-only"]
    assert "args" not in container
    assert (container["securityContext"], spec["securityContext"]) == (context, pod_context)
    assert spec["runtimeClassName"] == "sandbox"


@pytest.mark.parametrize(
    ("state", "updated"),
    [
        (None, []),
        (ContainerState(waiting=ContainerStateWaiting(reason="ContainerCreating")), []),
        (FAILING, []),
        (PULLED, ["hello-a1-1"]),
        (
            ContainerState(waiting=ContainerStateWaiting(reason="CreateContainerConfigError", message="runs as root")),
            ["hello-a1-1"],
        ),
        (ContainerState(waiting=ContainerStateWaiting(reason="RunContainerError")), ["hello-a1-1"]),
        (ContainerState(running=ContainerStateRunning(started_at=NOW)), ["hello-a1-1"]),
    ],
    ids=["nothing", "creating", "failing", "pulled", "root", "no-program", "simulated"],
)
def test_what_the_node_reports_decides(state: ContainerState | None, updated: list[str]):
    plan = decide(seen(shard(V2), pod(0, V1), pod(1, V1), pulls=(pulling(V2, state),)))
    assert names(plan, Patch) == updated
    assert names(plan, Create) == names(plan, Delete) == []


def test_an_image_that_cannot_be_pulled_is_told_of_its_revision_and_disturbs_nothing():
    plan = decide(seen(shard(V2), pod(0, V1), pod(1, V1), pulls=(pulling(V2, FAILING),)))
    status = told(plan)
    (cause,) = status["causes"]
    assert (cause["revision"], cause["final"]) == (V2.revision, True)
    assert cause["message"].startswith("image hello:2 of container web cannot be pulled: registry docker.io says not found")
    assert status["message"] == cause["message"]
    assert status["readyReplicas"] == 2


def refused_by_its_node() -> Pod:
    made = pulling(V2, None)
    return msgspec.structs.replace(made, status=PodStatus(phase="Failed", reason="OutOfpods"))


@pytest.mark.parametrize("pull", [pulling(V2, None, conditions=(NO_ROOM,)), refused_by_its_node()], ids=["full", "refused"])
def test_where_a_node_takes_no_pod_the_update_does_not_hang(pull: Pod):
    plan = decide(seen(shard(V2), pod(0, V1), pod(1, V1), pulls=(pull,)))
    assert names(plan, Patch) == ["hello-a1-1"]


@pytest.mark.parametrize("state", [PULLED, FAILING])
def test_a_pod_that_pulls_another_image_decides_nothing(state: ContainerState):
    made = pulling(V2, state)
    other = msgspec.structs.replace(made, spec=PodSpec(node_name="n1", containers=(Container(name="web", image="hello:9"),)))
    plan = decide(seen(shard(V2), pod(0, V1), pod(1, V1), pulls=(other,)))
    assert (names(plan, Patch), names(plan, Delete)) == ([], [made.metadata.name])
    assert told(plan).get("causes", []) == []


def test_a_replica_that_does_not_serve_does_not_wait():
    """S-124, S-155: it has nothing to lose, so a broken revision is left at once."""
    plan = decide(seen(shard(V2), pod(0, V1), pod(1, V1, up=False)))
    assert names(plan, Patch) == ["hello-a1-1"]


def test_a_node_that_runs_the_revision_already_pulls_nothing():
    plan = decide(seen(shard(V2), pod(0, V1), pod(1, V2)))
    assert (names(plan, Create), names(plan, Patch)) == ([], ["hello-a1-0"])


def test_pods_that_no_replica_waits_for_go():
    done = decide(seen(shard(V2), pod(0, V2), pod(1, V2), pulls=(pulling(V2, PULLED),)))
    other = decide(seen(shard(V3), pod(0, V1), pod(1, V1), pulls=(pulling(V2, FAILING),)))
    paused = decide(seen(shard(V2, paused=True), pod(0, V1), pod(1, V1), pulls=(pulling(V2, PULLED),)))
    for plan in (done, other, paused):
        assert names(plan, Delete) == [pulling(V2, None).metadata.name]
    assert [c["image"] for c in made(other)["spec"]["containers"]] == ["hello:3"]


def test_new_pods_pull_for_themselves():
    plan = decide(seen(shard(V2, in_place="Never"), pod(0, V1), pod(1, V1)))
    assert [name for name in names(plan, Create) if "-pull-" in name] == []


def test_some_nodes_pull_at_the_same_time():
    many = share("hello:2", replicas=40)
    pods = tuple(pod(n, V1, node=f"n{n}") for n in range(40))
    first = decide(seen(shard(many, budget=ShardBudget()), *pods))
    assert len(names(first, Create)) == image_pulls.AT_ONCE
    ready = tuple(pulling(many, PULLED, node=f"n{n}") for n in range(30))
    then = decide(seen(shard(many, budget=ShardBudget()), *pods, pulls=(*ready, pulling(many, None, node="n30"))))
    assert len(names(then, Create)) == image_pulls.AT_ONCE - 1
    assert told(then)["disruptionRequests"] == {"updates": 30}


def test_nodes_that_cannot_pull_hold_up_no_others():
    many = share("hello:2", replicas=40)
    pods = tuple(pod(n, V1, node=f"n{n}") for n in range(40))
    failing = tuple(pulling(many, FAILING, node=f"n{n}") for n in range(image_pulls.AT_ONCE))
    nobody_could = decide(seen(shard(many, budget=ShardBudget()), *pods, pulls=failing))
    assert names(nobody_could, Create) == [], "an image that does not exist is not tried on every node"
    one_could = decide(seen(shard(many, budget=ShardBudget()), *pods, pulls=(*failing, pulling(many, PULLED, node="n20"))))
    assert len(names(one_could, Create)) == image_pulls.AT_ONCE


def test_a_replica_in_the_middle_of_its_update_proves_nothing_of_its_node():
    """It has the revision's label, and its former container may still be ready."""
    record = {IN_PLACE: '{"web":{"id":"id-0","image":"hello:1"}}'}
    of = shard(V2, budget=ShardBudget(unavailable=2, updating=2))
    plan = decide(seen(of, pod(0, V2, annotations=record), pod(1, V1), pulls=(pulling(V2, None),)))
    assert (names(plan, Patch), names(plan, Delete)) == ([], [])


def test_a_replica_that_waits_for_its_node_can_be_replaced_by_request():
    request = RestartRequest(id="1", by="dev", why="", at=NOW)
    asked = pod(0, V1, annotations={RESTART_REQUEST: msgspec.json.encode([request]).decode()})
    plan = decide(seen(shard(V2), asked, pod(1, V1), pulls=(pulling(V2, FAILING),)))
    assert [a.ref.key.name for a in plan.actions if isinstance(a, Evict)] == ["hello-a1-0"]

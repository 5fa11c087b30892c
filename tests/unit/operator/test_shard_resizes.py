"""Updates that give running containers other amounts of CPU and memory: S-150, S-151, S-153, S-155."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from shard_builders import NOW, PULLED, pod, pulling, seen, shard, share

from pincompute.api import template_hash
from pincompute.api.builtin import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Pod,
    ReportedResources,
    ResourceRequirements,
)
from pincompute.api.conditions import Condition
from pincompute.api.labels import CONTAINERS_RESTARTED_AT, IN_PLACE, RESIZE, REVISION, SHAPE
from pincompute.api.shards import Share
from pincompute.domain import in_place_update, pod_resize
from pincompute.engine.plan import Confirm, Create, Delete, Evict, Patch, Plan, Replace
from pincompute.operator.replicas.replicas_controller import decide

DIGEST = "@sha256:" + "a" * 64


def amounts(memory: str, cpu: str = "100m") -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}


def sized(memory: str, image: str = "hello:1", **container: Any) -> Share:
    return share(image, replicas=1, resources=amounts(memory), **container)


SMALL, LARGE = sized("64Mi"), sized("128Mi")
NEW_IMAGE = sized("128Mi", "hello:2")


def running(
    of: Share, *, allocated: str = "", conditions: tuple[Condition, ...] = (), reports: bool = True, **more: Any
) -> Pod:
    """A pod whose node reports what its container has."""
    resources = of.template["spec"]["containers"][0]["resources"]
    status = ContainerStatus(
        name="web",
        image_id=f"hello{DIGEST}",
        container_id="id-0",
        ready=True,
        resources=ReportedResources() if reports else None,
        allocated_resources={"cpu": "100m", "memory": allocated or resources["requests"]["memory"]} if reports else {},
    )
    made = pod(0, of, status=status, conditions=conditions, **more)
    container = msgspec.structs.replace(made.spec.containers[0], resources=msgspec.convert(resources, ResourceRequirements))
    return msgspec.structs.replace(
        made,
        metadata=msgspec.structs.replace(made.metadata, generation=1),
        spec=msgspec.structs.replace(made.spec, containers=(container,)),
        status=msgspec.structs.replace(made.status, observed_generation=1 if reports else 0),
    )


def down(*, restarts: int = 0, **state: Any) -> ContainerStatus:
    return ContainerStatus(
        name="web",
        image_id=f"hello{DIGEST}",
        container_id="id-0",
        restart_count=restarts,
        resources=ReportedResources(),
        allocated_resources={"cpu": "100m", "memory": "64Mi"},
        state=ContainerState(**state),
    )


def written(plan: Plan) -> list[Patch]:
    return [action for action in plan.actions if isinstance(action, Patch)]


def applied(before: Pod, patch: Patch, *, seen_by_node: bool = True) -> Pod:
    """The pod after the write: metadata and images, or amounts alone, as the API server takes them."""
    metadata, spec = before.metadata, before.spec
    generation = metadata.generation + ("spec" in patch.body)
    if not patch.subresource:
        given = patch.body.get("metadata", {})
        notes = {**metadata.annotations, **given.get("annotations", {})}
        metadata = msgspec.structs.replace(
            metadata,
            labels={**metadata.labels, **given.get("labels", {})},
            annotations={name: value for name, value in notes.items() if value is not None},
        )
    for change in patch.body.get("spec", {}).get("containers", ()):
        (container,) = spec.containers
        if patch.subresource:
            container = msgspec.structs.replace(container, resources=msgspec.convert(change["resources"], ResourceRequirements))
        else:
            container = msgspec.structs.replace(container, image=change["image"])
        spec = msgspec.structs.replace(spec, containers=(container,))
    status = msgspec.structs.replace(
        before.status, observed_generation=generation if seen_by_node else before.status.observed_generation
    )
    return msgspec.structs.replace(
        before, metadata=msgspec.structs.replace(metadata, generation=generation), spec=spec, status=status
    )


def node_says(before: Pod, *, allocated: str, container_id: str = "id-0", conditions: tuple[Condition, ...] = ()) -> Pod:
    (status,) = before.status.container_statuses
    status = msgspec.structs.replace(
        status, allocated_resources={"cpu": "100m", "memory": allocated}, container_id=container_id
    )
    ready = tuple(c for c in before.status.conditions if not c.type.startswith("PodResize"))
    made = msgspec.structs.replace(before.status, container_statuses=(status,), conditions=(*ready, *conditions))
    return msgspec.structs.replace(before, status=made)


def of(wanted: Share, *others: Share, **spec: Any) -> Any:
    return shard(wanted, *(msgspec.structs.replace(other, replicas=0) for other in others), **spec)


def told(plan: Plan) -> dict[str, Any]:
    return next(action.body["status"] for action in plan.actions if isinstance(action, Replace) and "status" in action.body)


def test_more_memory_is_recorded_then_asked_for_then_awaited_and_nothing_restarts():
    """S-150, S-153: the replica serves all the time, and is available again when its node has given it the memory."""
    (update,) = written(decide(seen(of(LARGE), running(SMALL))))
    assert (update.subresource, update.body["metadata"]["labels"][REVISION]) == ("", LARGE.revision)
    assert "spec" not in update.body
    half = applied(running(SMALL), update)

    plan = decide(seen(of(LARGE), half))
    (resize,) = written(plan)
    assert resize.subresource == "resize"
    assert resize.body == {"spec": {"containers": [{"name": "web", "resources": amounts("128Mi")}]}}
    assert any(isinstance(action, Confirm) for action in plan.stages[0])
    assert (told(plan)["readyReplicas"], told(plan).get("availableReplicas", 0)) == (1, 0)

    for unaware in (
        applied(half, resize, seen_by_node=False),
        applied(half, resize),  # it has seen the generation, and has not allocated
        node_says(applied(half, resize), allocated="128Mi", conditions=(condition("PodResizeInProgress"),)),
    ):
        plan = decide(seen(of(LARGE), unaware))
        assert written(plan) == []
        assert (told(plan)["readyReplicas"], told(plan).get("updatedReplicas", 0)) == (1, 0)
    done = decide(seen(of(LARGE), node_says(applied(half, resize), allocated="128Mi")))
    assert written(done) == []
    assert (told(done)["availableReplicas"], told(done)["updatedReplicas"]) == (1, 1)


DOWN: dict[str, tuple[ContainerStatus, type[Patch | Evict]]] = {
    "it waits for its next start": (down(waiting=ContainerStateWaiting(reason="CrashLoopBackOff")), Evict),
    "it has just ended": (down(terminated=ContainerStateTerminated(exit_code=137, reason="OOMKilled")), Evict),
    "it runs between two crashes": (down(running=ContainerStateRunning(), restarts=3), Evict),
    "it starts for the first time": (down(running=ContainerStateRunning()), Patch),
}


@pytest.mark.parametrize("case", DOWN)
def test_a_replica_whose_container_is_down_gets_other_amounts_as_a_new_pod(case: str):
    """Its node would keep the former limit for the pod as a whole, so more memory would never reach a program that lacks it."""
    status, expected = DOWN[case]
    found = running(SMALL, ready=False)
    pod = msgspec.structs.replace(found, status=msgspec.structs.replace(found.status, container_statuses=(status,)))
    (change,) = [a for a in decide(seen(of(LARGE), pod)).actions if isinstance(a, Patch | Delete | Evict)]
    assert isinstance(change, expected)


def test_an_image_follows_when_the_node_has_accepted_the_memory_and_has_the_image():
    """One update: the new program never starts with the former limit. The replica serves until its container is to end."""
    pulled = (pulling(NEW_IMAGE, PULLED),)
    (update,) = written(decide(seen(of(NEW_IMAGE), running(SMALL), pulls=pulled)))
    assert "spec" not in update.body
    half = applied(running(SMALL), update)
    assert told(decide(seen(of(NEW_IMAGE), half, pulls=pulled)))["readyReplicas"] == 1
    (resize,) = written(decide(seen(of(NEW_IMAGE), half, pulls=pulled)))
    waiting = applied(half, resize)
    assert written(decide(seen(of(NEW_IMAGE), waiting, pulls=pulled))) == []
    accepted = node_says(waiting, allocated="128Mi")
    again = decide(seen(of(NEW_IMAGE), accepted))
    assert written(again) == [], "the node may have removed the image meanwhile"
    assert [a.ref.key.name for a in again.actions if isinstance(a, Create)] == [pulled[0].metadata.name]
    (image,) = written(decide(seen(of(NEW_IMAGE), accepted, pulls=pulled)))
    assert (image.subresource, image.body["spec"]) == ("", {"containers": [{"name": "web", "image": "hello:2"}]})
    restarting = applied(accepted, image)
    assert told(decide(seen(of(NEW_IMAGE), restarting))).get("readyReplicas", 0) == 0
    ended = node_says(restarting, allocated="128Mi", container_id="id-1")
    plan = decide(seen(of(NEW_IMAGE), ended))
    assert written(plan) == []
    assert told(plan)["availableReplicas"] == 1


def with_held_image(container_id: str = "id-0") -> Pod:
    """A replica that the node has resized, and whose image is to follow."""
    pulled = (pulling(NEW_IMAGE, PULLED),)
    (update,) = written(decide(seen(of(NEW_IMAGE), running(SMALL), pulls=pulled)))
    half = applied(running(SMALL), update)
    (resize,) = written(decide(seen(of(NEW_IMAGE), half, pulls=pulled)))
    return node_says(applied(half, resize), allocated="128Mi", container_id=container_id)


def test_the_container_that_ends_is_the_one_that_runs_when_its_image_follows():
    """S-153: it may have restarted while the image waited, and its successor is not the update's end."""
    pulled = (pulling(NEW_IMAGE, PULLED),)
    restarted = with_held_image("id-1")
    (image,) = written(decide(seen(of(NEW_IMAGE), restarted, pulls=pulled)))
    assert told(decide(seen(of(NEW_IMAGE), applied(restarted, image)))).get("readyReplicas", 0) == 0


def test_a_restart_by_request_after_a_resize_ends_the_container_once():
    """The image that followed the resize waits no longer, so another name of it is no change."""
    (image,) = written(decide(seen(of(NEW_IMAGE), with_held_image(), pulls=(pulling(NEW_IMAGE, PULLED),))))
    done = node_says(applied(with_held_image(), image), allocated="128Mi", container_id="id-1")
    (container,) = done.spec.containers
    renamed = msgspec.structs.replace(container, image=f"hello:2{DIGEST}")
    done = msgspec.structs.replace(done, spec=msgspec.structs.replace(done.spec, containers=(renamed,)))
    assert written(decide(seen(of(NEW_IMAGE), done))) == []


def test_a_replica_whose_image_waits_lets_its_node_pull_the_next_one_first():
    """S-158: it serves, although an update of it has begun."""
    (update,) = written(decide(seen(of(NEW_IMAGE), running(SMALL), pulls=(pulling(NEW_IMAGE, PULLED),))))
    half, third = applied(running(SMALL), update), sized("64Mi", "hello:3")
    plan = decide(seen(of(third), half))
    assert written(plan) == []
    assert len([a for a in plan.actions if isinstance(a, Create)]) == 1


def test_a_pause_stops_an_update_between_its_writes():
    pulled = (pulling(NEW_IMAGE, PULLED),)
    (update,) = written(decide(seen(of(NEW_IMAGE), running(SMALL), pulls=pulled)))
    half = applied(running(SMALL), update)
    assert written(decide(seen(of(NEW_IMAGE, paused=True), half, pulls=pulled))) == []
    assert written(decide(seen(of(NEW_IMAGE, paused=True), with_held_image(), pulls=pulled))) == []


def test_a_node_that_does_not_say_which_change_it_has_seen_gets_new_pods():
    """Kubernetes before 1.34: nobody could tell when the resize is done."""
    present = running(SMALL)
    silent = msgspec.structs.replace(present, status=msgspec.structs.replace(present.status, observed_generation=0))
    plan = decide(seen(of(LARGE), silent))
    assert (written(plan), len([a for a in plan.actions if isinstance(a, Evict)])) == ([], 1)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("back", [SMALL, sized("64Mi", "hello:3"), sized("256Mi")])
def test_a_change_of_mind_at_any_step_ends_with_what_is_wanted(steps: int, back: Share):
    """S-155: after every write, and with every next revision, each decision leads on, and nothing hangs."""
    present, wanted = running(SMALL), NEW_IMAGE
    pulls = (pulling(NEW_IMAGE, PULLED), pulling(back, PULLED))
    for number in range(20):
        wanted = NEW_IMAGE if number < steps else back
        writes = written(decide(seen(of(wanted), present, pulls=pulls)))
        for write in writes:
            present = applied(present, write)
        memory = str(present.spec.containers[0].resources.requests["memory"])
        image = present.spec.containers[0].image
        present = node_says(present, allocated=memory, container_id="id-0" if image == "hello:1" else f"id-{image}")
        if wanted is back and not writes:
            break
    (container,) = present.spec.containers
    assert (container.image, container.resources) == (
        back.template["spec"]["containers"][0]["image"],
        msgspec.convert(back.template["spec"]["containers"][0]["resources"], ResourceRequirements),
    )
    assert present.metadata.labels[REVISION] == back.revision
    assert told(decide(seen(of(back), present)))["availableReplicas"] == 1


def condition(kind: str, reason: str = "", message: str = "", since: datetime = NOW) -> Condition:
    return Condition(type=kind, status="True", reason=reason, message=message, last_transition_time=since)


def stuck(*conditions: Condition) -> Pod:
    """A pod whose spec has the new amounts; its node says why it has not."""
    (update,) = written(decide(seen(of(LARGE), running(SMALL))))
    half = applied(running(SMALL), update)
    (resize,) = written(decide(seen(of(LARGE), half)))
    return node_says(applied(half, resize), allocated="64Mi", conditions=conditions)


STUCK = {
    "infeasible": (
        condition("PodResizePending", "Infeasible", "static CPU manager"),
        "Prefer",
        True,
        "until a new one replaces",
    ),
    "infeasible, no new pods": (condition("PodResizePending", "Infeasible", "no"), "Require", False, "inPlace is Require"),
    "deferred": (condition("PodResizePending", "Deferred", "no room"), "Prefer", False, "within 2 minutes"),
    "deferred for long": (
        condition("PodResizePending", "Deferred", "no room", NOW - timedelta(minutes=2)),
        "Prefer",
        True,
        "within 2 minutes",
    ),
    "deferred for long, no new pods": (
        condition("PodResizePending", "Deferred", "no room", NOW - timedelta(hours=1)),
        "Require",
        False,
        "inPlace is Require",
    ),
    "less than it uses, for long": (
        condition("PodResizeInProgress", "Error", "below current usage", NOW - timedelta(minutes=3)),
        "Prefer",
        True,
        "below current usage",
    ),
}


@pytest.mark.parametrize("case", STUCK)
def test_what_the_node_refuses_leads_to_another_pod_where_that_is_allowed(case: str):
    found, in_place, replaced, said = STUCK[case]
    plan = decide(seen(of(LARGE, in_place=in_place), stuck(found)))
    assert bool([a for a in plan.actions if isinstance(a, Evict | Delete)]) is replaced
    status = told(plan)
    assert said in status["message"]
    words = {"Infeasible": "ResizeInfeasible", "Deferred": "ResizeDeferred", "Error": "ResizeError"}
    assert [cause["reason"] for cause in status["causes"]] == [words[found.reason]]
    assert status["readyReplicas"] == 1
    assert status["disruptionRequests"].get("evictions", 0) == int(replaced)
    if case == "deferred":
        assert plan.wake_after == 120


NEEDS_NEW_POD: dict[str, tuple[Pod, Share, dict[str, Any]]] = {
    "a node that reports nothing, as simulated ones": (running(SMALL, reports=False), LARGE, {}),
    "a node that is smaller": (running(SMALL), LARGE, {"allocatable": {"n1": {"cpu": "2", "memory": "100Mi"}}}),
}


@pytest.mark.parametrize("case", NEEDS_NEW_POD)
def test_where_a_node_cannot_resize_there_is_a_new_pod_or_the_replica_keeps_its_revision(case: str):
    present, wanted, more = NEEDS_NEW_POD[case]
    plan = decide(seen(of(wanted), present, **more))
    assert [a.ref.key.name for a in plan.actions if isinstance(a, Evict)] == ["hello-a1-0"]
    plan = decide(seen(of(wanted, in_place="Require"), present, **more))
    assert [a for a in plan.actions if isinstance(a, Evict | Patch)] == []
    assert "replicas cannot get the new resources in place, because its node" in told(plan)["message"]
    assert [cause["reason"] for cause in told(plan)["causes"]] == ["ResizeNeedsNewPod"]


def test_a_container_that_restarts_for_its_memory_counts_as_not_serving_until_it_has():
    """The account pays for it, and its end is no crash."""
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    small, large = sized("64Mi", resizePolicy=policy), sized("128Mi", resizePolicy=policy)
    (update,) = written(decide(seen(of(large), running(small))))
    assert msgspec.json.decode(update.body["metadata"]["annotations"][RESIZE])["restarting"] == {"web": "id-0"}
    half = applied(running(small), update)
    plan = decide(seen(of(large), half))
    assert (told(plan)["readyReplicas"], told(plan).get("availableReplicas", 0)) == (1, 0), "nothing has told it to end yet"
    (resize,) = written(plan)
    assert told(decide(seen(of(large), applied(half, resize)))).get("readyReplicas", 0) == 0
    more_cpu = share("hello:1", replicas=1, resources=amounts("64Mi", "200m"), resizePolicy=policy)
    (update,) = written(decide(seen(of(more_cpu), running(small))))
    assert "restarting" not in msgspec.json.decode(update.body["metadata"]["annotations"][RESIZE])


def test_a_pod_that_was_never_resized_is_left_with_what_it_has():
    """What somebody else gave it is theirs; no upgrade of the platform changes it."""
    present = running(SMALL)
    other = msgspec.structs.replace(
        present.spec,
        containers=(Container(name="web", image="hello:1", resources=ResourceRequirements(requests={"cpu": "2"})),),
    )
    plan = decide(seen(of(SMALL), msgspec.structs.replace(present, spec=other)))
    assert not written(plan)


def test_a_pod_of_a_former_version_is_resized_and_carries_the_present_shape_then():
    """S-131: an earlier version counted amounts to the shape; no upgrade replaces a pod for that."""
    former = msgspec.structs.replace(SMALL, revision="v2cfa938f81483729")
    present = running(former, annotations={SHAPE: "v20123456789abcdef"})
    assert not [a for a in decide(seen(of(former), present)).actions if isinstance(a, Evict | Delete | Patch)]
    (update,) = written(decide(seen(of(LARGE, former), present)))
    notes = update.body["metadata"]["annotations"]
    assert notes[SHAPE] == pod(0, LARGE).metadata.annotations[SHAPE]
    assert pod_resize.recorded(applied(present, update)).resources["web"].requests["memory"] == "128Mi"
    assert IN_PLACE not in notes


def test_a_restart_that_waits_for_a_resize_is_carried_out_although_the_update_goes_back():
    """S-155: the record waits for the container to end, so its restart is not forgotten with the resize."""
    again = {"metadata": {"annotations": {CONTAINERS_RESTARTED_AT: '{"web":"2026-11-29T12:00:00+00:00"}'}}}
    template = {**LARGE.template, **again}
    wanted = Share(revision=template_hash.revision(template), template=template, replicas=1)
    (update,) = written(decide(seen(of(wanted), running(SMALL))))
    (back,) = written(decide(seen(of(SMALL), applied(running(SMALL), update))))
    assert back.body["spec"] == {"containers": [{"name": "web", "image": f"hello:1{DIGEST}"}]}
    ended = node_says(applied(applied(running(SMALL), update), back), allocated="64Mi", container_id="id-1")
    assert told(decide(seen(of(SMALL), ended)))["availableReplicas"] == 1


@pytest.mark.parametrize(
    "record",
    [
        '{"resources": {"platform-agent": {"limits": {"memory": "1Mi"}}}}',
        '{"images": {"platform-agent": "elsewhere/agent:1"}}',
        '{"resources": 7}',
        "[" * 10_000,
    ],
    ids=["amounts", "image", "another form", "deep"],
)
def test_a_record_that_somebody_else_wrote_reaches_no_container_of_the_platform(record: str):
    """The operator may change these, so whoever may write annotations in a project would have its rights."""
    made = running(SMALL, annotations={RESIZE: record})
    agent = Container(name="platform-agent", image="agent:1", restart_policy="Always")
    made = msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, init_containers=(agent,)))
    assert written(decide(seen(of(SMALL), made))) == []
    assert (pod_resize.resize_patch(made), in_place_update.held_images_patch(made)) == ({"spec": {}}, {})

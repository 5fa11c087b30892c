"""What a shard says of its pods, and why they are not ready: S-020, S-022."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from shard_builders import NOW, pod, seen, shard, share, with_status

from pincompute.api.builtin import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
)
from pincompute.api.conditions import Condition, find
from pincompute.api.labels import IN_PLACE
from pincompute.api.meta import Key
from pincompute.api.shards import PinAppShard, ShardStatus
from pincompute.engine.api_refusals import ApiRefusals
from pincompute.engine.error_classification import Outcome
from pincompute.engine.plan import Create, Replace
from pincompute.engine.worker import KeyTrouble
from pincompute.operator.replicas.replicas_controller import CONTROLLERS, decide
from pincompute.operator.replicas.shard_status import FIRST, PACE

V1 = share("hello:1")
V2 = share("hello:2")


def written(of: PinAppShard, *pods, now=NOW) -> dict | None:
    found = [a for a in decide(seen(of, *pods, now=now)).actions if isinstance(a, Replace) and a.subresource == "status"]
    return found[0].body["status"] if found else None


def status(of: PinAppShard, *pods) -> ShardStatus:
    return msgspec.convert(written(of, *pods), ShardStatus)


def test_a_healthy_shard():
    found = status(shard(V1, generation=4), pod(0, V1), pod(1, V1))
    assert (found.observed_generation, found.origin_generation) == (4, 5)
    assert (found.replicas, found.ready_replicas, found.available_replicas, found.updated_replicas) == (2, 2, 2, 2)
    assert found.message == ""
    assert [(c.type, c.status, c.reason) for c in found.conditions] == [
        ("Progressing", "False", "Settled"),
        ("Ready", "True", "AllReady"),
    ]


def test_nothing_is_written_when_nothing_changed():
    before = status(shard(V1), pod(0, V1), pod(1, V1))
    same = with_status(shard(V1), before)
    assert written(same, pod(0, V1), pod(1, V1)) is None
    assert written(same, pod(0, V1), pod(1, V1, up=False))["readyReplicas"] == 1


def test_a_shard_that_was_made_by_a_clock_ahead_of_ours_is_served_all_the_same():
    ahead = shard(V1)
    made = msgspec.structs.replace(ahead.metadata, creation_timestamp=NOW + timedelta(seconds=2))
    young = msgspec.structs.replace(ahead, metadata=made)
    assert [a for a in decide(seen(young)).actions if isinstance(a, Create)]


def test_transition_times_follow_the_status():
    """S-022."""
    before = with_status(shard(V1), status(shard(V1), pod(0, V1), pod(1, V1, up=False)))
    later = NOW + timedelta(minutes=1)
    after = msgspec.convert(
        written(before, pod(0, V1, up=False), pod(1, V1, up=False), now=later)["conditions"], tuple[Condition, ...]
    )
    assert find(after, "Ready").last_transition_time == NOW


def test_an_update_in_place_is_not_done_before_the_container_is_new():
    """S-020, S-153: the pod has the new revision, but the old container still answers."""
    record = {IN_PLACE: '{"web":{"id":"id-1","image":"hello:1"}}'}
    found = status(shard(V2), pod(0, V2), pod(1, V2, annotations=record))
    assert (found.updated_replicas, found.ready_replicas) == (1, 1)


def test_a_shard_that_was_born_a_moment_ago_says_nothing_while_its_pods_are_made():
    newborn = shard(V1, created=NOW - timedelta(seconds=1))
    assert written(newborn) is None
    assert written(shard(V1))["message"] == "2 of 2 replicas not ready; their pods do not exist yet"


def test_pods_that_are_starting_are_reported_late_and_readiness_and_trouble_at_once():
    """One write for a start that goes well; nobody waits for what is said in between."""
    moment = NOW - timedelta(seconds=1)
    new = shard(V1, created=moment)
    young = (pod(0, V1, up=False, created=moment), pod(1, V1, up=False, created=moment))
    plan = decide(seen(new, *young))
    assert written(new, *young) is None
    assert plan.wake_after is not None
    assert written(new, *young, now=moment + FIRST)["replicas"] == 2
    assert status(new, pod(0, V1, created=moment), pod(1, V1, created=moment)).ready_replicas == 2
    broken = pod(1, V1, status=container(waiting=ContainerStateWaiting(reason="ErrImagePull")), up=False, created=moment)
    assert "cannot pull" in status(new, young[0], broken).message


def test_more_ready_pods_of_many_are_reported_at_a_pace():
    moment = NOW - timedelta(seconds=1)
    new = shard(V1, created=moment)
    half = (pod(0, V1, created=moment), pod(1, V1, up=False, created=moment))
    assert written(new, *half) is None
    assert written(new, *half, now=moment + PACE)["readyReplicas"] == 1


def test_pods_that_are_lost_are_reported_at_once():
    whole = with_status(shard(V1, created=NOW), status(shard(V1), pod(0, V1), pod(1, V1)))
    assert status(whole, pod(0, V1), pod(1, V1, up=False)).ready_replicas == 1


def container(**facts) -> ContainerStatus:
    state = {name: facts.pop(name) for name in ("running", "waiting", "terminated") if name in facts}
    return ContainerStatus(name="web", image="hello:1", state=ContainerState(**state), **facts)


CRASHED = ContainerState(terminated=ContainerStateTerminated(exit_code=3, reason="Error", message="no database\n"))
CUT_OFF = ContainerState(terminated=ContainerStateTerminated(exit_code=255, reason="Unknown"))
KILLED = ContainerState(terminated=ContainerStateTerminated(exit_code=137, reason="OOMKilled"))
BACK_OFF = ContainerStateWaiting(reason="CrashLoopBackOff", message="back-off 10s restarting failed container")
UNSCHEDULABLE = Condition(
    type="PodScheduled",
    status="False",
    reason="Unschedulable",
    message="0/3 nodes are available: 3 Insufficient cpu. preemption: none.",
)
TROUBLES = {
    "image": (
        {"status": container(waiting=ContainerStateWaiting(reason="ImagePullBackOff", message="not found"))},
        "ImagePullBackOff",
        "cannot pull image hello:1 of container web: not found; check the image's name and tag, and the registry",
    ),
    "crash": (
        {"status": container(waiting=BACK_OFF, last_state=CRASHED, restart_count=4)},
        "CrashLoopBackOff",
        "container web ended with exit code 3 (Error: no database), restarts: 4; look at the logs of its last run",
    ),
    "node restarted": (
        {"status": container(waiting=BACK_OFF, last_state=CUT_OFF, restart_count=0)},
        "CrashLoopBackOff",
        "container web ended with its node, which restarted; it starts again, and there is nothing to do",
    ),
    "memory": (
        {"status": container(waiting=BACK_OFF, last_state=KILLED, restart_count=1)},
        "CrashLoopBackOff",
        "container web ended with exit code 137 (OOMKilled), restarts: 1; raise its memory limit",
    ),
    "configuration": (
        {
            "status": container(
                waiting=ContainerStateWaiting(reason="CreateContainerConfigError", message='secret "s" not found')
            )
        },
        "CreateContainerConfigError",
        'container web cannot be made: secret "s" not found; correct the template or what it refers to',
    ),
    "an image that starts as root": (
        {
            "status": container(
                waiting=ContainerStateWaiting(
                    reason="CreateContainerConfigError", message="container has runAsNonRoot and image will run as root"
                )
            )
        },
        "CreateContainerConfigError",
        (
            "container web cannot be made: container has runAsNonRoot and image will run as root; "
            "give the image a USER that is a number and not 0, or set securityContext.runAsUser in the template"
        ),
    ),
    "no node": (
        {"status": container(), "conditions": (UNSCHEDULABLE,)},
        "Unschedulable",
        "no node takes it: 0/3 nodes are available: 3 Insufficient cpu; ask for less, or add nodes",
    ),
    "probe": (
        {"status": container(running=ContainerStateRunning(started_at=NOW - timedelta(minutes=1)))},
        "ProbeFailing",
        "container web runs but its probe fails; check the probe's path and port, and the container's logs",
    ),
    "evicted a moment ago": (
        {"status": container(), "phase": "Failed", "reason": "Evicted", "message": "low on memory", "created": NOW},
        "Evicted",
        "pod ended: low on memory; it is replaced",
    ),
}


@pytest.mark.parametrize(("facts", "reason", "sentence"), TROUBLES.values(), ids=TROUBLES.keys())
def test_the_message_says_why_not_and_what_to_do(facts, reason, sentence):
    found = status(shard(V1), pod(0, V1), pod(1, V1, up=False, **facts))
    assert found.message == f"1 of 2 replicas not ready; hello-a1-1: {sentence}"
    assert find(found.conditions, "Ready").reason == reason


def test_a_pod_that_the_kubelet_has_not_summed_up_yet_is_starting():
    ready = container(ready=True, running=ContainerStateRunning(started_at=NOW - timedelta(minutes=1)))
    found = status(shard(V1), pod(0, V1), pod(1, V1, up=False, status=ready))
    assert found.message == "1 of 2 replicas not ready; pods are starting"


def test_an_update_that_is_stuck_says_so_although_enough_replicas_are_ready():
    broken = pod(2, V2, up=False, status=container(waiting=ContainerStateWaiting(reason="ErrImagePull", message="not found")))
    found = status(shard(V2), pod(0, V1), pod(1, V1), broken)
    assert found.ready_replicas == 2
    assert found.message.startswith(
        "the previous revision keeps serving; hello-a1-2: cannot pull image hello:2 of container web"
    )


def test_a_container_that_fails_tells_more_than_a_pod_that_waits():
    waits = pod(0, V1, up=False, status=container(), conditions=(UNSCHEDULABLE,))
    fails = pod(1, V1, up=False, status=container(waiting=BACK_OFF, last_state=CRASHED))
    assert find(status(shard(V1), waits, fails).conditions, "Ready").reason == "CrashLoopBackOff"


def test_a_container_that_started_a_moment_ago_is_given_time():
    starting = pod(1, V1, up=False, status=container(running=ContainerStateRunning(started_at=NOW - timedelta(seconds=4))))
    plan = decide(seen(shard(V1), pod(0, V1), starting))
    assert plan.wake_after == 26.0
    assert status(shard(V1), pod(0, V1), starting).message == "1 of 2 replicas not ready; pods are starting"


def test_a_refusal_by_the_api_server_tells_most():
    text = 'pods "hello-a1-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1'
    plan = decide(seen(shard(V1, created=NOW), pod(0, V1), refused=text))
    found = next(a for a in plan.actions if isinstance(a, Replace) and a.subresource == "status").body["status"]
    assert found["message"] == f"1 of 2 replicas not ready; more pods are refused: {text}; raise the quota or ask for less"


def test_refusals_are_kept_until_an_attempt_succeeds():
    refusals, card, key = ApiRefusals(), CONTROLLERS[0].card, Key("demo", "hello")
    refusals.note(card, key, KeyTrouble(Outcome.REFUSED, "POST /api/v1/namespaces/demo/pods on local: exceeded quota: one"))
    refusals.note(card, key, KeyTrouble(Outcome.REFUSED, "POST /api/v1/namespaces/demo/pods on local: exceeded quota: two"))
    assert refusals.of(card.name, key) == "exceeded quota: one"
    refusals.note(card, key, None)
    assert refusals.of(card.name, key) == ""

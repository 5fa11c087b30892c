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
from pincompute.api.labels import IN_PLACE, WORKLOAD
from pincompute.api.meta import Key
from pincompute.api.shards import PINAPPSHARDS, PinAppShard, ShardStatus
from pincompute.api.workloads import UnreadyCause
from pincompute.domain import unready_reason
from pincompute.domain.unready_reason import MOUNTED, UnreadyPods
from pincompute.engine.api_refusals import ApiRefusals
from pincompute.engine.error_classification import Outcome
from pincompute.engine.plan import Create, Replace
from pincompute.engine.worker import KeyTrouble
from pincompute.operator.replicas.replicas_controller import CONTROLLERS, controller_for, decide
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


def test_what_is_wrong_with_a_sidecar_of_the_platform_is_not_for_the_user_to_correct():
    waiting = ContainerStateWaiting(reason="ErrImagePull", message=NOT_FOUND)
    meter = ContainerStatus(name="platform-meter", image="hello:1", state=ContainerState(waiting=waiting))
    found = status(shard(V1), pod(0, V1, status=meter, up=False), pod(1, V1))
    assert found.message.endswith("; sidecar meter is the platform's: ask an administrator to correct it")


def test_a_report_of_the_former_image_is_no_failure_of_the_present_one():
    text = f'Back-off pulling image "helo:1": ErrImagePull: {NOT_FOUND.replace("hello", "helo")}'
    found = status(shard(V1), pod(0, V1, up=False, **pulling("ImagePullBackOff", text)), pod(1, V1))
    assert not [cause for cause in found.causes if cause.final]


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
    assert written(shard(V1))["message"] == "its replicas do not exist yet"


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
    assert "cannot be pulled" in status(new, young[0], broken).message


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


RAN = {"started_at": NOW - timedelta(seconds=32), "finished_at": NOW - timedelta(seconds=30)}
LONG = {"started_at": NOW - timedelta(days=3), "finished_at": NOW}
CRASHED = ContainerState(terminated=ContainerStateTerminated(exit_code=3, reason="Error", message="no database\n", **RAN))
CRASHED_LATE = ContainerState(terminated=ContainerStateTerminated(exit_code=3, reason="Error", **LONG))
CUT_OFF = ContainerState(terminated=ContainerStateTerminated(exit_code=255, reason="Unknown"))
DONE = ContainerState(terminated=ContainerStateTerminated(exit_code=0, reason="Completed", **RAN))
KILLED = ContainerState(terminated=ContainerStateTerminated(exit_code=137, reason="OOMKilled", **RAN))
BACK_OFF = ContainerStateWaiting(reason="CrashLoopBackOff", message="back-off 10s restarting failed container")
UNSCHEDULABLE = Condition(
    type="PodScheduled",
    status="False",
    reason="Unschedulable",
    message="0/3 nodes are available: 3 Insufficient cpu. preemption: none.",
)
CRASHED_SOON = ContainerState(terminated=ContainerStateTerminated(exit_code=3, reason="Error", **RAN))
LAST_LINES = "`pin logs hello --previous` shows what it wrote last"


def pulling(reason: str, message: str) -> dict:
    return {"status": container(waiting=ContainerStateWaiting(reason=reason, message=message))}


NOT_FOUND = (
    'rpc error: code = NotFound desc = failed to pull and unpack image "hello:1": failed to resolve image: hello:1: not found'
)
LOOKUP = (
    'failed to pull and unpack image "docker.io/library/hello:1": failed to resolve image: failed to do request: Head '
    '"https://r.x/v2": dial tcp: lookup r.x on 10.255.255.53:53: read udp 10.64.0.10:{port}->10.255.255.53:53: read: '
    "connection refused"
)
NO_PROGRAM = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to "
    'start container process: error during container init: exec: "/bin/x": stat /bin/x: no such file or directory'
)
PULLED_NOT = (
    "image hello:1 of container web cannot be pulled: registry docker.io says not found; a name without a registry means "
    "docker.io/library/hello:1: name the registry, as in registry.internal/PROJECT/hello:1"
)
TROUBLES = {
    "an image that does not exist": (pulling("ErrImagePull", NOT_FOUND), "ErrImagePull", PULLED_NOT, True),
    "the same between two attempts": (
        pulling("ImagePullBackOff", f'Back-off pulling image "hello:1": ErrImagePull: {NOT_FOUND}'),
        "ErrImagePull",
        PULLED_NOT,
        True,
    ),
    "an image that needs a login": (
        pulling("ErrImagePull", "failed to authorize: 401 Unauthorized"),
        "ErrImagePull",
        (
            "image hello:1 of container web cannot be pulled: registry docker.io asks for credentials (401); give the "
            "project its login with `pin registry login docker.io`"
        ),
        True,
    ),
    "an image for another processor": (
        pulling("ErrImagePull", "no match for platform in manifest: not found"),
        "ErrImagePull",
        (
            "image hello:1 of container web cannot be pulled: it has no variant for the architecture of the nodes; build it "
            "for the platform of the nodes"
        ),
        True,
    ),
    "crash": (
        {"status": container(waiting=BACK_OFF, last_state=CRASHED, restart_count=4)},
        "CrashLoopBackOff",
        f"container web ended with exit code 3 (no database); {LAST_LINES}",
        True,
    ),
    "the first crash": (
        {"status": container(terminated=CRASHED.terminated)},
        "CrashLoopBackOff",
        f"container web ended with exit code 3 (no database); {LAST_LINES}",
        False,
    ),
    "between two crashes": (
        {
            "status": container(
                running=ContainerStateRunning(started_at=NOW - timedelta(seconds=5)), last_state=CRASHED_SOON, restart_count=2
            )
        },
        "CrashLoopBackOff",
        f"container web ended with exit code 3; {LAST_LINES}",
        True,
    ),
    "the end of a service": (
        {"status": container(waiting=BACK_OFF, last_state=DONE, restart_count=2)},
        "CrashLoopBackOff",
        (
            "container web ended with exit code 0; an app keeps running: start the server in the foreground, or deploy a unit "
            "with `restartPolicy: Never` for work that ends"
        ),
        True,
    ),
    "node restarted": (
        {"status": container(waiting=BACK_OFF, last_state=CUT_OFF, restart_count=0)},
        "NodeRestarted",
        "container web ended with its node, which restarted; it starts again by itself",
        False,
    ),
    "memory": (
        {"status": container(waiting=BACK_OFF, last_state=KILLED, restart_count=1)},
        "CrashLoopBackOff",
        "container web ended with exit code 137 (out of memory); raise resources.memory, or let the program use less",
        True,
    ),
    "a command that does not exist": (
        pulling("RunContainerError", NO_PROGRAM),
        "StartError",
        (
            "container web cannot start: command /bin/x: no such file or directory; name a program that the image has, or "
            "leave `command` out"
        ),
        True,
    ),
    "a secret that does not exist": (
        pulling("CreateContainerConfigError", 'secret "s" not found'),
        "CreateContainerConfigError",
        "container web needs secret s, which does not exist in the project; create the secret, or correct its name",
        True,
    ),
    "a key that does not exist": (
        pulling("CreateContainerConfigError", "couldn't find key password in Secret demo/db"),
        "CreateContainerConfigError",
        (
            "container web needs key password of secret db, which does not have that key; add the key to the secret, or "
            "correct the name of the key"
        ),
        True,
    ),
    "an image that starts as root": (
        pulling(
            "CreateContainerConfigError",
            'container has runAsNonRoot and image will run as root (pod: "web-a1-0_demo(ffec0aea)", container: web)',
        ),
        "CreateContainerConfigError",
        (
            "container web cannot start: container has runAsNonRoot and image will run as root; "
            "give the image a USER that is a number and not 0, or set runAsUser in advanced.template.spec.securityContext"
        ),
        True,
    ),
    "no node": (
        {"status": container(), "conditions": (UNSCHEDULABLE,)},
        "Unschedulable",
        "no node takes it: 0/3 nodes are available: 3 Insufficient cpu; ask for less, or add nodes",
        False,
    ),
    "probe": (
        {"status": container(running=ContainerStateRunning(started_at=NOW - timedelta(minutes=1)))},
        "ProbeFailing",
        "container web runs, but its health check fails; check its port and path",
        False,
    ),
    "evicted a moment ago": (
        {"status": container(), "phase": "Failed", "reason": "Evicted", "message": "low on memory", "created": NOW},
        "Evicted",
        "a replica was evicted: low on memory; it is replaced",
        False,
    ),
    "evicted for what it wrote": (
        {
            "status": container(),
            "phase": "Failed",
            "reason": "Evicted",
            "message": 'Container web exceeded its local ephemeral storage limit "1Gi". ',
            "created": NOW,
        },
        "Evicted",
        (
            "a replica was evicted: container web wrote more than 1Gi, its limit of ephemeral storage: raise "
            "resources.limits.storage, write less, or write to a volume that is not on the node; it is replaced"
        ),
        False,
    ),
}


@pytest.mark.parametrize(("facts", "reason", "sentence", "final"), TROUBLES.values(), ids=TROUBLES.keys())
def test_the_message_says_why_not_and_what_to_do(facts, reason, sentence, final):
    found = status(shard(V1), pod(0, V1), pod(1, V1, up=False, **facts))
    assert found.message == sentence
    assert find(found.conditions, "Ready").reason == reason
    assert found.causes == (UnreadyCause(reason=reason, message=sentence, revision=V1.revision, final=final),)


SLEPT = {"start_time": NOW - timedelta(days=4)}
LATER_BACK_OFF = ContainerStateWaiting(reason="CrashLoopBackOff", message="back-off 20s restarting failed container=web")
LOOPS = {
    "the second end of what ran for days": ({"terminated": CRASHED_LATE.terminated, "restart_count": 1}, False),
    "the same while it waits": ({"waiting": BACK_OFF, "last_state": CRASHED_LATE, "restart_count": 1}, False),
    "one short run after days": (
        {"terminated": CRASHED.terminated, "last_state": CRASHED_LATE, "restart_count": 1},
        False,
    ),
    "the same while it waits for the first time": ({"waiting": BACK_OFF, "last_state": CRASHED, "restart_count": 2}, False),
    "the same while it waits again": ({"waiting": LATER_BACK_OFF, "last_state": CRASHED, "restart_count": 2}, True),
    "it runs again after its first end": (
        {"running": ContainerStateRunning(started_at=NOW), "last_state": CRASHED_SOON, "restart_count": 1},
        False,
    ),
    "two short runs": ({"terminated": CRASHED.terminated, "last_state": CRASHED_SOON, "restart_count": 1}, True),
}


@pytest.mark.parametrize(("facts", "final"), LOOPS.values(), ids=LOOPS.keys())
def test_a_crash_is_final_after_several_short_runs_in_a_row(facts, final):
    found = status(shard(V1), pod(0, V1), pod(1, V1, up=False, status=container(**facts), **SLEPT))
    assert [(cause.reason, cause.final) for cause in found.causes] == [("CrashLoopBackOff", final)]


MAKING = ContainerStateWaiting(reason="ContainerCreating")
TEMPLATE = {
    "spec": {
        "containers": [{"name": "web", "image": "hello:1", "livenessProbe": {"tcpSocket": {"port": 80}}}],
        "volumes": [{"name": "v", "secret": {"secretName": "db"}}],
    }
}


@pytest.mark.parametrize(("mounted", "causes"), [("True", []), ("False", [("FailedMount", False)])])
def test_what_pulls_an_image_for_long_is_not_taken_for_a_missing_secret(mounted, causes):
    since = NOW - timedelta(seconds=MOUNTED + 1)
    conditions = (Condition(type="PodReadyToStartContainers", status=mounted),)
    broken = pod(0, V1, status=container(waiting=MAKING), up=False, start_time=since, conditions=conditions)
    found = unready_reason.find(UnreadyPods([broken], {broken.metadata.name}, {V1.revision: TEMPLATE}), NOW)
    assert [(cause.reason, cause.final) for cause in unready_reason.causes(found)] == causes


@pytest.mark.parametrize(("ran", "said"), [(2, "an app keeps running"), (40, "a check that restarts it")])
def test_what_ends_before_its_check_can_have_failed_has_ended_by_itself(ran, said):
    how = ContainerStateTerminated(exit_code=0, reason="Completed", started_at=NOW - timedelta(seconds=ran), finished_at=NOW)
    broken = pod(0, V1, status=container(terminated=how), up=False)
    found = unready_reason.find(UnreadyPods([broken], {broken.metadata.name}, {V1.revision: TEMPLATE}), NOW)
    assert said in found[0].message


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("Always", "container web ended with exit code 0; a unit starts again when it ends: write `restartPolicy: Never`"),
        ("Never", ""),
    ],
)
def test_a_unit_that_ends_well_is_told_how_it_stays_ended(policy, said):
    """It was told to become a unit, which it is."""
    ended = pod(0, V1, status=container(terminated=DONE.terminated), up=False)
    named = msgspec.structs.replace(ended.metadata, labels={**ended.metadata.labels, WORKLOAD: "PinPod"})
    of_unit = msgspec.structs.replace(ended, metadata=named)
    template = {"spec": {"restartPolicy": policy, "containers": []}}
    found = unready_reason.causes(
        unready_reason.find(UnreadyPods([of_unit], {of_unit.metadata.name}, {V1.revision: template}), NOW)
    )
    assert [cause.message.startswith(said) for cause in found] == ([True] if said else [])


def test_what_a_registry_answers_is_the_same_at_every_attempt():
    """The kubelet names another port each time, and nobody may write a status for that."""
    first, second = (
        status(shard(V1), pod(0, V1, up=False, **pulling("ErrImagePull", LOOKUP.format(port=port)))) for port in (41000, 41001)
    )
    assert first.causes == second.causes
    assert "registry docker.io cannot be reached (its name cannot be resolved)" in first.message
    assert not first.causes[0].final


AGO = {"a moment": timedelta(seconds=4), "long": timedelta(seconds=31)}


@pytest.mark.parametrize(
    ("started", "stopped", "lasting", "wakes"),
    [
        ("a moment", None, False, 26.0),
        ("long", None, True, None),
        ("long", "a moment", False, 26.0),  # an update in place
        ("long", "long", True, None),
    ],
)
def test_a_registry_that_cannot_be_reached_may_come_back_within_a_while(started, stopped, lasting, wakes):
    away = pulling("ErrImagePull", LOOKUP.format(port=41000))
    down = [Condition(type="ContainersReady", status="False", last_transition_time=NOW - AGO[stopped])] if stopped else []
    broken = pod(1, V1, up=False, start_time=NOW - AGO[started], conditions=down, **away)
    (cause,) = status(shard(V1), pod(0, V1), broken).causes
    assert (cause.reason, cause.final, cause.lasting) == ("RegistryUnavailable", False, lasting)
    assert decide(seen(shard(V1), pod(0, V1), broken)).wake_after == wakes


def test_pods_with_the_same_cause_are_one_cause():
    broken = [pod(n, V1, up=False, **pulling("ErrImagePull", NOT_FOUND)) for n in range(2)]
    assert [cause.replicas for cause in status(shard(V1), *broken).causes] == [2]


def test_a_container_that_crashed_a_moment_ago_does_not_count_as_ready_while_it_runs_again():
    running = ContainerStateRunning(started_at=NOW - timedelta(seconds=4))
    back = pod(1, V1, status=container(running=running, last_state=CRASHED_SOON, restart_count=2, ready=True))
    plan = decide(seen(shard(V1), pod(0, V1), back))
    assert plan.wake_after == 6.0
    found = status(shard(V1), pod(0, V1), back)
    assert (found.ready_replicas, found.causes[0].reason) == (1, "CrashLoopBackOff")
    assert (
        msgspec.convert(written(shard(V1), pod(0, V1), back, now=NOW + timedelta(seconds=6)), ShardStatus).ready_replicas == 2
    )


def test_a_container_that_an_update_in_place_replaced_has_not_crashed():
    ended = ContainerState(terminated=ContainerStateTerminated(exit_code=143, container_id="id-old", **RAN))
    running = ContainerStateRunning(started_at=NOW - timedelta(seconds=4))
    updated = pod(
        1,
        V1,
        status=container(running=running, last_state=ended, restart_count=1, ready=True),
        annotations={IN_PLACE: '{"web":{"id":"id-old","image":"hello:0"}}'},
    )
    assert status(shard(V1), pod(0, V1), updated).ready_replicas == 2


def test_what_the_kubelet_says_of_the_former_spec_is_no_cause():
    broken = pod(1, V1, up=False, **pulling("ErrImagePull", NOT_FOUND))
    behind = msgspec.structs.replace(
        broken,
        metadata=msgspec.structs.replace(broken.metadata, generation=2),
        status=msgspec.structs.replace(broken.status, observed_generation=1),
    )
    assert status(shard(V1), pod(0, V1), behind).causes == ()


def test_a_pod_that_the_kubelet_has_not_summed_up_yet_is_starting():
    ready = container(ready=True, running=ContainerStateRunning(started_at=NOW - timedelta(minutes=1)))
    found = status(shard(V1), pod(0, V1), pod(1, V1, up=False, status=ready))
    assert found.message == "replicas are starting"


def test_an_update_that_is_stuck_says_so_although_enough_replicas_are_ready():
    broken = pod(2, V2, up=False, status=container(waiting=ContainerStateWaiting(reason="ErrImagePull", message="not found")))
    found = status(shard(V2), pod(0, V1), pod(1, V1), broken)
    assert found.ready_replicas == 2
    assert found.message.startswith("image hello:2 of container web cannot be pulled")


def test_a_container_that_fails_tells_more_than_a_pod_that_waits():
    waits = pod(0, V1, up=False, status=container(), conditions=(UNSCHEDULABLE,))
    fails = pod(1, V1, up=False, status=container(waiting=BACK_OFF, last_state=CRASHED))
    assert find(status(shard(V1), waits, fails).conditions, "Ready").reason == "CrashLoopBackOff"


def test_a_container_that_started_a_moment_ago_is_given_time():
    starting = pod(1, V1, up=False, status=container(running=ContainerStateRunning(started_at=NOW - timedelta(seconds=4))))
    plan = decide(seen(shard(V1), pod(0, V1), starting))
    assert plan.wake_after == 26.0
    assert status(shard(V1), pod(0, V1), starting).message == "replicas are starting"


def test_a_refusal_by_the_api_server_tells_most():
    text = 'pods "hello-a1-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1'
    plan = decide(seen(shard(V1, created=NOW), pod(0, V1), refused=text))
    found = next(a for a in plan.actions if isinstance(a, Replace) and a.subresource == "status").body["status"]
    why = "exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1"
    assert found["message"] == f"more replicas are refused: {why}; raise the quota or ask for less"
    assert found["causes"][0]["final"]


def test_a_refusal_by_the_projects_own_quota_names_its_limits():
    text = 'pods "hello-a1-1" is forbidden: exceeded quota: pincompute-pods, requested: pods=1, used: pods=6, limited: pods=6'
    plan = decide(seen(shard(V1, created=NOW), pod(0, V1), refused=text))
    found = next(a for a in plan.actions if isinstance(a, Replace) and a.subresource == "status").body["status"]
    assert "3 times the project's limits" in found["message"]
    assert "pin admin limits" in found["message"]


PODS_URL = "POST /api/v1/namespaces/demo/pods on local: "


def test_refusals_are_kept_until_an_attempt_succeeds():
    refusals, card, key = ApiRefusals(), CONTROLLERS[0].card, Key("demo", "hello")
    refusals.note(card, key, KeyTrouble(Outcome.REFUSED, f"{PODS_URL}exceeded quota: 1"))
    refusals.note(card, key, KeyTrouble(Outcome.REFUSED, f"{PODS_URL}exceeded quota: 2"))
    assert refusals.of(card.name, key, ()) == "exceeded quota: 1", "refusals that differ in numbers cause no write"
    refusals.note(card, key, KeyTrouble(Outcome.REFUSED, f"{PODS_URL}violates PodSecurity"))
    assert refusals.of(card.name, key, ()) == "violates PodSecurity"
    refusals.note(card, key, None)
    assert refusals.of(card.name, key, ()) == ""


def test_a_refusal_of_a_former_revision_says_nothing_about_the_present_one():
    refusals = ApiRefusals()
    controller = controller_for(PINAPPSHARDS, refusals)
    (create,) = [a for a in decide(seen(shard(V1, created=NOW))).actions if isinstance(a, Create)][:1]
    version = controller.card.version_of(create)
    refusals.note(controller.card, Key("demo", "hello"), KeyTrouble(Outcome.REFUSED, f"{PODS_URL}privileged", version))
    assert version == V1.revision
    assert refusals.of(controller.card.name, Key("demo", "hello"), {V1.revision}) == "privileged"
    assert refusals.of(controller.card.name, Key("demo", "hello"), {V2.revision}) == ""


@pytest.mark.parametrize(("name", "left"), [("metrics", 7.0), ("platform-metrics", 0.0)])
def test_a_pod_whose_sidecar_crashed_a_moment_ago_is_not_trusted_yet(name: str, left: float) -> None:
    """A sidecar that crashes again and again runs in between, and the status would flip. A fleet judges the platform's own."""
    began, ended = NOW - timedelta(seconds=5), NOW - timedelta(seconds=4)
    how = ContainerStateTerminated(exit_code=2, reason="Error", started_at=began, finished_at=ended)
    crash = ContainerState(terminated=how)
    running = ContainerState(running=ContainerStateRunning(started_at=NOW - timedelta(seconds=3)))
    sidecar = ContainerStatus(name=name, ready=True, restart_count=2, state=running, last_state=crash)
    up = pod(0, V1)
    found = msgspec.structs.replace(up, status=msgspec.structs.replace(up.status, init_container_statuses=(sidecar,)))
    assert unready_reason.steady_after(found, NOW) == left
    assert unready_reason.steady_after(up, NOW) == 0.0

"""Replicas are out of traffic while their containers restart in place: S-152, S-154, S-155, S-158, S-165."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from shard_builders import LONG_AGO, NOW, PULLED, pod, pulling, seen, shard, share

from pincompute.api.builtin import Container, ContainerStatus, Pod
from pincompute.api.conditions import Condition
from pincompute.api.labels import IN_PLACE, IN_PLACE_READY, RESIZE, RESTART_REQUEST
from pincompute.api.shards import PINPODSHARDS, PinPodShard, Share
from pincompute.domain import shard_pods, unready_reason
from pincompute.domain.shard_pods import PodMetadata
from pincompute.domain.unready_reason import UnreadyPods
from pincompute.engine.plan import Patch, Plan, Replace
from pincompute.operator.replicas import replicas_controller

OLD, NEW, NEWER = share("hello:1", 1), share("hello:2", 1), share("hello:3", 1)
DIGEST = "@sha256:" + "a" * 64
REQUEST = f'[{{"id":"r","by":"ann","at":"{NOW.isoformat()}","container":"web"}}]'


def gate(status: Any, ago: float = 60.0) -> Condition:
    return Condition(type=IN_PLACE_READY, status=status, last_transition_time=NOW - timedelta(seconds=ago))


def replica(
    of: Share = OLD, *conditions: Condition, number: int = 0, up: bool = True, follows: float | None = 0.0, **more: Any
) -> Pod:
    """`follows`: seconds in which the kubelet has reported the gate that is closed; None: it has not yet."""
    status = ContainerStatus(name="web", image_id=f"hello{DIGEST}", container_id=f"id-{number}", ready=up)
    closed = next((c.last_transition_time for c in conditions if c.status == "False" and c.last_transition_time), None)
    since = closed + timedelta(seconds=follows) if closed is not None and follows is not None else more.pop("since", LONG_AGO)
    ready = up and (closed is None or follows is None)
    return pod(number, of, up=ready, since=since, status=status, conditions=conditions, gated=True, **more)


def resized(restarting: str, *conditions: Condition) -> Pod:
    """A pod that is to have more memory, and whose container restarts for it where its id is given."""
    record = {"resources": {"web": {"requests": {"memory": "128Mi"}}}, "restarting": {"web": restarting} if restarting else {}}
    return replica(NEW, *conditions, annotations={RESIZE: msgspec.json.encode(record).decode()})


def decided(*pods: Pod, mix: tuple[Share, ...] = (NEW,), pulls: tuple[Share, ...] = (NEW, NEWER), **spec: Any) -> Plan:
    """The plan for a shard whose nodes have the images of `pulls`."""
    there = tuple(pulling(each, PULLED) for each in pulls)
    return replicas_controller.decide(seen(shard(*mix, **spec), *pods, pulls=there))


def told(plan: Plan) -> list[tuple[str, str]]:
    """What happens to the pods: in or out of traffic, or a container restarts, or neither."""
    found: list[tuple[str, str]] = []
    for action in plan.actions:
        if isinstance(action, Patch):
            status = action.body.get("status", {}).get("conditions", [{}])[0].get("status")
            what = {"True": "in", "False": "out"}.get(status, "restarts" if "spec" in action.body else "changes")
            what = "resizes" if action.subresource == "resize" else what
            found.append((action.ref.key.name.removeprefix("hello-a1-"), what))
    return found


def test_a_pod_gets_traffic_as_soon_as_it_has_a_node() -> None:
    waiting = replica(OLD, number=1, node="", up=False, phase="Pending")
    plan = decided(replica(OLD, up=False), waiting, mix=(share("hello:1", 2),))
    assert told(plan) == [("0", "in")]


CHANGES: dict[str, tuple[Pod, dict[str, Any], list[tuple[str, str]], float | None]] = {
    "in traffic": (replica(OLD, gate("True")), {}, [("0", "out")], None),
    "drains": (replica(OLD, gate("False", 1)), {}, [], 2.0),
    "has drained": (replica(OLD, gate("False", 3)), {}, [("0", "restarts")], None),
    "its kubelet has not seen the gate": (replica(OLD, gate("False", 60), follows=None), {}, [], 3.0),
    "its kubelet saw the gate late": (replica(OLD, gate("False", 60), follows=58), {}, [], 1.0),
    "a clock that is ahead": (replica(OLD, gate("False", -3600)), {}, [], 3.0),
    "no time to drain": (replica(OLD, gate("False", 0)), {"connection_drain_seconds": 0}, [("0", "restarts")], None),
    "its health check failed a moment ago": (replica(OLD, gate("False", 0), up=False), {}, [], 3.0),
    "it has served nobody for a while": (
        replica(OLD, gate("False", 0), up=False, follows=-60),
        {},
        [("0", "restarts")],
        None,
    ),
    "it was never in traffic, and its container ends": (
        replica(NEW, annotations={IN_PLACE: '{"web":{"id":"id-0","image":"hello:1"}}'}),
        {},
        [],
        None,
    ),
    "without the gate": (pod(0, OLD), {}, [("0", "restarts")], None),
    "its image is still to be pulled": (replica(OLD, gate("True")), {"pulls": ()}, [], None),
    "back: paused while it drains": (replica(OLD, gate("False", 1)), {"paused": True}, [("0", "in")], None),
    "back: a rollback while it drains": (replica(OLD, gate("False", 1)), {"mix": (OLD,)}, [("0", "in")], None),
    "back: another image is to be pulled": (
        replica(OLD, gate("False", 1)),
        {"mix": (NEWER,), "pulls": (NEW,)},
        [("0", "in")],
        None,
    ),
    "another image that its node has": (replica(OLD, gate("False", 1)), {"mix": (NEWER,)}, [], 2.0),
    "the former container still runs": (
        replica(NEW, gate("False"), annotations={IN_PLACE: '{"web":{"id":"id-0","image":"hello:1"}}'}),
        {},
        [],
        None,
    ),
    "the new container is not ready": (
        replica(NEW, gate("False"), up=False, annotations={IN_PLACE: '{"web":{"id":"id-9","image":"hello:1"}}'}),
        {},
        [],
        None,
    ),
    "back: the new container is ready": (
        replica(NEW, gate("False"), annotations={IN_PLACE: '{"web":{"id":"id-9","image":"hello:1"}}'}),
        {},
        [("0", "in")],
        None,
    ),
    "a resize that restarts its container": (resized("id-0", gate("True")), {}, [("0", "out")], None),
    "a resize that restarts its container, drained": (resized("id-0", gate("False")), {}, [("0", "resizes")], None),
    "a resize that restarts nothing": (resized("", gate("True")), {}, [("0", "resizes")], None),
    "a restart by request": (
        replica(NEW, gate("True"), annotations={RESTART_REQUEST: REQUEST}),
        {},
        [("0", "out")],
        None,
    ),
    "a restart by request, drained": (
        replica(NEW, gate("False"), annotations={RESTART_REQUEST: REQUEST}),
        {},
        [("0", "restarts")],
        None,
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_happens_to_a_pod(case: str) -> None:
    before, spec, expected, wake = CHANGES[case]
    plan = decided(before, **spec)
    assert told(plan) == expected
    if wake is not None:
        assert plan.wake_after == wake


def test_the_request_stays_until_it_is_carried_out_and_its_container_has_ended() -> None:
    asked = replica(NEW, gate("False"), annotations={RESTART_REQUEST: REQUEST})
    (patch,) = [action for action in decided(asked).actions if isinstance(action, Patch)]
    notes = {name: text for name, text in patch.body["metadata"]["annotations"].items() if text}
    image = patch.body["spec"]["containers"][0]["image"]
    metadata = msgspec.structs.replace(asked.metadata, annotations=asked.metadata.annotations | notes | {RESTART_REQUEST: ""})
    spec = msgspec.structs.replace(asked.spec, containers=(Container(name="web", image=image),))
    after = msgspec.structs.replace(asked, metadata=metadata, spec=spec)
    assert told(decided(after)) == [], "the container that ends still runs"
    (status,) = after.status.container_statuses
    new = msgspec.structs.replace(status, container_id="id-new")
    again = msgspec.structs.replace(after, status=msgspec.structs.replace(after.status, container_statuses=(new,)))
    assert told(decided(again)) == [("0", "in")]


def test_pods_that_drain_use_up_the_budget() -> None:
    mix = (share("hello:2", 3),)
    pods = [replica(OLD, gate("False", 1)), *(replica(OLD, gate("True"), number=number) for number in (1, 2))]
    plan = decided(*pods, mix=mix)
    assert told(plan) == []
    (report,) = [action for action in plan.actions if isinstance(action, Replace) and action.subresource == "status"]
    assert report.body["status"]["readyReplicas"] == 2


def test_a_pod_that_drains_is_ours_and_no_failure() -> None:
    drains = replica(OLD, gate("False", 1))
    closed = Condition(
        type="Ready", status="False", last_transition_time=LONG_AGO, reason="ReadinessGatesNotReady", message="m"
    )
    for conditions in ((closed, gate("False", 1)), drains.status.conditions):
        made = msgspec.structs.replace(drains, status=msgspec.structs.replace(drains.status, conditions=conditions))
        (found,) = unready_reason.find(UnreadyPods((made,), {"hello-a1-0"}), NOW)
        assert found.message == "replicas are taken out of traffic for an update or restart in place"
        assert not unready_reason.causes([found])


@pytest.mark.parametrize(("resource", "gated"), [(None, True), (PINPODSHARDS, False)], ids=["replicas", "a single pod"])
def test_pods_of_kinds_that_scale_have_the_gate_whatever_their_revision_says(resource: Any, gated: bool) -> None:
    of = share("hello:1", 1, ports=[{"containerPort": 80}])
    made = shard(of)
    if resource is not None:
        made = PinPodShard(metadata=made.metadata, spec=made.spec)
    rendered = shard_pods.render(resource or replicas_controller.KINDS[0].shard, made, of, PodMetadata({}, {}), "p")
    assert ("readinessGates" in rendered["spec"]) is gated
    assert "readinessGates" not in of.template["spec"]

"""The readiness gate that takes a replica out of traffic while a container of it restarts in place: S-152, S-165."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pincompute.api.builtin import Container, ContainerStatus, Pod, PodSpec, PodStatus, ReadinessGate
from pincompute.api.conditions import Condition, ConditionStatus
from pincompute.api.labels import IN_PLACE_READY
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.domain import shard_pods, traffic_gate

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
OURS = {"conditionType": IN_PLACE_READY}
THEIRS = {"conditionType": "example.com/warm"}
LISTENS = {"name": "web", "ports": [{"containerPort": 80}]}
SILENT = {"name": "web"}
GATES: dict[str, tuple[Manifest, list[Manifest]]] = {
    "a container listens": ({"containers": [SILENT, LISTENS]}, [OURS]),
    "nothing listens": ({"containers": [SILENT]}, []),
    "it declares no port": ({"containers": [{"name": "web", "ports": []}]}, []),
    "a sidecar listens": ({"containers": [SILENT], "initContainers": [{**LISTENS, "restartPolicy": "Always"}]}, [OURS]),
    "an init container has ended long ago": ({"containers": [SILENT], "initContainers": [LISTENS]}, []),
    "the user has gates": ({"containers": [LISTENS], "readinessGates": [THEIRS]}, [THEIRS, OURS]),
    "the user has gates and no port": ({"containers": [SILENT], "readinessGates": [THEIRS]}, [THEIRS]),
    "the user wrote ours": ({"containers": [LISTENS], "readinessGates": [OURS, THEIRS]}, [THEIRS, OURS]),
    "the user wrote ours without a port": ({"containers": [SILENT], "readinessGates": [OURS]}, []),
}


@pytest.mark.parametrize("case", GATES)
def test_only_pods_that_listen_have_the_gate(case: str) -> None:
    spec, gates = GATES[case]
    assert list(traffic_gate.gates(spec)) == gates


def pod(status: ConditionStatus | None = None, *, gated: bool = True, ready: bool = True, ago: float = 0.0, **more: Any) -> Pod:
    """`status`: of the condition, since `ago` seconds. `told`: seconds since the kubelet reports it as not ready, None
    while it says Ready.
    """
    since = NOW - timedelta(seconds=ago)
    ours = (Condition(type=IN_PLACE_READY, status=status, last_transition_time=since),) if status else ()
    told: float | None = more.get("told")
    moved = NOW - (timedelta(hours=1) if told is None else timedelta(seconds=told))
    up = Condition(type="Ready", status="True" if told is None else "False", last_transition_time=moved)
    return Pod(
        metadata=ObjectMeta(name="p", generation=more.get("generation", 1)),
        spec=PodSpec(
            readiness_gates=(ReadinessGate(condition_type=IN_PLACE_READY),) if gated else (),
            containers=(Container(name="web"),),
            init_containers=more.get("init", ()),
        ),
        status=PodStatus(
            conditions=(up, *ours),
            container_statuses=(ContainerStatus(name="web", ready=ready),),
            init_container_statuses=more.get("init_statuses", ()),
            observed_generation=more.get("observed", 0),
        ),
    )


@pytest.mark.parametrize(
    ("of", "states"),
    [
        (pod(), (True, False, False)),
        (pod("True"), (False, True, False)),
        (pod("False"), (False, False, True)),
        (pod("Unknown"), (False, False, True)),
        (pod(gated=False), (False, False, False)),
        (pod("False", gated=False), (False, False, False)),
    ],
    ids=["new", "in", "out", "nobody knows", "of a former version", "without the gate"],
)
def test_a_pod_is_new_in_traffic_or_out_of_it(of: Pod, states: tuple[bool, bool, bool]) -> None:
    assert (traffic_gate.is_new(of), traffic_gate.is_in(of), traffic_gate.is_out(of)) == states
    assert (shard_pods.ready_since(of) is None) is states[2], "whatever its kubelet still says"


SIDECAR = Container(name="proxy", restart_policy="Always")
SETUP = Container(name="setup")


@pytest.mark.parametrize(
    ("of", "ready"),
    [
        (pod(), True),
        (pod(ready=False), False),
        (pod(init=(SIDECAR,), init_statuses=(ContainerStatus(name="proxy", ready=True),)), True),
        (pod(init=(SIDECAR,), init_statuses=(ContainerStatus(name="proxy"),)), False),
        (pod(init=(SIDECAR,)), False),
        (pod(init=(SETUP,), init_statuses=(ContainerStatus(name="setup"),)), True),
        (pod(generation=3, observed=2), False),
        (pod(generation=3, observed=3), True),
    ],
    ids=["yes", "a container", "a sidecar", "its sidecar", "no report", "an init container", "of before", "of now"],
)
def test_a_pod_is_ready_by_itself(of: Pod, ready: bool) -> None:
    assert traffic_gate.is_ready_by_itself(of) is ready


@pytest.mark.parametrize(
    ("of", "seconds", "left"),
    [
        (pod("False", ago=0), 5, 5.0),
        (pod("False", ago=900), 5, 5.0),
        (pod("False", ago=900, told=2), 5, 3.0),
        (pod("False", ago=900, told=5), 5, 0.0),
        (pod("False", ago=900, told=900), 5, 0.0),
        (pod("False", ago=0), 0, 0.0),
        (pod("False", ago=0, ready=False, told=1), 5, 4.0),
        (pod("False", ago=0, told=-3600), 5, 5.0),
        (pod(), 5, 0.0),
    ],
    ids=[
        "just now",
        "unseen",
        "a while",
        "long enough",
        "long ago",
        "no time",
        "a check failed",
        "clock ahead",
        "never served",
    ],
)
def test_how_long_a_pod_drains(of: Pod, seconds: int, left: float) -> None:
    assert traffic_gate.drains_for(of, seconds, NOW) == left


@pytest.mark.parametrize(("micros", "written"), [(0, "2026-11-30T12:00:00Z"), (1, "2026-11-30T12:00:01Z")])
def test_the_time_is_rounded_up_so_that_nothing_drains_too_shortly(micros: int, written: str) -> None:
    (made,) = traffic_gate.out_of_traffic(NOW.replace(microsecond=micros))["status"]["conditions"]
    assert (made["type"], made["status"], made["lastTransitionTime"]) == (IN_PLACE_READY, "False", written)


def test_a_pod_that_has_traffic_has_no_message() -> None:
    (made,) = traffic_gate.in_traffic(NOW)["status"]["conditions"]
    assert (made["status"], made["message"]) == ("True", "")

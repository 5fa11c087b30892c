"""What is said of the containers of a replica that does not run: no names of pods, and all that keeps it from running."""

from __future__ import annotations

from typing import Any

from replica_samples import pod

from pincompute.api.builtin import ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus
from pincompute.gateway.operation.replica_lookup import Replica
from pincompute.gateway.operation.replica_status import ReplicaContainerStatus, describe, replica_list

FAILED = ContainerState(terminated=ContainerStateTerminated(exit_code=4, reason="Error"))
DONE = ContainerState(terminated=ContainerStateTerminated(exit_code=0, reason="Completed"))
BACK_OFF = "back-off 20s restarting failed container=main pod=web-b1-0_shop(fb6006c0-56a6)"


def containers(**status: Any) -> tuple[ReplicaContainerStatus, ...]:
    return describe(Replica("web", 0, "b1", pod("b1", 0, ready=False, **status))).containers


def test_a_container_that_waits_after_a_crash_does_not_name_its_pod():
    waiting = ContainerState(waiting=ContainerStateWaiting(reason="CrashLoopBackOff", message=BACK_OFF))
    (main,) = containers(container_statuses=(ContainerStatus(name="main", state=waiting, last_state=FAILED),))
    assert main.reason == "CrashLoopBackOff: back-off 20s before it starts again"
    assert main.crashed


def test_a_container_that_waits_does_not_name_the_layers_of_its_runtime():
    said = 'failed to create containerd task: failed to create shim task: OCI runtime create failed: exec: "/x": no such file'
    waiting = ContainerState(waiting=ContainerStateWaiting(reason="RunContainerError", message=said))
    (main,) = containers(container_statuses=(ContainerStatus(name="main", state=waiting),))
    assert main.reason == 'RunContainerError: exec: "/x": no such file'


def test_a_container_whose_image_does_not_come_says_why_in_few_words():
    said = 'failed to do request: Head "https://r.example/v2/a/": dial tcp: lookup r.example on 10.0.0.1:53: no such host'
    waiting = ContainerState(waiting=ContainerStateWaiting(reason="ErrImagePull", message=said))
    (main,) = containers(container_statuses=(ContainerStatus(name="main", image="r.example/a:1", state=waiting),))
    assert main.reason == "ErrImagePull: registry r.example cannot be reached (its name cannot be resolved)"


def test_a_container_that_has_ended_says_how():
    (main,) = containers(container_statuses=(ContainerStatus(name="main", state=FAILED),))
    assert main.reason == "ended with exit code 4"


def test_an_init_container_is_there_while_the_others_wait_for_it():
    both = tuple(ContainerStatus(name=name, state=state) for name, state in (("fetch", DONE), ("migrate", FAILED)))
    *_, last = shown = containers(init_container_statuses=both)
    assert [each.name for each in shown] == ["main", "migrate"]
    assert last.crashed


def listed(*replicas: Replica) -> list[tuple[str, str, str]]:
    told = replica_list(replicas, (), {"web-b1-0": "its health check fails", "web-b1-1": "its health check fails"})
    return [(each.name, each.state, each.reason) for each in told.items]


def test_a_replica_that_stops_says_so_behind_the_one_that_replaces_it():
    """`pin status` listed both under one name."""
    leaving = Replica("web", 0, "b1", pod("b1", 0, ready=False, leaving=True))
    new = Replica("web", 0, "b1", pod("b1", 1, ready=False, phase="Running"))
    assert listed(leaving, new) == [("web/0", "Starting", "its health check fails"), ("web/0", "Stopping", "")]


def test_a_replica_that_has_ended_is_listed_until_another_takes_its_place():
    evicted = Replica("web", 0, "b1", pod("b1", 0, ready=False, phase="Failed", message="The node was low on memory."))
    new = Replica("web", 0, "b1", pod("b1", 1))
    gone = Replica("web", 1, "b1", pod("b1", 2, ready=False, leaving=True, phase="Succeeded"))
    assert listed(evicted, gone) == [("web/0", "Failed", "The node was low on memory.")]
    assert [name for name, *_ in listed(evicted, new)] == ["web/0"]
    assert listed(evicted, new)[0][1] != "Failed"

"""What the events of kubelets mean for users, and under which names they read of replicas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from pincompute.api.builtin import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateWaiting,
    ContainerStatus,
    Pod,
    PodStatus,
)
from pincompute.api.meta import ObjectMeta
from pincompute.gateway.history import replica_names
from pincompute.gateway.operation import pod_troubles
from pincompute.gateway.operation.replica_lookup import ReplicaName
from pincompute.store.records import EventRecord, ExitRecord

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
OF = {"project": "demo", "workload": "PinApp", "name": "web", "uid": "u", "cluster": "a1"}


def event(reason: str, message: str, seconds: int = 0, pod: str = "web-a1-0") -> EventRecord:
    at = NOW + timedelta(seconds=seconds)
    return EventRecord(
        **OF, at=at, last=at, event_uid=f"{reason}{seconds}", about="Pod", object=pod, reason=reason, message=message
    )


def pod(name: str = "web-a1-0", seconds: int = 0) -> Pod:
    runs = ContainerState(running=ContainerStateRunning(started_at=NOW - timedelta(minutes=1)))
    return Pod(
        metadata=ObjectMeta(name=name, namespace="demo", creation_timestamp=NOW + timedelta(seconds=seconds)),
        status=PodStatus(container_statuses=(ContainerStatus(name="web", state=runs),)),
    )


SAID = {
    'Readiness probe failed: Get "http://10.1.2.3:8081/": dial tcp 10.1.2.3:8081: connect: connection refused': (
        "its health check fails: connection refused on port 8081"
    ),
    "Liveness probe failed: HTTP probe failed with statuscode: 404": (
        "its liveness check fails: the server answers with status 404"
    ),
    'Startup probe failed: Get "https://10.1.2.3:8080/": http: server gave HTTP response to HTTPS client': (
        "its startup check fails: the server speaks plain HTTP, and the check asks with HTTPS: remove scheme"
    ),
    'Readiness probe failed: Get "http://10.1.2.3:8080/": context deadline exceeded (Client.Timeout exceeded)': (
        "its health check fails: no answer in time"
    ),
    'Readiness probe failed: Get "https://10.1.2.3:8080/": context deadline exceeded (Client.Timeout exceeded)': (
        "its health check fails: no answer in time to HTTPS; if the server speaks plain HTTP, remove scheme"
    ),
    'Readiness probe errored and resulted in unknown state: strconv.Atoi: parsing "web": invalid syntax': (
        "its health check fails: the container has no port named web"
    ),
    "Readiness probe failed: cat: /nofile: No such file or directory": (
        "its health check fails: cat: /nofile: No such file or directory"
    ),
}


@pytest.mark.parametrize(("message", "said"), SAID.items())
def test_a_check_that_fails_says_what_the_replica_answers(message: str, said: str) -> None:
    assert pod_troubles.sentence(event("Unhealthy", message)).startswith(said)


def test_a_volume_that_cannot_be_mounted_says_what_is_missing() -> None:
    text = 'MountVolume.SetUp failed for volume "v" : secret "db" not found'
    assert pod_troubles.sentence(event("FailedMount", text)) == 'volume v cannot be mounted: secret "db" not found'


@pytest.mark.parametrize("word", ["config", "secret"])
def test_a_key_that_a_setting_lacks_is_named(word: str) -> None:
    """`kubectl` may name one, where the gateway refuses it."""
    text = f'MountVolume.SetUp failed for volume "v" : references non-existent {word} key: wbe.conf'
    said = f"volume v cannot be mounted: its {word} has no key wbe.conf: correct the key, or set the {word} with it"
    assert pod_troubles.sentence(event("FailedMount", text)) == said


def test_the_newest_counts_and_other_events_do_not() -> None:
    found = pod_troubles.last_of(
        [
            event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404", 5),
            event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500", 9),
            event("Pulled", "Successfully pulled image", 10),
        ],
        [pod()],
        NOW,
    )
    assert found == {"web-a1-0": "its health check fails: the server answers with status 500"}


def test_what_was_said_of_a_former_pod_of_the_name_is_not_said_of_the_present_one() -> None:
    events = [event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404", 5)]
    assert pod_troubles.last_of(events, [pod(seconds=6)], NOW) == {}
    assert pod_troubles.last_of(events, [pod("web-a1-1")], NOW) == {}
    assert "web-a1-0" in pod_troubles.last_of(events, [pod(seconds=5)], NOW)


def test_records_speak_of_replicas() -> None:
    ended = ExitRecord(**OF, at=NOW, pod="web-b1-0", pod_uid="p", container="web", code=1)
    scheduled = event("Scheduled", "Successfully assigned demo/web-a1-0 to a1-node-0")
    told = replica_names.with_names([ended, scheduled], {"web-a1-0": ReplicaName("web/0")})
    assert [getattr(told[0], "pod", ""), getattr(told[1], "object", "")] == [replica_names.FORMER, "web/0"]
    assert getattr(told[1], "message", "") == "Successfully assigned web/0 to a1-node-0"


def test_what_a_former_pod_did_under_the_name_of_another_replica_is_not_told_of_it() -> None:
    """A pod that was one too many during an update crashed, and a pod of its name is replica 0 now."""
    crash = ExitRecord(**OF, at=NOW, pod="web-a1-1", pod_uid="p", container="web", code=137)
    asked, made = event("Killing", "asked to end", 4, "web-a1-1"), event("Scheduled", "it has a node", 5, "web-a1-1")
    told = replica_names.with_names([crash, asked, made], {"web-a1-1": ReplicaName("web/0", NOW + timedelta(seconds=5))})
    names = [getattr(told[0], "pod", ""), *(getattr(record, "object", "") for record in told[1:])]
    assert names == [replica_names.FORMER, replica_names.FORMER, "web/0"]


RUNNING = ContainerState(running=ContainerStateRunning(started_at=NOW))
CRASHED = ContainerState(waiting=ContainerStateWaiting(reason="CrashLoopBackOff"))
STATUS_404 = ": the server answers with status 404"
CHECKS = {
    "a health check while it starts": ("Readiness", RUNNING, 29, 0, "its health check does not pass so far"),
    "a health check long after the start": ("Readiness", RUNNING, 31, 0, "its health check fails"),
    "a health check of a program that crashes soon": ("Readiness", RUNNING, 29, 1, ""),
    "a health check long after another start": ("Readiness", RUNNING, 31, 1, "its health check fails"),
    "a health check of a program that has ended": ("Readiness", CRASHED, 31, 1, ""),
    "a health check of a container that is being made": ("Readiness", None, 31, 0, ""),
    "a liveness check while it starts": ("Liveness", RUNNING, 29, 0, "its liveness check does not pass so far"),
    "a liveness check that restarts it": ("Liveness", RUNNING, 29, 1, "its liveness check fails"),
    "a liveness check that ended it": ("Liveness", CRASHED, 31, 1, "its liveness check fails"),
}


@pytest.mark.parametrize("case", CHECKS)
def test_a_check_counts_where_it_is_a_cause_and_not_an_effect(case: str) -> None:
    check, state, runs_for, restarts, said = CHECKS[case]
    status = PodStatus(container_statuses=(ContainerStatus(name="web", state=state, restart_count=restarts),))
    starting = structs.replace(pod(), status=status)
    events = [event("Unhealthy", f"{check} probe failed: HTTP probe failed with statuscode: 404", 5)]
    found = pod_troubles.last_of(events, [starting], NOW + timedelta(seconds=runs_for))
    assert found == ({"web-a1-0": said + STATUS_404} if said else {})
    events = [event("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "db" not found')]
    assert pod_troubles.last_of(events, [starting], NOW), "a volume needs no time to come"

"""Which exits the kubelet announced: the next one of the same container after each announcement, and no other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from history_samples import after, event, exit_of

from pincompute.domain import container_failure
from pincompute.gateway.history import exit_reasons
from pincompute.store.records import AnyRecord, EventRecord, ExitRecord


def announced(
    seconds: float, last: float | None = None, container: str = "Container web", pod: str = "hello-b1-0"
) -> EventRecord:
    return event(seconds, last, reason="Killing", object=pod, message=f"{container} definition changed, will be restarted")


CASES: dict[str, tuple[Sequence[AnyRecord], list[float]]] = {
    "nothing announced": ([event(10, object="hello-b1-0"), exit_of(0, 11)], []),
    "the next exit only": ([announced(10), exit_of(0, 11), exit_of(1, 12)], [11]),
    "the next exit in time, whatever the order of the records": ([exit_of(1, 12), exit_of(0, 11), announced(10)], [11]),
    "an exit of the second before, as Kubernetes cuts times": ([exit_of(0, 9), announced(10)], [9]),
    "no exit of an earlier second": ([exit_of(0, 8.9), announced(10)], []),
    "an exit as late as the grace allows": ([announced(10), exit_of(0, 130)], [130]),
    "no exit after the grace": ([announced(10), exit_of(0, 130.1)], []),
    "each announcement has an exit of its own": ([announced(10), announced(10.5), exit_of(0, 11), exit_of(0, 12)], [11, 12]),
    "an event that was repeated announces at its first and its last time": (
        [announced(10, 40), exit_of(0, 11), exit_of(1, 20), exit_of(0, 41)],
        [11, 41],
    ),
    "one announcement that is recorded twice is one": ([announced(10), announced(10), exit_of(0, 11), exit_of(1, 12)], [11]),
    "the same container of another pod": ([announced(10, pod="hello-b1-1"), exit_of(0, 11)], []),
    "another container of the pod": ([announced(10, container="Container log"), exit_of(0, 11)], []),
    "an init container": ([announced(10, container="Init container web"), exit_of(0, 11)], [11]),
    "a whole pod that ended": ([announced(10), exit_of(0, 11, container="")], []),
    "an announcement after another is taken by the following exit": (
        [announced(10), exit_of(0, 11), announced(20), exit_of(0, 21), exit_of(1, 22)],
        [11, 21],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_announced_exits_are_expected(case: str) -> None:
    records, expected = CASES[case]
    judged = exit_reasons.with_causes(records)
    assert [(type(r), r.at) for r in judged] == [(type(r), r.at) for r in records]
    assert sorted(r.at for r in judged if isinstance(r, ExitRecord) and r.expected) == [after(seconds) for seconds in expected]


def test_a_command_that_cannot_be_started_is_named_without_the_layers_of_the_runtime():
    message = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        'unable to start container process: error during container init: exec: "/bin/x": stat /bin/x: no such file or directory'
    )
    said = exit_reasons.sentence(exit_of(128, reason="StartError", message=message))
    assert said.endswith(
        "cannot start: command /bin/x: no such file or directory; name a program that the image has, or leave `command` out"
    )


def failed_check(seconds: float, last: float, check: str) -> EventRecord:
    message = f"Container web failed {check} probe, will be restarted"
    return event(seconds, last, reason="Killing", object="hello-b1-0", message=message)


CHECKS: dict[str, tuple[ExitRecord, str]] = {
    "it ended well because it was told to": (exit_of(0, 11, reason="Completed"), "its liveness check failed"),
    "it was killed": (exit_of(137, 20, reason="Error"), "its liveness check failed"),
    "it ended after the last report": (exit_of(143, 45, reason="Error"), "its liveness check failed"),
    "it failed by itself": (exit_of(1, 20, reason="Error"), "exit code 1:"),
    "it took too much memory": (exit_of(137, 20, reason="OOMKilled"), "out of memory"),
    "it ended before any check failed": (exit_of(0, 5, reason="Completed"), "an app keeps running"),
    "another container": (exit_of(0, 20, container="log", reason="Completed"), "an app keeps running"),
}


@pytest.mark.parametrize("case", CHECKS)
def test_an_exit_that_a_failing_check_made_is_not_one_of_the_programs_own(case: str) -> None:
    record, said = CHECKS[case]
    (judged,) = exit_reasons.with_causes([record], [failed_check(10, 40, "liveness")])
    assert isinstance(judged, ExitRecord)
    assert said in exit_reasons.sentence(judged)
    assert ("initialDelay" in exit_reasons.sentence(judged)) == ("check failed" in said)


EVICTED = exit_of(0, 20, container="", reason="Evicted", message="Pod ephemeral local storage usage exceeds the total limit")
ENDED: dict[str, tuple[ExitRecord, bool]] = {
    "it was killed with its pod": (exit_of(137, 21, reason="Error"), True),
    "it ended when it was told to": (exit_of(143, 19, reason="Error"), True),
    "an app ended well, because it was told to": (exit_of(0, 19, reason="Completed"), True),
    "a unit was done": (exit_of(0, 19, reason="Completed", workload="PinPod"), False),
    "it failed by itself": (exit_of(1, 19, reason="Error"), False),
    "it took too much memory": (exit_of(137, 19, reason="OOMKilled"), False),
    "it ended long before": (exit_of(137, 20 - 121, reason="Error"), False),
}


@pytest.mark.parametrize("case", ENDED)
def test_of_an_evicted_pod_the_eviction_is_the_cause(case: str) -> None:
    """Its container was said to have ignored its grace period, or failed its liveness check."""
    record, expected = ENDED[case]
    told = event(20, reason="Evicted", object="hello-b1-0", message="Pod ephemeral local storage usage exceeds the total limit")
    for eviction in (EVICTED, told):
        judged = next(r for r in exit_reasons.with_causes([eviction, record]) if isinstance(r, ExitRecord) and r.container)
        assert judged.expected is expected
    assert ("grace period" in exit_reasons.remedy_of(judged)) is (case == "it ended long before")


def test_a_unit_that_ended_well_is_not_told_to_become_a_unit() -> None:
    said = exit_reasons.sentence(exit_of(0, reason="Completed", workload="PinUnit"))
    assert said.endswith(container_failure.UNIT_REMEDY)

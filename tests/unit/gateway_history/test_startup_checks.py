"""A check that does not pass yet, while its container starts, and one that fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from history_samples import event, exit_of
from msgspec import structs

from pincompute.gateway.history import startup_checks, timeline
from pincompute.store.records import AnyRecord

STARTED_AGAIN = [event(10, reason="Started", container="log"), event(10, reason="Started", container="web", count=2)]
STARTED = event(10, reason="Started", message="Started container web")
REFUSED = 'Readiness probe failed: Get "http://10.1.2.3:8080/": dial tcp 10.1.2.3:8080: connect: connection refused'
STARTS = "hello-a1-0: it starts, and its check does not pass yet"
FAILS = (
    "hello-a1-0: its health check fails: connection refused on port 8080, where nothing listens "
    "(a server must listen on 0.0.0.0, not only on 127.0.0.1)"
)


def failing(seconds: float = 12, last: float | None = None, message: str = REFUSED) -> AnyRecord:
    return event(seconds, last, reason="Unhealthy", message=message, warning=True)


KILLED = event(70, reason="Killing", message="Container web failed startup probe, will be restarted")
CASES: dict[str, tuple[AnyRecord, Sequence[AnyRecord], Sequence[tuple[str, str]], str, bool]] = {
    "soon after its start": (failing(12, 40), [STARTED], [], STARTS, False),
    "longer than its start takes": (failing(12, 41), [STARTED], [], FAILS, True),
    "long after its start": (failing(300), [STARTED], [], FAILS, True),
    "in a container that was started again": (
        failing(12, 40),
        [event(10, reason="Started", message="Started container web", count=2)],
        [],
        FAILS,
        True,
    ),
    "in a container that was started again beside one that was not": (
        structs.replace(failing(12, 40), container="web"),
        STARTED_AGAIN[::-1],
        [],
        FAILS,
        True,
    ),
    "of a pod whose start is not known": (failing(12), [], [], FAILS, True),
    "of a pod that is still not ready, though the kubelet reports no more": (
        failing(12),
        [STARTED],
        [("hello-a1-0", "Readiness")],
        FAILS,
        True,
    ),
    "a startup check, which has its own allowance": (
        failing(12, 200, REFUSED.replace("Readiness", "Startup")),
        [STARTED],
        [],
        STARTS,
        False,
    ),
    "a startup check for which the container was restarted": (
        failing(12, 60, REFUSED.replace("Readiness", "Startup")),
        [STARTED, KILLED],
        [],
        FAILS.replace("health check", "startup check"),
        True,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_check_that_does_not_pass_yet_is_no_warning(case: str) -> None:
    record, around, late, sentence, warning = CASES[case]
    found = startup_checks.with_allowance([record, exit_of()], around, late)
    line = timeline.entries(found[:1])[0]
    assert (line.sentence.partition(" (2 times)")[0], line.warning) == (sentence, warning)
    assert found[1] == exit_of(), "whatever else is recorded stays"


def crash(seconds: float, **changes: Any) -> AnyRecord:
    return exit_of(1, seconds, pod="hello-a1-0", **changes)


AGAIN = event(10, 40, reason="Started", message="Started container web", count=3)
OF_CRASHES: dict[str, tuple[AnyRecord, Sequence[AnyRecord], Sequence[tuple[str, str]], bool]] = {
    "in a program that ends soon after its start": (failing(12), [STARTED, crash(14)], [], True),
    "in one that crashes again and again": (failing(12, 42), [AGAIN, crash(14), crash(43)], [], True),
    "between two runs of it": (failing(12, 20), [AGAIN, crash(14)], [], True),
    "before a crash long after": (failing(12, 42), [AGAIN, crash(100)], [], False),
    "in a program that ran for long and crashed then": (failing(12, 100), [AGAIN, crash(104)], [], False),
    "before a container is asked to end": (failing(12, 42), [AGAIN, crash(43, expected=True)], [], False),
    "in a container that runs now and is not ready": (
        failing(12, 42),
        [AGAIN, crash(43)],
        [("hello-a1-0", "Readiness")],
        False,
    ),
    "in one beside a sidecar that crashes": (
        structs.replace(failing(12, 42), container="web"),
        [structs.replace(AGAIN, container="log"), crash(14, container="log"), crash(43, container="log")],
        [],
        False,
    ),
    "in one that a check beside it did not end": (
        structs.replace(failing(12, 42), container="web"),
        [AGAIN, structs.replace(KILLED, message=KILLED.message.replace("web", "log")), crash(14), crash(43)],
        [],
        True,
    ),
    "for long before the first of its crashes": (failing(12, 213), [event(10, 211, reason="Started"), crash(210)], [], False),
    "of which a check has ended the container": (failing(12, 72), [AGAIN, KILLED, crash(73)], [], False),
    "a liveness check, which may be the cause": (
        failing(12, 42, REFUSED.replace("Readiness", "Liveness")),
        [AGAIN, crash(43)],
        [],
        False,
    ),
}


@pytest.mark.parametrize("case", OF_CRASHES)
def test_a_health_check_that_fails_because_its_container_crashes_is_no_line(case: str) -> None:
    """It named a port and 0.0.0.0, although no server runs; the crash is a line of its own."""
    record, around, late, left_out = OF_CRASHES[case]
    found = startup_checks.with_allowance([record], around, late)
    assert len(found) == 1, "records keep their places on the page"
    assert (timeline.entries(found) == ()) is left_out

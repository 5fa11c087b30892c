"""A check that does not pass yet, while its container starts, and one that fails."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from history_samples import event, exit_of

from pincompute.gateway.history import startup_checks, timeline
from pincompute.store.records import AnyRecord

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
CASES: dict[str, tuple[AnyRecord, Sequence[AnyRecord], Sequence[str], str, bool]] = {
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
    "of a pod whose start is not known": (failing(12), [], [], FAILS, True),
    "of a pod that is still not ready, though the kubelet reports no more": (
        failing(12),
        [STARTED],
        ["hello-a1-0"],
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

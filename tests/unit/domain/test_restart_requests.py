"""Requests of restarts as they wait on a pod."""

from __future__ import annotations

from datetime import UTC, datetime

from pincompute.api.builtin import Pod
from pincompute.api.labels import RESTART_REQUEST
from pincompute.api.meta import ObjectMeta
from pincompute.domain import restart_requests
from pincompute.domain.container_restart import ContainerRestart
from pincompute.domain.restart_requests import RestartRequest

AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
WHOLE = RestartRequest(id="r1", by="ann", at=AT)
ONE = RestartRequest(id="r2", by="bob", at=AT, container="web", why="it leaks")


def pod(annotations: dict[str, str | None]) -> Pod:
    said = {name: text for name, text in annotations.items() if text is not None}
    return Pod(metadata=ObjectMeta(name="web-a1-0", annotations=said))


def test_what_waits_is_read_back_as_it_was_written() -> None:
    there = pod(restart_requests.annotation((WHOLE, ONE)))
    assert restart_requests.waiting(there) == (WHOLE, ONE)
    assert '"container":"web","why":"it leaks"' in there.metadata.annotations[RESTART_REQUEST]


def test_a_request_is_known_again_by_its_id() -> None:
    there = pod(restart_requests.annotation((ONE,)))
    assert restart_requests.knows(there, RestartRequest(id="r2", by="somebody", at=AT))
    assert not restart_requests.knows(there, WHOLE)


def test_the_annotation_goes_with_the_last_request() -> None:
    there = pod(restart_requests.annotation((WHOLE, ONE)))
    left = restart_requests.without(there, {"r1"})
    assert restart_requests.waiting(pod(left)) == (ONE,)
    assert restart_requests.without(pod(left), {"r2"}) == {RESTART_REQUEST: None}


def test_what_others_wrote_there_is_no_request() -> None:
    assert restart_requests.waiting(pod({RESTART_REQUEST: "now!"})) == ()
    assert restart_requests.waiting(pod({})) == ()


def test_a_request_about_a_container_is_what_the_restart_is_decided_from() -> None:
    assert ONE.of_container == ContainerRestart("web", "bob", "it leaks", "r2")

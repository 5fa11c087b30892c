"""Notifications of rollouts: which stage is told when, once each, and with what content."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Literal

import msgspec
import pytest
from federation.object_builders import NOW
from federation.test_rollout_progress import BEGUN, V1, V2, WALK, app, sites

from pincompute.api.workloads import RolloutStatus
from pincompute.engine.external_inputs import EventDelivery, Unasked
from pincompute.engine.plan import Replace
from pincompute.federation.workload import rollout_notification, workload_controller
from pincompute.federation.workload.workload_controller import ObservedWorkload
from pincompute.kube.cache_views import Unknown


class Endpoint:
    """Views that answer whether an event was taken, and keep what was to be delivered."""

    def __init__(self, answer: Literal[True] | Exception) -> None:
        self.answered = answer
        self.events: list[EventDelivery] = []

    def answer(self, question: Any) -> bool:
        self.events.append(question)
        if isinstance(self.answered, Exception):
            raise self.answered
        return self.answered


def told(record: RolloutStatus | None, endpoint: Endpoint, after: timedelta = timedelta()) -> str:
    return rollout_notification.observe(app(WALK, record), endpoint, NOW + after)  # pyright: ignore[reportArgumentType]


def at(**fields: Any) -> RolloutStatus:
    return msgspec.structs.replace(BEGUN, **fields)


STAGES: dict[str, tuple[RolloutStatus, str]] = {
    "it begins": (at(), "started"),
    "its second step waits": (at(state="AwaitingApproval", step=1, notified="awaitingapproval/0"), "awaitingapproval/1"),
    "its step fails and holds": (at(step=1, failure="it crashes", notified="started"), "failed/1"),
    "it is undone": (at(state="RollingBack", step=1, failure="it crashes", notified="started"), "failed/1"),
    "it has been undone": (at(state="RolledBack", notified="failed/1"), "rolledback"),
    "it ends": (at(state="Complete", step=3, notified="started"), "completed"),
}


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_is_told_once(name: str) -> None:
    record, mark = STAGES[name]
    endpoint = Endpoint(True)
    assert told(record, endpoint) == mark
    after = rollout_notification.marked(record, record, mark)
    assert after == msgspec.structs.replace(record, notified=mark)
    assert told(after, endpoint) == ""
    assert len(endpoint.events) == 1


def test_what_is_undone_at_once_has_failed_first() -> None:
    """A hook that refuses before the first step leaves nothing to take back, so nobody may hear of the time in between."""
    record, endpoint = at(state="RolledBack", failure="a hook refuses"), Endpoint(True)
    for mark in ("failed/0", "rolledback", ""):
        assert told(record, endpoint) == mark
        record = rollout_notification.marked(record, record, mark) or record
    assert len(endpoint.events) == 2


SILENT: dict[str, RolloutStatus | None] = {
    "there was no rollout": None,
    "it is paused": at(since=None),
    "it goes on after an approval": at(step=1, notified="awaitingapproval/0"),
    "the same step fails again": at(step=1, failure="another sentence", notified="failed/1"),
}


@pytest.mark.parametrize("name", SILENT)
def test_what_is_no_new_stage_is_not_told(name: str) -> None:
    endpoint = Endpoint(True)
    assert told(SILENT[name], endpoint) == ""
    assert not endpoint.events


@pytest.mark.parametrize("state", ["Complete", "RolledBack"])
def test_an_end_is_told_for_an_hour(state: str) -> None:
    """An endpoint that is named later would otherwise hear of every rollout there ever was."""
    record = at(state=state)
    assert told(record, Endpoint(True), rollout_notification.TOLD_FOR - timedelta(seconds=1))
    assert not told(record, Endpoint(True), rollout_notification.TOLD_FOR)
    assert told(at(failure="it crashes"), Endpoint(True), 24 * rollout_notification.TOLD_FOR), (
        "a failure stands until it is mended"
    )


def test_the_hour_of_an_end_is_over_without_any_event() -> None:
    """The engine asks until a reconciliation no longer wants the answer."""
    ended, later = at(state="Complete"), NOW + timedelta(minutes=20)
    wait = rollout_notification.told_for(app(WALK, ended), later)
    assert wait == timedelta(minutes=40).total_seconds()
    seen = ObservedWorkload(later, app(WALK, ended), sites((0, 2), (0, 2), (0, 2)), told_for=wait)
    planned = workload_controller.decide(seen).wake_after
    assert planned is not None
    assert planned <= wait
    assert rollout_notification.told_for(app(WALK, ended), NOW + rollout_notification.TOLD_FOR) is None
    assert rollout_notification.told_for(app(WALK, at(state="Complete", notified="completed")), later) is None
    assert rollout_notification.told_for(app(WALK, at()), later) is None, "it has not ended"


@pytest.mark.parametrize("answer", [Unasked("not yet"), Unknown("HTTP status 503")])
def test_what_the_endpoint_has_not_taken_is_not_marked(answer: Exception) -> None:
    assert told(BEGUN, Endpoint(answer)) == ""


def test_a_rollout_that_has_begun_meanwhile_has_told_nothing() -> None:
    another = RolloutStatus(revision="r3", stable=V2)
    assert rollout_notification.marked(another, BEGUN, "completed") == another
    again = at(attempt=1)
    assert rollout_notification.marked(again, BEGUN, "rolledback") == again


def test_what_has_been_told_is_kept_in_the_status_for_the_next_process() -> None:
    hello = app(WALK, BEGUN)
    later = NOW + timedelta(minutes=1)
    seen = ObservedWorkload(later, hello, sites((0, 2), (0, 2), (0, 2)), notified="started")
    writes = [action for action in workload_controller.decide(seen).actions if isinstance(action, Replace)]
    (status,) = [write.body["status"] for write in writes if write.subresource == "status"]
    assert (status["rollout"]["revision"], status["rollout"]["notified"]) == (V2, "started")


def test_an_event_is_a_cloud_event_that_says_what_to_look_at() -> None:
    failed = at(state="RollingBack", step=1, steps=3, failure="it crashes")
    made = rollout_notification.event(app(WALK, failed), failed)
    assert json.loads(made.content) == {
        "specversion": "1.0",
        "id": f"uid/{V2}/0/failed/1",
        "source": "/projects/demo",
        "type": "io.pincompute.rollout.failed",
        "subject": "app/hello",
        "time": NOW.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {
            "project": "demo",
            "kind": "PinApp",
            "name": "hello",
            "stage": "failed",
            "revision": V2,
            "stableRevision": V1,
            "attempt": 0,
            "step": 1,
            "steps": 3,
            "zones": ["a", "b", "c"],
            "message": "it crashes",
        },
    }


def test_another_rollout_of_the_same_revision_has_other_events() -> None:
    """Rolled back and deployed again, it fails again, and an endpoint that deduplicates has to hear of it."""
    first, second = (at(began=NOW + timedelta(hours=hours), failure="it crashes") for hours in (0, 1))
    assert rollout_notification.event(app(WALK, first), first) != rollout_notification.event(app(WALK, second), second)


def test_another_reason_makes_no_other_event() -> None:
    one, other = at(failure="1 of 3 crashes"), at(failure="2 of 3 crash")
    assert rollout_notification.event(app(WALK, one), one) == rollout_notification.event(app(WALK, other), other)

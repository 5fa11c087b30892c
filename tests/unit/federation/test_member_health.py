"""Health of members with patience in both directions: S-017, N8."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import msgspec
from federation.object_builders import NOW, cluster, member

from pincompute.api import conditions
from pincompute.api.member_clusters import Capacity, MemberClusterStatus
from pincompute.federation.member.health import DOWN_AFTER, FIRST_ANSWER, LONGEST_VERSION, UP_AFTER, ObservedHealth, decide


def reconcile(status: MemberClusterStatus | None, *, reachable: bool, at=NOW):
    """One reconciliation: the status afterwards and the plan."""
    plan = decide(ObservedHealth(at, cluster("a1", status), member("a1", reachable=reachable)))
    if not plan.actions:
        return status or MemberClusterStatus(), plan
    before = msgspec.to_builtins(status or MemberClusterStatus())
    return msgspec.convert({**before, **plan.actions[0].body["status"]}, MemberClusterStatus), plan


def ready(status: MemberClusterStatus) -> bool:
    return conditions.is_true(status.conditions, "Ready")


def test_a_new_member_that_answers_is_ready_at_once():
    assert ready(reconcile(None, reachable=True)[0])


def test_a_short_silence_is_noted_but_changes_nothing():
    status, _ = reconcile(None, reachable=True)
    status, plan = reconcile(status, reachable=False, at=NOW + timedelta(seconds=1))
    assert ready(status)
    assert not conditions.is_true(status.conditions, "Reachable")
    assert plan.wake_after == DOWN_AFTER.total_seconds()


def test_a_long_silence_makes_it_not_ready_and_the_wait_survives_a_restart():
    """N8: the clock is the condition's own transition time, kept in the object."""
    status, _ = reconcile(None, reachable=True)
    status, _ = reconcile(status, reachable=False, at=NOW)
    status, _ = reconcile(status, reachable=False, at=NOW + DOWN_AFTER / 2)
    assert ready(status)
    status, _ = reconcile(status, reachable=False, at=NOW + DOWN_AFTER)
    assert not ready(status)


def test_a_member_that_comes_back_is_trusted_only_after_a_while():
    status, _ = reconcile(None, reachable=False)
    status, plan = reconcile(status, reachable=True, at=NOW)
    assert not ready(status)
    assert plan.wake_after == UP_AFTER.total_seconds()
    status, _ = reconcile(status, reachable=True, at=NOW + UP_AFTER)
    assert ready(status)


def test_nothing_is_written_while_nothing_changes():
    status, _ = reconcile(None, reachable=True)
    assert reconcile(status, reachable=True, at=NOW + timedelta(hours=1))[1].settled


def test_a_member_that_was_just_registered_may_take_a_moment_to_answer():
    """Its first pods need not wait for the patience with a member that comes back."""
    new = cluster("a1", None)
    new = msgspec.structs.replace(new, metadata=msgspec.structs.replace(new.metadata, creation_timestamp=NOW))
    silent = decide(ObservedHealth(NOW, new, member("a1", reachable=False)))
    assert not silent.actions
    assert silent.wake_after == FIRST_ANSWER.total_seconds()
    assert decide(ObservedHealth(NOW, new, member("a1", reachable=True))).actions
    assert decide(ObservedHealth(NOW + FIRST_ANSWER, new, member("a1", reachable=False))).actions
    assert decide(ObservedHealth(NOW - timedelta(seconds=1), new, member("a1", reachable=False))).actions, "clocks differ (F8)"


def test_a_version_of_any_length_stops_no_status():
    """A member in other hands writes what it likes, and the host takes statuses of bounded size."""
    there = dataclasses.replace(member("a1", reachable=True), capacity=Capacity(nodes=1, kubelet_version="v" * 400_000))
    plan = decide(ObservedHealth(NOW, cluster("a1", None), there))
    assert len(plan.actions[0].body["status"]["capacity"]["kubeletVersion"]) == LONGEST_VERSION

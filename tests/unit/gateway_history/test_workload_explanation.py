"""Why it runs where it runs, or does not, and what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from history_samples import after, app, event, exit_of, operation, revision, scheduling, spec, state, template
from msgspec import structs

from pincompute.api.conditions import Condition
from pincompute.api.kinds import PINAPP
from pincompute.api.workloads import HookStatus, RolloutStatus
from pincompute.federation.workload import update_hooks
from pincompute.gateway.history import workload_explanation
from pincompute.gateway.history.workload_explanation import ExplainedWorkload
from pincompute.gateway.operation.rollback_target import RollbackRevision
from pincompute.store.records import GONE, AnyRecord


def told(*records: AnyRecord, unreachable: tuple[str, ...] = (), **status: Any) -> list[str]:
    return list(
        workload_explanation.explain_present(
            ExplainedWorkload(PINAPP, app(**status), records, ("a1", "b1", "c1"), unreachable, after(1000))
        )
    )


def test_what_waits_says_for_what_and_what_to_do() -> None:
    found = told(phase="Pending", scheduling=scheduling(unplaced=3))
    assert found[0] == "hello should run 3 replicas; 0 are ready. It is pending."
    assert "Zone a has room for 0 more." in found
    assert found[-1] == "3 replicas without a place: the platform places each as soon as a zone can take it."


def test_what_the_status_says_is_not_said_again() -> None:
    found = told(phase="Pending", message="zone a has room for 0 more; ask for less", scheduling=scheduling(unplaced=3))
    assert len([sentence for sentence in found if "has room for 0 more" in sentence]) == 1


def test_uneven_zones_say_when_replicas_move() -> None:
    """S-135."""
    even, uneven = (told(phase="Running", scheduling=structs.replace(scheduling(), behind=behind)) for behind in ((), ("c1",)))
    (more,) = (sentence for sentence in uneven if sentence not in even)
    assert more.startswith("Some zones have fewer replicas than others: replicas move there, within maxUnavailable, as soon as")


def test_a_cluster_that_has_left_since_the_decision_is_not_named() -> None:
    seen = ExplainedWorkload(PINAPP, app(scheduling=scheduling(unplaced=3)), (), (), (), after(1000))
    assert not [sentence for sentence in workload_explanation.explain_present(seen) if "has room" in sentence]


def test_what_waits_for_room_is_told_how_much_there_is() -> None:
    seen = ExplainedWorkload(
        PINAPP,
        app(scheduling=scheduling(unplaced=3)),
        (),
        (),
        (),
        after(1000),
        room="the node with the most room left now has cpu 200m",
    )
    assert "The node with the most room left now has cpu 200m." in workload_explanation.explain_present(seen)


@pytest.mark.parametrize(
    ("state", "observed", "waits"), [("AwaitingApproval", 1, True), ("AwaitingApproval", 0, False), ("Progressing", 1, False)]
)
def test_an_update_that_waits_for_an_approval_says_so(state: Any, observed: int, waits: bool) -> None:
    """It was said to be progressing, and nothing else."""
    rollout = RolloutStatus(revision="v2", state=state, step=1, steps=3)
    found = told(phase="Progressing", scheduling=scheduling(), rollout=rollout, observed_generation=observed)
    said = (
        "Step 1 of 3 of its update is complete, and the next one waits for an approval: "
        "`pin rollout approve hello`, or `pin rollout abort hello`."
    )
    assert (said in found) is waits


def test_an_update_that_waits_for_a_hook_says_what_the_hook_says() -> None:
    row = HookStatus(name="board", when="BeforeStep", state="Waiting", message="at noon")
    rollout = RolloutStatus(revision="v2", state="Progressing", steps=3, hooks=(row,))
    found = told(phase="Progressing", message=update_hooks.waits((row,)), scheduling=scheduling(), rollout=rollout)
    assert found[0] == (
        "hello should run 3 replicas; 0 are ready. "
        'It is progressing: the update waits for hook board before the step, which asks it to wait: "at noon".'
    )


def candidate(name: str, image: str, *, ran_well: bool) -> RollbackRevision:
    return RollbackRevision(name, template(image), after(0), ran_well)


def test_the_way_back_is_the_newest_other_revision_that_ran_well() -> None:
    stuck = app(revision="v3")
    present = RollbackRevision("v3", stuck.spec.template, after(0), ran_well=True)
    known = [present, candidate("v2", "a:2", ran_well=False), candidate("v1", "a:1", ran_well=True)]
    assert workload_explanation.way_back(stuck, known) == known[2]
    assert workload_explanation.way_back(stuck, known[:2]) is None


def test_the_way_back_passes_over_a_revision_whose_last_update_failed() -> None:
    """`pin rollback` without a revision would be refused there. It ran well before."""
    stuck = app(revision="v3", observed_generation=1)
    failed = replace(candidate("v2", "a:2", ran_well=True), failure="no image a:2")
    good = candidate("v1", "a:1", ran_well=True)
    assert workload_explanation.way_back(stuck, [failed, good]) == good
    assert workload_explanation.way_back(stuck, [failed]) is None


def test_a_way_back_of_which_nothing_is_known_is_not_said_to_have_run_well() -> None:
    kept = replace(candidate("v2", "a:2", ran_well=False), ran_well=None)
    assert workload_explanation.way_back(app(revision="v3", observed_generation=1), [kept]) == kept


@pytest.mark.parametrize(("state", "needed"), [("Progressing", True), ("Complete", False), ("RolledBack", False)])
def test_only_a_stalled_update_needs_a_way_back(state: str, needed: bool) -> None:
    stalled = Condition(type="Stalled", status="True", reason="ErrImagePull", observed_generation=1)
    subject = app(phase="Degraded", conditions=(stalled,), rollout=RolloutStatus(revision="v2", state=state))
    assert workload_explanation.needs_way_back(subject) is needed


def test_a_stopped_workload_is_said_to_be_stopped() -> None:
    stopped = app(ready_replicas=1)
    seen = ExplainedWorkload(
        PINAPP, structs.replace(stopped, spec=structs.replace(stopped.spec, stopped=True)), (), (), (), after(1000)
    )
    first = next(iter(workload_explanation.explain_present(seen)))
    assert first == "hello is stopped: it runs no replicas until it is started, and then 3 replicas; 1 is ready."


def test_what_keeps_failing_is_told_once_with_how_often_and_the_remedy() -> None:
    crashes = [exit_of(137, n, reason="OOMKilled", memory_limit="32Mi") for n in range(5)]
    found = told(*crashes, exit_of(1, 900), phase="Degraded", scheduling=scheduling(a1=3))
    failures = [sentence for sentence in found if sentence.startswith("At ")]
    assert failures == [
        "At 2026-11-01 10:17:00 UTC: web in hello-b1-0 (zone b) ended with exit code 1: what it wrote last may say why.",
        (
            "At 2026-11-01 10:02:04 UTC, 5 times lately: web in hello-b1-0 (zone b) ended with exit code 137 "
            "(out of memory; limit 32Mi): raise resources.memory, or let the program use less."
        ),
    ]


def test_old_failures_and_wanted_ends_are_not_told() -> None:
    found = told(exit_of(1, -4000), exit_of(143, 900, expected=True), scheduling=scheduling(a1=3))
    assert not [sentence for sentence in found if sentence.startswith("At ")]


def test_what_failed_before_the_present_revision_gives_no_advice_about_it() -> None:
    """It lacked memory, and its next revision asks for more than a node has: one advice would contradict the other."""
    first, changed = revision(revision="v1"), revision(2, 500, revision="v2")
    scaled = revision(3, 600, revision="v2", spec=spec(6))
    mount = event(499, warning=True, reason="FailedMount", message="secret not found")
    found = told(first, mount, exit_of(137, 499, reason="OOMKilled"), changed, exit_of(1, 501), scaled)
    assert [sentence for sentence in found if sentence.startswith("At ")] == [
        "At 2026-11-01 10:10:21 UTC: web in hello-b1-0 (zone b) ended with exit code 1: what it wrote last may say why."
    ]


def test_a_program_that_ignores_the_request_to_end_is_told() -> None:
    ended = (exit_of(137, n, reason="GracePeriodExceeded", expected=True) for n in (800, 900))
    (said,) = [s for s in told(*ended, scheduling=scheduling(a1=3)) if s.startswith("At ")]
    assert "2 times lately: web in hello-b1-0 (zone b) ended with exit code 137 (SIGKILL after its grace period" in said


def test_warnings_tell_what_nothing_else_does() -> None:
    mount = event(900, warning=True, reason="FailedMount", message="secret not found")
    found = told(mount, event(901, warning=True, reason="BackOff"), event(902), scheduling=scheduling(a1=3))
    assert [s for s in found if s.startswith("At ")] == [
        "At 2026-11-01 10:17:00 UTC: hello-a1-0: FailedMount: secret not found."
    ]


def test_a_silent_member_is_named_when_it_matters() -> None:
    found = told(unreachable=("a1", "c1"), scheduling=scheduling(a1=3))
    assert [s for s in found if "does not answer now" in s] == [
        "Zone a does not answer now, at least in part. Its last known state is shown, and its replicas may still run. "
        + workload_explanation.UNREACHABLE
    ]


def test_the_last_change_has_its_author_and_reason() -> None:
    records = [revision(), operation(seconds=10, generation=2, reason="load test"), revision(2, 10, spec=spec(6))]
    assert told(*records)[-1] == "Last change, at 2026-11-01 10:02:10 UTC: alice scaled hello from 3 to 6: load test."


def test_of_what_is_gone_history_speaks() -> None:
    records = (
        revision(author="bob"),
        state("Degraded", 5, before="Running", message="web fails"),
        exit_of(1, 6),
        operation("delete", 20, reason="no use"),
        state("Deleting", 21),
        state(GONE, 25, before="Deleting"),
    )
    assert list(workload_explanation.explain_deleted("hello", records)) == [
        "hello does not run: it was deleted at 2026-11-01 10:02:25 UTC by alice (no use).",
        "Before, hello went from Running to Degraded: web fails.",
        "At 2026-11-01 10:02:06 UTC: web in hello-b1-0 (zone b) ended with exit code 1: what it wrote last may say why.",
        "Last change, at 2026-11-01 10:02:00 UTC: bob created hello: 3 replicas of hello:1.",
        "To run it again, deploy it again; its revisions are in its history.",
    ]

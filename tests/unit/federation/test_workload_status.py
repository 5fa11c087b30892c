"""Aggregated status: S-020, S-021, S-022; the four questions of the first screen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from federation.object_builders import NOW, app, member, shard

from pincompute.api import conditions
from pincompute.api.conditions import Condition
from pincompute.api.kinds import PINAPP
from pincompute.api.workloads import MetricStatus, RolloutStatus, UnreadyCause, Update, WorkloadStatus
from pincompute.domain.disruption_account import account
from pincompute.engine.plan import Replace
from pincompute.federation.scheduling import pool_controller
from pincompute.federation.scheduling.placement import place
from pincompute.federation.workload import metric_gate, workload_controller, workload_model, workload_status
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.rollout import Rollout
from pincompute.federation.workload.workload_model import Workload
from pincompute.federation.workload.workload_status import PACE, TOGETHER

MEMBERS = (member("a1"), member("b1"), member("c1"))


def placed_app(**changes):
    blank = app(**changes)
    return app(**changes, scheduling=place(blank, MEMBERS, {}, now=NOW))


LATER = NOW + PACE


def decide(at, workload, reports):
    return workload_controller.decide(workload_controller.ObservedWorkload(at, workload, tuple(reports)))


def after(workload, reports, at=LATER) -> WorkloadStatus:
    """The status once the plan is carried out."""
    actions = [a for a in decide(at, workload, reports).actions if isinstance(a, Replace) and a.subresource == "status"]
    if not actions:
        return workload.status
    before = msgspec.to_builtins(workload.status)
    return msgspec.convert({**before, **{k: v for k, v in actions[0].body["status"].items() if v is not None}}, WorkloadStatus)


def reports(workload, **ready: int) -> tuple[MemberShard, ...]:
    return tuple(MemberShard(m, shard(workload, m.name, 2, ready.get(m.name, 2))) for m in MEMBERS)


def test_a_service_that_runs_says_so_and_where_and_which_revision():
    hello = placed_app()
    status = after(hello, reports(hello))
    assert (status.phase, status.where, status.message) == ("Running", "a1:2/2 b1:2/2 c1:2/2", "")
    assert status.revision == hello.rendered.revision
    assert conditions.is_true(status.conditions, "Available")


def test_the_first_decision_is_one_write_with_the_first_status():
    """What the members report next is the next change; until then there is nothing to add."""
    new = app()
    (write,) = pool_controller.decide(pool_controller.ObservedPool(NOW, (new,), MEMBERS, {})).actions
    told = msgspec.convert(write.body["status"], WorkloadStatus)
    assert (told.phase, told.where) == ("Progressing", "a1:0/0 b1:0/0 c1:0/0")
    waiting = app(status=told)
    unborn = tuple(MemberShard(m, None) for m in MEMBERS)
    assert not [a for a in decide(LATER, waiting, unborn).actions if isinstance(a, Replace)]
    assert after(waiting, reports(waiting), at=NOW).phase == "Running"


def test_before_the_first_decision_nothing_is_said_however_long_it_takes():
    """A write here would only make the decision's write conflict."""
    assert decide(LATER + PACE, app(), tuple(MemberShard(m, None) for m in MEMBERS)).settled


def test_observed_generation_waits_for_every_member_that_was_given_replicas():
    """S-020."""
    hello = placed_app(generation=2)
    stale = shard(app(generation=1), "c1", 2)
    partly = (*reports(hello)[:2], MemberShard(MEMBERS[2], stale))
    assert after(hello, partly).observed_generation == 0
    assert after(hello, reports(hello)).observed_generation == 2


def test_a_shard_its_operator_has_not_looked_at_is_not_observed():
    """S-020 (a)."""
    hello = placed_app()
    fresh = shard(hello, "c1", 2)
    fresh = msgspec.structs.replace(fresh, metadata=msgspec.structs.replace(fresh.metadata, generation=2))
    status = after(hello, (*reports(hello)[:2], MemberShard(MEMBERS[2], fresh)))
    assert status.observed_generation == 0
    assert status.phase == "Progressing"


def test_a_silent_members_last_figures_stay_and_are_marked():
    """S-021: unknown is not zero."""
    hello = placed_app()
    running = app(status=after(hello, reports(hello)))
    status = after(running, (*reports(running)[:2], MemberShard(member("c1", reachable=False), None, known=False)))
    line = status.clusters[-1]
    assert (line.cluster, line.known, line.ready_replicas) == ("c1", False, 2)
    assert status.ready_replicas == 4
    assert status.phase == "Degraded"
    assert "zone c does not answer" in status.message


def test_a_status_that_says_the_same_is_not_written_again():
    hello = placed_app()
    running = app(status=after(hello, reports(hello)))
    assert decide(NOW, running, reports(running)).settled


def test_the_reason_of_a_member_reaches_the_first_screen():
    hello = placed_app()
    broken = shard(hello, "b1", 2, 0)
    why = "pod hello-b1-0: cannot pull registry.internal/hello:1"
    broken = msgspec.structs.replace(broken, status=msgspec.structs.replace(broken.status, message=why))
    status = after(hello, (reports(hello)[0], MemberShard(MEMBERS[1], broken), reports(hello)[2]))
    assert status.message == why


def test_an_update_that_is_stuck_is_not_hidden_by_what_still_serves():
    """S-133: all replicas are ready, and as many are of the new revision, but these are not the same ones."""
    hello = placed_app()
    why = "the previous revision keeps serving; hello-b1-2: cannot pull image hello:9"
    stuck = shard(hello, "b1", 2)
    stuck = msgspec.structs.replace(stuck, status=msgspec.structs.replace(stuck.status, replicas=3, message=why))
    status = after(hello, (reports(hello)[0], MemberShard(MEMBERS[1], stuck), reports(hello)[2]))
    assert (status.phase, status.message) == ("Progressing", why)


FINAL = UnreadyCause(reason="ErrImagePull", message="no image hello:9", replicas=1, final=True)


def unready(workload: Workload, cause: UnreadyCause | None) -> tuple[MemberShard, ...]:
    """Reports of three members, where one replica of b1 is not ready, for this cause."""
    there = shard(workload, "b1", 2, 1)
    told = msgspec.structs.replace(there.status, causes=(cause,) if cause else ())
    of_b1 = MemberShard(MEMBERS[1], msgspec.structs.replace(there, status=told))
    return (reports(workload)[0], of_b1, reports(workload)[2])


def test_an_update_for_which_waiting_does_not_help_is_stalled():
    """`pin list` said Progressing of an update that nothing would ever bring forward."""
    hello = placed_app()
    for cause, phase in (
        (FINAL, "Stalled"),
        (msgspec.structs.replace(FINAL, final=False), "Progressing"),
        (None, "Progressing"),
    ):
        status = after(hello, unready(hello, cause))
        progressing = conditions.find(status.conditions, "Progressing")
        assert (status.phase, progressing and progressing.status) == (phase, "True" if phase == "Progressing" else "False")


def test_an_update_that_took_too_long_is_stalled_and_says_so():
    late = RolloutStatus(revision=placed_app().rendered.revision, stable="v1", failure="a step took longer than 600 s")
    hello = placed_app()
    sites = unready(hello, None)
    status = workload_status.decide(hello, sites, Rollout((), account(6, 1, 1)), LATER, record=late).write[0].body["status"]
    assert (status["phase"], status["message"]) == ("Stalled", "a step took longer than 600 s")


def test_replicas_that_are_lost_are_a_degradation_even_if_waiting_does_not_help():
    hello = placed_app()
    running = app(status=after(hello, reports(hello)))
    assert after(running, unready(running, FINAL)).phase == "Degraded"


def updating(status: WorkloadStatus, failure: str = "no image hello:9") -> Workload:
    """The app in an update of which one replica may be missing."""
    rollout = RolloutStatus(revision="v9", stable="v1", failure=failure)
    return app(status=msgspec.structs.replace(status, rollout=rollout))


@pytest.mark.parametrize(
    ("on_failure", "follows"),
    [("Rollback", "the update is undone"), ("Hold", "nothing more changes until it is known")],
)
def test_an_unknown_metric_is_told_with_since_when_and_what_follows_at_which_time(on_failure: Any, follows: str) -> None:
    """Also where all replicas have the new revision already, and the step only waits for its gate."""
    hello = placed_app()
    row = MetricStatus(name="errors", state="Unknown", bound="at most 0.01", message="no answer within 5 s", since=LATER)
    rollout = RolloutStatus(revision="v9", stable="v1", begun=True, since=LATER, steps=1, metrics=(row,))
    status = msgspec.structs.replace(after(hello, reports(hello)), rollout=rollout)
    present = app(status=status).obj
    waits = workload_model.read(
        PINAPP,
        msgspec.structs.replace(present, spec=msgspec.structs.replace(present.spec, update=Update(on_failure=on_failure))),
    )
    made = Rollout((), account(6, 1, 1))
    (write,) = workload_status.decide(waits, reports(waits), made, LATER + PACE, record=rollout).write
    end = LATER + timedelta(seconds=600)
    assert waits.status.phase == "Running"
    assert write.body["status"]["message"] == (
        f"the update waits for metric errors, unknown since {LATER:%Y-%m-%d %H:%M:%S} UTC: no answer within 5 s; "
        f"if this stays so, the step fails at {end:%Y-%m-%d %H:%M:%S} UTC and {follows}"
    )


@pytest.mark.parametrize(
    "changes", [{"healthy_since": LATER}, {"begun": False}, {"failure": "late"}, {"state": "AwaitingApproval"}, {"metrics": ()}]
)
def test_a_step_that_waits_for_no_metric_says_nothing_of_them(changes: dict[str, Any]) -> None:
    row = MetricStatus(name="errors", state="Unknown", message="no answer within 5 s", since=LATER)
    rollout = RolloutStatus(revision="v9", stable="v1", begun=True, since=LATER, metrics=(row,))
    assert metric_gate.waits(rollout, Update())
    assert metric_gate.waits(msgspec.structs.replace(rollout, **changes), Update()) == ""


def told(workload: Workload, sites: tuple[MemberShard, ...]) -> WorkloadStatus:
    made, record = Rollout((), account(6, 1, 1)), workload.status.rollout
    writes = workload_status.decide(workload, sites, made, LATER, record=record).write
    return msgspec.convert(msgspec.to_builtins(workload.status) | writes[0].body["status"], WorkloadStatus)


def test_a_stalled_update_that_loses_replicas_is_degraded_and_says_both():
    """The state Stalled hid that what served was lost."""
    hello = placed_app()
    stalled = updating(after(hello, reports(hello)))
    missing_one = told(stalled, reports(stalled, a1=1))
    assert (missing_one.phase, missing_one.peak_ready_replicas) == ("Stalled", 6), "the disruption account lets one be missing"
    degraded = told(updating(missing_one), reports(stalled, a1=0))
    assert degraded.phase == "Degraded"
    assert degraded.message == "4 of 6 replicas are ready, 6 were before; no image hello:9"
    assert told(updating(degraded), reports(stalled, a1=1)).phase == "Stalled", "what was lost is back"


def test_replicas_that_never_came_are_no_loss():
    """It serves with three replicas and is scaled to six, for which there is no room."""
    small = placed_app(replicas=3)
    ran = after(small, tuple(MemberShard(m, shard(small, m.name, 1, 1)) for m in MEMBERS))
    ran = msgspec.structs.replace(ran, scheduling=place(app(generation=2), MEMBERS, {}, now=NOW))
    grown = app(status=ran, generation=2)
    waiting = after(grown, reports(grown, a1=1, b1=1, c1=1))
    assert (waiting.phase, waiting.peak_ready_replicas) == ("Progressing", 3)
    assert after(app(status=waiting, generation=2), reports(grown, a1=1, b1=1, c1=0)).phase == "Degraded"


def test_what_has_no_place_and_cannot_get_one_is_stalled():
    """The state Pending hid that waiting does not help."""
    never = Condition(
        type="Scheduled", status="False", reason="NoClusterMatches", message="no cluster matches; change placement"
    )
    waiting = app(status=WorkloadStatus(scheduling=place(app(), (), {}, now=NOW), conditions=(never,)))
    status = after(waiting, tuple(MemberShard(m, None) for m in MEMBERS))
    assert (status.phase, status.message) == ("Stalled", never.message)


def test_a_loss_is_said_beside_what_keeps_a_workload_as_it_is():
    hello = placed_app()
    ran = after(hello, reports(hello))
    obj = app(status=ran).obj
    paused = workload_model.read(PINAPP, msgspec.structs.replace(obj, spec=msgspec.structs.replace(obj.spec, paused=True)))
    status = after(paused, reports(paused, a1=0))
    assert status.phase == "Paused"
    assert status.message.endswith("`pin resume hello`; 4 of 6 replicas are ready, 6 were before")


def test_an_update_that_is_undone_is_not_stalled_while_a_replica_starts_again():
    undone = RolloutStatus(revision="v2", stable=placed_app().rendered.revision, state="RolledBack", failure="no image")
    hello = placed_app()
    status = (
        workload_status.decide(hello, unready(hello, None), Rollout((), account(6, 1, 1)), LATER, record=undone)
        .write[0]
        .body["status"]
    )
    assert status["phase"] == "Progressing"


def test_a_service_scaled_to_zero_is_stopped_not_failed():
    assert after(placed_app(replicas=0), ()).phase == "Stopped"


def test_mere_progress_is_written_at_a_pace_and_the_end_of_it_at_once():
    """Few writes: a start of many pods must not write the host's status once for each pod."""
    hello = placed_app()
    begun = app(status=after(hello, reports(hello, a1=0, b1=0, c1=0)))
    soon = LATER + PACE / 4
    progress = decide(soon, begun, reports(begun, a1=1, b1=0, c1=0))
    assert progress.settled
    assert progress.wake_after == (PACE * 3 / 4).total_seconds()
    assert after(begun, reports(begun), at=soon).phase == "Running"


def reported(site: MemberShard, at, reason: str = "") -> MemberShard:
    """The member said so at this moment, and why not all of it is ready."""
    said = msgspec.structs.replace(site.shard.status, reported_at=at)
    if reason:
        ready = Condition(type="Ready", status="False", reason=reason)
        said = msgspec.structs.replace(said, message=f"it is {reason}", conditions=(ready,))
    return replace(site, shard=msgspec.structs.replace(site.shard, status=said))


def test_members_that_start_together_are_reported_together():
    """The first of them to be ready waits a moment for the others, however long the start took."""
    hello = placed_app()
    first, *others = reports(hello, b1=0, c1=0)
    much_later = LATER + 10 * PACE
    soon = decide(much_later, hello, (reported(first, much_later), *others))
    assert soon.settled
    assert soon.wake_after == TOGETHER.total_seconds()
    assert after(hello, (reported(first, much_later), *others), at=much_later + TOGETHER).ready_replicas == 2
    assert after(hello, (reported(first, much_later + TOGETHER), *others), at=much_later).ready_replicas == 2, "F8"


def test_trouble_in_a_member_is_no_mere_progress():
    hello = placed_app()
    begun = app(status=after(hello, reports(hello, a1=0, b1=0, c1=0)))
    first, *others = reports(begun, a1=0, b1=0, c1=0)
    assert decide(LATER, begun, (reported(first, LATER, "Starting"), *others)).settled
    assert after(begun, (reported(first, LATER, "ErrImagePull"), *others)).message == "it is ErrImagePull"

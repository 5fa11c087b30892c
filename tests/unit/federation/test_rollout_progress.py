"""How far a rollout may go, when a step is complete, and when it has failed: S-121, S-122, S-125 to S-130."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from federation.object_builders import NOW, member, template

from pincompute.api.kinds import PINAPP
from pincompute.api.meta import ObjectMeta
from pincompute.api.shards import Origin, PinAppShard, RevisionStatus, ShardSpec, ShardStatus, Share
from pincompute.api.workloads import (
    ClusterReplicas,
    PinApp,
    PinAppSpec,
    RolloutControl,
    RolloutStatus,
    Scheduling,
    UnreadyCause,
    Update,
    WorkloadStatus,
)
from pincompute.federation.workload import rollout_progress, workload_model
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.rollout_progress import Progress
from pincompute.federation.workload.workload_model import Workload

OLD, NEW = template("registry.internal/hello:1"), template("registry.internal/hello:2")
MEMBERS = ("a1", "b1", "c1")
PLACED = Scheduling(generation=2, placement=tuple(ClusterReplicas(cluster=c, zone=c[0], replicas=2) for c in MEMBERS))
WALK = Update(strategy="ZoneByZone")


def app(update: Update = WALK, rollout: RolloutStatus | None = None, control: RolloutControl | None = None) -> Workload:
    """Of six replicas, which shall have the new template; the old one served."""
    meta = ObjectMeta(name="hello", namespace="demo", uid="uid", generation=2, resource_version="7", creation_timestamp=NOW)
    spec = PinAppSpec(template=NEW, replicas=6, update=update, rollout=control)
    status = WorkloadStatus(scheduling=PLACED, revision=V1, ready_replicas=6, available_replicas=6, rollout=rollout)
    return workload_model.read(PINAPP, PinApp(metadata=meta, spec=spec, status=status))


def rendered(pod: Any) -> workload_model.Rendered:
    meta = ObjectMeta(name="x", namespace="demo", uid=str(pod), generation=1)
    return workload_model.render(PinApp(metadata=meta, spec=PinAppSpec(template=pod)))


V1, V2 = rendered(OLD).revision, rendered(NEW).revision


def site(cluster: str, new: int, old: int, *, known: bool = True, failing: bool = False, restarts: int = 0) -> MemberShard:
    """A member with so many available replicas of both; a failing one is another new replica that crashes."""
    figures = [(V2, new, restarts), (V1, old, 0)]
    rows = tuple(RevisionStatus(revision=r, replicas=n, ready=n, available=n, restarts=s) for r, n, s in figures if n)
    causes = (UnreadyCause(reason="CrashLoop", message="it crashes", revision=V2, final=True),) if failing else ()
    mix = tuple(
        Share(revision=name, template=rendered(pod).template, replicas=n)
        for name, pod, n in ((V2, NEW, new), (V1, OLD, old))
        if n
    )
    shard = PinAppShard(
        metadata=ObjectMeta(name="hello", namespace="demo", uid=f"shard-{cluster}", generation=4),
        spec=ShardSpec(origin=Origin(uid="uid", generation=2), cluster=cluster, zone=cluster[0], mix=mix),
        status=ShardStatus(observed_generation=4, revisions=rows, causes=causes),
    )
    return MemberShard(member(cluster, reachable=known), shard, known=known)


def sites(*counts: tuple[int, int], **facts: Any) -> tuple[MemberShard, ...]:
    """New and old replicas by member; the facts are those of the first member."""
    made = tuple(site(cluster, *count) for cluster, count in zip(MEMBERS, counts, strict=True))
    return (site("a1", *counts[0], **facts), *made[1:])


def progress(of: Workload, there: tuple[MemberShard, ...], now: datetime = NOW) -> Progress:
    return rollout_progress.decide(of, PLACED, there, {V1: rendered(OLD).template}, now)


def record(made: Progress) -> RolloutStatus:
    assert made.record is not None
    return made.record


BEGUN = RolloutStatus(revision=V2, stable=V1, zones=("a", "b", "c"), since=NOW, begun=True)


def test_a_workload_that_never_changed_has_no_record():
    only_new = sites((2, 0), (2, 0), (2, 0))
    assert progress(app(), only_new).record is None


def test_a_rollout_begins_in_the_first_zone():
    made = progress(app(), sites((0, 2), (0, 2), (0, 2)))
    assert made.limits == {"a1": 2, "b1": 0, "c1": 0}
    assert record(made) == msgspec.structs.replace(BEGUN, began=NOW, steps=3, replicas=2)
    assert made.wake_after == WALK.progress_deadline_seconds


@pytest.mark.parametrize(
    ("counts", "step", "limits"),
    [
        (((1, 1), (0, 2), (0, 2)), 0, {"a1": 2, "b1": 0, "c1": 0}),
        (((2, 0), (0, 2), (0, 2)), 1, {"a1": 2, "b1": 2, "c1": 0}),
        (((2, 0), (2, 0), (0, 2)), 2, None),
        (((2, 0), (2, 0), (2, 0)), 3, None),
    ],
)
def test_zone_after_zone(counts: Any, step: int, limits: Any):
    made = progress(app(rollout=BEGUN), sites(*counts))
    assert (record(made).step, made.limits) == (step, limits)
    assert record(made).state == ("Complete" if step == 3 else "Progressing")


def test_what_waits_is_a_full_step_and_not_a_surplus_of_old_replicas():
    """S-133: with an old replica left, the last step is not complete."""
    made = progress(app(rollout=msgspec.structs.replace(BEGUN, step=2)), sites((2, 0), (2, 0), (2, 1)))
    assert record(made).state == "Progressing"


BAKED = msgspec.structs.replace(WALK, bake_seconds=60)
FIRST_DONE = ((2, 0), (0, 2), (0, 2))


def test_the_bake_time_begins_when_the_step_is_healthy():
    """S-121."""
    later = NOW + timedelta(seconds=500)
    made = progress(app(BAKED, BEGUN), sites(*FIRST_DONE), later)
    assert (record(made).step, record(made).healthy_since, made.wake_after) == (0, later, 60)
    after = progress(app(BAKED, record(made)), sites(*FIRST_DONE), later + timedelta(seconds=60))
    assert (record(after).step, record(after).healthy_since) == (1, None)


@pytest.mark.parametrize(
    ("counts", "facts", "healthy"),
    [(((1, 1), (0, 2), (0, 2)), {}, False), (FIRST_DONE, {"restarts": 1}, True), (FIRST_DONE, {"known": False}, False)],
    ids=["a replica is lost", "a container restarts", "the member falls silent"],
)
def test_a_flap_begins_the_bake_time_anew(counts: Any, facts: Any, healthy: bool):
    """S-122."""
    baking = msgspec.structs.replace(BEGUN, healthy_since=NOW)
    later = NOW + timedelta(seconds=59)
    made = progress(app(BAKED, baking), sites(*counts, **facts), later)
    assert record(made).step == 0
    assert record(made).healthy_since == (later if healthy else None)


UNDOES = msgspec.structs.replace(WALK, on_failure="Rollback")
LATE = NOW + timedelta(seconds=WALK.progress_deadline_seconds)


def test_a_final_cause_fails_the_step_at_once():
    made = progress(app(UNDOES, BEGUN), sites((1, 1), (0, 2), (0, 2), failing=True))
    assert (record(made).state, record(made).failure, made.turned) == ("RollingBack", "in zone a, it crashes", True)


def test_a_cause_of_the_former_revision_fails_nothing():
    there = sites((1, 1), (0, 2), (0, 2))
    old = (UnreadyCause(reason="CrashLoop", message="it crashes", revision=V1, final=True),)
    assert there[0].shard is not None
    shard = msgspec.structs.replace(there[0].shard, status=msgspec.structs.replace(there[0].shard.status, causes=old))
    made = progress(app(UNDOES, BEGUN), (replace(there[0], shard=shard), *there[1:]))
    assert record(made).state == "Progressing"


def test_a_step_that_takes_too_long_has_failed():
    """S-130: not for ever progressing."""
    made = progress(app(UNDOES, BEGUN), sites((1, 1), (0, 2), (0, 2)), LATE)
    assert record(made).state == "RollingBack"
    held = progress(app(WALK, BEGUN), sites((1, 1), (0, 2), (0, 2)), LATE)
    assert (record(held).state, held.limits) == ("Progressing", {"a1": 2, "b1": 0, "c1": 0})
    assert "longer than 600 s" in record(held).failure


def test_a_step_that_becomes_healthy_late_goes_on():
    held = msgspec.structs.replace(BEGUN, failure="a step of the rollout took longer than 600 s")
    made = progress(app(WALK, held), sites(*FIRST_DONE), LATE)
    assert (record(made).step, record(made).failure) == (1, "")


def test_silence_is_no_failure():
    """S-126: the member is waited for."""
    made = progress(app(UNDOES, BEGUN), sites((1, 1), (0, 2), (0, 2), known=False), LATE)
    assert (record(made).state, made.wake_after) == ("Progressing", None)


UNDONE = msgspec.structs.replace(BEGUN, state="RollingBack", step=1, failure="it crashes")


def test_the_zone_whose_turn_was_last_goes_back_first():
    """S-125."""
    made = progress(app(UNDOES, UNDONE), sites((2, 0), (1, 1), (0, 2)))
    assert made.workload.rendered.revision == V1
    assert made.limits == {"a1": 0, "b1": 2, "c1": 2}
    after = progress(app(UNDOES, UNDONE), sites((2, 0), (0, 2), (0, 2)))
    assert after.limits == {"a1": 2, "b1": 2, "c1": 2}


def test_what_is_undone_stays_undone():
    made = progress(app(UNDOES, UNDONE), sites((0, 2), (0, 2), (0, 2)))
    assert record(made).state == "RolledBack"
    again = progress(app(UNDOES, record(made)), sites((0, 2), (0, 2), (0, 2)), LATE)
    assert (record(again).state, again.workload.rendered.revision, again.limits) == ("RolledBack", V1, None)


def test_it_is_undone_when_the_former_revision_serves_everywhere():
    made = progress(app(UNDOES, UNDONE), sites((0, 2), (0, 1), (0, 2)))
    assert (record(made).state, made.limits) == ("RollingBack", {"a1": 2, "b1": 2, "c1": 2})


def test_another_attempt_begins_anew():
    undone = msgspec.structs.replace(UNDONE, state="RolledBack")
    retried = app(UNDOES, undone, RolloutControl(revision=V2, attempt=1))
    made = progress(retried, sites((0, 2), (0, 2), (0, 2)), LATE)
    assert (record(made).state, record(made).step, record(made).since, record(made).attempt) == ("Progressing", 0, LATE, 1)
    of_another = app(UNDOES, undone, RolloutControl(revision="v0", attempt=1))
    assert record(progress(of_another, sites((0, 2), (0, 2), (0, 2)))).state == "RolledBack"


def test_an_abort_undoes_it_whatever_failure_means():
    made = progress(app(WALK, BEGUN, RolloutControl(revision=V2, aborted=True)), sites((1, 1), (0, 2), (0, 2)))
    assert (record(made).state, record(made).failure) == ("RollingBack", "it was aborted")


@pytest.mark.parametrize(
    ("approval", "step", "approved", "state"),
    [
        ("FirstStep", 0, 0, "AwaitingApproval"),
        ("FirstStep", 0, 1, "Progressing"),
        ("FirstStep", 1, 0, "Progressing"),
        ("EveryStep", 1, 1, "AwaitingApproval"),
        ("EveryStep", 1, 2, "Progressing"),
        ("Never", 0, 0, "Progressing"),
    ],
)
def test_approvals(approval: Any, step: int, approved: int, state: str):
    update, begun = msgspec.structs.replace(WALK, approval=approval), msgspec.structs.replace(BEGUN, step=step)
    control = RolloutControl(revision=V2, approved_steps=approved)
    counts = ((2, 0), (2, 0) if step else (0, 2), (0, 2))
    made = progress(app(update, begun, control), sites(*counts), LATE)
    assert record(made).state == state
    assert record(made).step == (step if state == "AwaitingApproval" else step + 1)


def on_hold(record: RolloutStatus) -> Workload:
    """The app paused, at this point of its rollout."""
    made = app(UNDOES, record)
    return replace(made, obj=msgspec.structs.replace(made.obj, spec=msgspec.structs.replace(made.obj.spec, paused=True)))


@pytest.mark.parametrize("state", ["Complete", "RolledBack"])
def test_a_pause_does_not_make_an_end_a_new_one(state: Any):
    """The endpoint of notifications was told of it for another hour after each pause."""
    ended = msgspec.structs.replace(BEGUN, state=state)
    assert record(progress(on_hold(ended), sites((2, 0), (2, 0), (2, 0)), LATE)).since == ended.since is not None


def test_a_pause_stops_the_clock():
    paused = on_hold(BEGUN)
    made = progress(paused, sites((1, 1), (0, 2), (0, 2)), LATE)
    assert (record(made).state, record(made).since) == ("Progressing", None)
    resumed = progress(app(UNDOES, record(made)), sites((1, 1), (0, 2), (0, 2)), LATE)
    assert (record(resumed).state, record(resumed).since) == ("Progressing", LATE)


def test_another_change_in_the_middle_keeps_what_served():
    """S-124: what has not proved itself is nothing to go back to."""
    other = msgspec.structs.replace(BEGUN, revision="v-other")
    made = progress(app(UNDOES, other), sites((0, 2), (0, 2), (0, 2)))
    assert (record(made).revision, record(made).stable, record(made).step) == (V2, V1, 0)


def test_the_way_back_needs_no_steps():
    back = msgspec.structs.replace(BEGUN, revision="v-other", stable=V2)
    made = progress(app(BAKED, back), sites((1, 1), (1, 1), (0, 2)))
    assert (record(made).stable, made.limits, record(made).steps) == ("", None, 1)

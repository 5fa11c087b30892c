"""When commands that wait end: what they wait for, what ends them early, and what they say then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from pincompute_sdk.cli import registry_command, wait, wait_conditions
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.wait import FollowedChange
from pincompute_sdk.cli.wait_conditions import STEADY, ReplicaRestarted, RolledOut, Settled, SteadyReadyCount, SteadyRun
from pincompute_sdk.generated.kinds import Workload
from pincompute_sdk.generated.models import (
    App,
    Container,
    Explanation,
    Health,
    KeptRevision,
    ReplicaContainerStatus,
    ReplicaStatus,
    RollbackCandidate,
    RolloutProgress,
    Secret,
    Status,
)

RESTARTED = FollowedChange("the restart", "")
UNCHANGED = FollowedChange("the deploy", changed=False)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
APP = App(name="bad", project="demo", containers=(Container(name="web", image="r/web:2"),))
CHECKED = msgspec.structs.replace(APP, replicas=2, containers=(Container(name="web", image="r/web:2", health=Health()),))


def replicas(*started: datetime | None, restarts: int = 0, state: str = "Running") -> tuple[ReplicaStatus, ...]:
    made = (ReplicaContainerStatus(name="web", state="Running", started=at, restarts=restarts) for at in started)
    return tuple(
        ReplicaStatus(name=f"bad/{n}", zone="a", state=state, ready=True, started=BEGAN, containers=(c,))
        for n, c in enumerate(made)
    )


def app(ready: int = 2, wanted: int = 2, *, settled: bool = True, stalled: str = "", state: str = "Running") -> App:
    status = Status(
        state=state, ready=ready, updated=ready, replicas=ready, settled=settled, stalled=stalled, revision="v2a", message="why"
    )
    return msgspec.structs.replace(CHECKED, replicas=wanted, status=status)


def updating(state: str, *, observed: bool = True, since: datetime = BEGAN) -> App:
    """All replicas are ready, and the last update is in this state."""
    made = app(settled=observed)
    assert made.status is not None
    rollout = RolloutProgress(revision="v2b", stable="v2a", state=state, since=since)
    return msgspec.structs.replace(made, status=msgspec.structs.replace(made.status, rollout=rollout))


@dataclass
class FakeWorkloads:
    """A server that has these versions of the workload, one after another, and these replicas."""

    versions: Sequence[Workload] = ()
    found: Sequence[ReplicaStatus] = ()
    kept: Sequence[KeptRevision] = ()
    rollback: RollbackCandidate | None = None
    _next: Iterator[Workload] = field(init=False)

    def __post_init__(self) -> None:
        self._next = iter(self.versions)

    def get(self, _project: str, _name: str) -> Workload:
        return next(self._next)

    def replicas(self, _project: str, _name: str) -> SimpleNamespace:
        return SimpleNamespace(items=self.found)

    def revisions(self, _project: str, _name: str) -> SimpleNamespace:
        return SimpleNamespace(items=self.kept)

    def explain(self, *_names: str) -> Explanation:
        return Explanation(kind="app", name="bad", project="demo", state="Stalled", sentences=(), rollback=self.rollback)


def fake(*versions: Workload) -> Any:
    return FakeWorkloads(versions=versions)


def followed(server: FakeWorkloads, change: FollowedChange, condition: Settled | None = None, seconds: float = 60) -> Workload:
    them = cast("Any", server)
    return wait.follow(app(settled=False), seconds, change, condition or Settled(them), lambda _app: None)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "PACE", 0.0)


@pytest.mark.parametrize("region_is_ahead", [-3600, 0, 3600])
def test_replicas_run_steadily_after_they_are_seen_to_run_for_a_while(region_is_ahead: int) -> None:
    """The clock of the region is not that of the laptop."""
    runs, started = SteadyRun(), datetime.now(UTC) + timedelta(seconds=region_is_ahead)
    assert not runs.is_steady(APP, replicas(started), 60)
    assert not runs.is_steady(APP, replicas(started, restarts=1), 60 + STEADY)
    assert not runs.is_steady(APP, replicas(None, restarts=1), 61 + STEADY)
    assert not runs.is_steady(APP, replicas(started, restarts=2), 62 + STEADY)
    assert runs.is_steady(APP, replicas(started, restarts=2), 62 + 2 * STEADY)


def test_replicas_that_are_ready_beside_those_that_crash_are_said_to_serve_when_they_have_run_for_a_while() -> None:
    """Without a health check, all of them are ready for a moment."""
    count, unchecked = SteadyReadyCount(), msgspec.structs.replace(app(ready=2, wanted=3), containers=APP.containers)
    assert not count.stands(unchecked, 60)
    assert count.stands(unchecked, 60 + STEADY)
    assert SteadyReadyCount().stands(app(ready=2, wanted=3), 60)
    assert count.stands(msgspec.structs.replace(app(ready=0, wanted=3), containers=APP.containers), 61 + STEADY)
    assert not count.stands(unchecked, 62 + STEADY)


def test_a_stall_from_before_the_command_is_not_believed_at_once() -> None:
    """What was missing may be there now, and the platform has not tried again yet."""
    assert not wait.OldStall("FailedMount", 60, since=0).is_over("FailedMount", 1)
    assert wait.OldStall("FailedMount", 60, since=0).is_over("FailedMount", 61)
    assert wait.OldStall("FailedMount", 60, since=0).is_over("CrashLoopBackOff", 1)
    assert wait.OldStall("", 60, since=0).is_over("FailedMount", 1)
    mended = wait.OldStall("FailedMount", 60, since=0)
    mended.is_over("", 1)
    assert mended.is_over("FailedMount", 2)


def test_the_reason_of_a_stall_from_before_is_said_at_once() -> None:
    said = wait.standing(app(ready=0, stalled="CrashLoopBackOff"), UNCHANGED)
    assert said.startswith("bad was stalled before this command: why\n")
    assert "if it is still so in 3 s, this command ends" in said
    assert wait.standing(app(ready=0), UNCHANGED) == ""
    assert wait.standing(app(ready=0, stalled="CrashLoopBackOff", settled=False), UNCHANGED) == "", "it is of the former one"


@pytest.mark.parametrize(("change", "said"), [(UNCHANGED, "bad cannot run as it is"), (RESTARTED, "bad is not ready after")])
def test_a_deploy_that_changes_nothing_of_a_stalled_app_ends_before_a_change_would(
    change: FollowedChange, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was mended elsewhere just before is seen within a moment, and nothing else will come."""
    monkeypatch.setattr(wait, "UNCHANGED_STALL", 0.0)
    bad = app(ready=0, stalled="CrashLoopBackOff")
    server = SimpleNamespace(get=lambda *_: bad, replicas=lambda *_: SimpleNamespace(items=()), revisions=fake().revisions)
    with pytest.raises(CommandError, match=said):
        wait.follow(bad, 0.05, change, Settled(cast("Any", server)), lambda _app: None)


def login(version: int, *users: str) -> Secret:
    return Secret(name="ghcr", version=version, registry="ghcr.io", used_by=users)


def test_a_first_login_rolls_apps_and_a_new_password_does_not() -> None:
    first = registry_command.consequence(login(1, "app web", "unit job"))
    assert first == "app web, unit job roll, because replicas name their login; `pin status web --watch` shows the progress"
    assert "`pin status unit/job --watch`" in registry_command.consequence(login(1, "unit job"))
    again = registry_command.consequence(login(2, "app web"))
    assert again == "app web uses the new password from the next pull on; nothing restarts"


SETTLED = {
    "all are ready": (app(), True),
    "the change is not observed yet": (app(settled=False), False),
    "one is missing": (app(ready=1), False),
    "one is too many": (app(ready=3), False),
    "a stopped app without replicas": (msgspec.structs.replace(app(ready=0), stopped=True), True),
    "a stopped app with one left": (msgspec.structs.replace(app(ready=1), stopped=True), False),
    "nothing is known": (CHECKED, False),
}


@pytest.mark.parametrize("case", SETTLED)
def test_a_change_is_done_when_all_replicas_are_as_wanted(case: str) -> None:
    seen, done = SETTLED[case]
    assert wait_conditions.settled(seen) is done
    assert Settled(cast("Any", FakeWorkloads())).met(seen) is done


def test_missing_replicas_do_not_run_steadily() -> None:
    """The figures and the list of replicas are not of the same moment."""
    seen = msgspec.structs.replace(app(), containers=APP.containers)
    assert not Settled(cast("Any", FakeWorkloads(found=replicas(BEGAN)))).met(seen)


OTHER = BEGAN + timedelta(minutes=1)
RESTARTS = {
    "the same one": (replicas(BEGAN), "", False),
    "another one": (tuple(msgspec.structs.replace(each, started=OTHER) for each in replicas(OTHER)), "", True),
    "another one that goes": (
        tuple(msgspec.structs.replace(each, started=OTHER) for each in replicas(OTHER, state="Stopping")),
        "",
        False,
    ),
    "another one that is not ready": (
        tuple(msgspec.structs.replace(each, started=OTHER, ready=False) for each in replicas(OTHER)),
        "",
        False,
    ),
    "its container runs since then": (replicas(OTHER, restarts=1), "web", True),
    "another container": (replicas(OTHER, restarts=1), "side", False),
    "the container counts for the replica": (replicas(OTHER, restarts=1), "", False),
    "it is gone": ((), "", False),
}


@pytest.mark.parametrize("case", RESTARTS)
def test_a_restart_is_done_when_that_replica_or_container_is_another_run_and_ready(case: str) -> None:
    found, container, done = RESTARTS[case]
    condition = ReplicaRestarted(cast("Any", FakeWorkloads(found=found)), before=replicas(BEGAN)[0], container=container)
    assert condition.met(CHECKED) is done


def test_a_new_value_is_rolled_out_when_another_revision_runs_everywhere() -> None:
    """The app itself does not change, so its generation says nothing."""
    condition = RolledOut(cast("Any", FakeWorkloads()), former="v2a", later=str)
    assert not condition.met(app())
    assert not condition.met(
        msgspec.structs.replace(app(ready=1), status=msgspec.structs.replace(app(1).status, revision="v2b"))
    )
    assert condition.met(msgspec.structs.replace(app(), status=msgspec.structs.replace(app().status, revision="v2b")))


def test_an_end_of_before_the_change_is_not_taken_for_its_effect() -> None:
    """A unit that has failed is deployed again."""
    old, new = app(ready=0, settled=False, state="Failed"), app(ready=0, state="Succeeded")
    assert followed(FakeWorkloads((old, new)), FollowedChange("the deploy")) is new
    with pytest.raises(CommandError, match="bad has failed"):
        followed(FakeWorkloads((app(ready=0, state="Failed"),)), FollowedChange("the deploy"))


def kept(*names: str, ran_well: str = "", failed: str = "") -> tuple[KeptRevision, ...]:
    """Revisions, the present one first."""
    return tuple(
        KeptRevision(
            number=len(names) - place,
            revision=name,
            present=not place,
            ran_well=name == ran_well,
            failure="it crashes" if name == failed else "",
        )
        for place, name in enumerate(names)
    )


STALLS = {
    "a new app": (0, (), FollowedChange("the deploy"), "bad cannot run as it is", "correct the file and deploy again; "),
    "an update": (
        1,
        kept("v2b", "v2a"),
        FollowedChange("the deploy"),
        "bad cannot be updated; 1 of 2 replicas still serves",
        "`pin rollback bad`, or correct the file",
    ),
    "more replicas": (
        1,
        kept("v2b", "v2a"),
        FollowedChange("the change", "pin scale bad 1"),
        "bad cannot run as it is; 1 of 2 replicas serves",
        "`pin scale bad 1`, or correct the file",
    ),
    "one restart": (
        1,
        kept("v2b", "v2a"),
        FollowedChange("the restart", ""),
        "bad cannot run as it is; 1 of 2",
        "correct the file",
    ),
}


@pytest.mark.parametrize("case", STALLS)
def test_what_cannot_become_what_was_asked_for_ends_the_wait_with_the_way_back(case: str) -> None:
    ready, revisions, change, message, remedy = STALLS[case]
    with pytest.raises(CommandError) as caught:
        followed(
            FakeWorkloads(
                (app(ready, stalled="NoRoom"),), kept=revisions, rollback=RollbackCandidate(revision="v2a", ran_well=True)
            ),
            change,
        )
    assert caught.value.message.startswith(message)
    assert caught.value.remedy.startswith(remedy)
    assert (caught.value.exit_code, caught.value.reason) == (1, "why")


def test_no_rollback_is_offered_that_the_server_would_refuse() -> None:
    with pytest.raises(CommandError) as caught:
        followed(FakeWorkloads((app(1, stalled="NoRoom"),), kept=kept("v2b", "v2a")), FollowedChange("the deploy"))
    assert caught.value.remedy.startswith("correct the file and deploy again; ")


LATE = {
    "a new app": ((), FollowedChange("the deploy"), "; or undo it: `pin delete bad`"),
    "an update": (
        kept("v2c", "v2b", "v2a"),
        FollowedChange("the deploy"),
        "; or undo it: `pin rollback bad --to REVISION`, one of v2b, v2a",
    ),
    "an update after one that failed": (
        kept("v2c", "v2b", "v2a", failed="v2b"),
        FollowedChange("the deploy"),
        "; or undo it: `pin rollback bad --to REVISION`, one of v2a",
    ),
    "an update of what ran well": (
        kept("v2c", "v2b", "v2a", ran_well="v2a"),
        FollowedChange("the deploy"),
        "; or undo it: `pin rollback bad`",
    ),
    "an update where every earlier revision failed": (
        kept("v2b", "v2a", failed="v2a"),
        FollowedChange("the deploy"),
        "; or undo it: `pin delete bad`",
    ),
    "a scale": (kept("v2b", "v2a"), FollowedChange("the change", "pin scale bad 1"), "; or undo it: `pin scale bad 1`"),
    "a restart": (kept("v2b", "v2a"), FollowedChange("the restart", ""), ""),
}


@pytest.mark.parametrize("case", LATE)
def test_what_is_late_offers_only_what_is_possible(case: str) -> None:
    revisions, change, undo = LATE[case]
    with pytest.raises(CommandError) as caught:
        followed(FakeWorkloads((app(ready=1),), kept=revisions), change, seconds=-1)
    assert caught.value.message == "bad is not ready after -1 s: 1 of 2 replicas is ready"
    assert caught.value.remedy == f"it continues on the server when the cause is gone: `pin explain bad`{undo}"
    assert caught.value.exit_code == 6


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another command": ({"args": ("y",)}, {}, "containers"),
    "another scale": ({}, {"replicas": 1}, "replicas"),
    "a stop": ({}, {"stopped": True}, "stopped"),
    "another pause at the end": ({}, {"termination_grace_period": "5s"}, "terminationGracePeriod"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_change_that_another_command_replaces_is_not_said_to_run(case: str) -> None:
    """It ended with `bad runs`, though no replica ran what it had asked for."""
    container, more, said = OTHERS[case]
    asked = msgspec.structs.replace(app(settled=False), generation=4, author="ann")
    web = msgspec.structs.replace(asked.containers[0], **container)
    other = msgspec.structs.replace(app(), generation=5, author="bob", containers=(web,), **more)
    server = FakeWorkloads((asked, other), found=replicas(BEGAN, BEGAN))
    with pytest.raises(CommandError, match="bad was changed again by bob while this command waited") as caught:
        wait.follow(asked, 60, FollowedChange("the deploy"), Settled(cast("Any", server)), lambda _app: None)
    assert (caught.value.reason, caught.value.exit_code) == (f"changed since: {said}", 1)


def test_an_app_that_was_deleted_and_made_again_is_not_the_one_that_was_changed() -> None:
    """It ended with `bad runs`, of an app that the command had never changed."""
    asked = msgspec.structs.replace(app(settled=False), created=BEGAN, generation=4)
    other = msgspec.structs.replace(app(), created=BEGAN + timedelta(minutes=1), generation=1, author="bob")
    server = FakeWorkloads((asked, other), found=replicas(BEGAN, BEGAN))
    told = "bad was deleted while this command waited, and another one of this name was made by bob"
    with pytest.raises(CommandError, match=told) as caught:
        wait.follow(asked, 60, FollowedChange("the deploy"), Settled(cast("Any", server)), lambda _app: None)
    assert caught.value.exit_code == 1


def test_a_value_that_a_later_one_replaces_is_not_said_to_be_rolled_out() -> None:
    """The app runs, with another value; the setting is asked for once for each revision."""
    asked: list[str] = []
    status = app().status
    assert status is not None
    former, rolled = (
        msgspec.structs.replace(app(), status=msgspec.structs.replace(status, revision=name)) for name in ("v2a", "v2c")
    )

    def later() -> str:
        asked.append("secret db")
        return "secret db was set again by bob"

    server = FakeWorkloads((former, former, rolled), found=replicas(BEGAN, BEGAN))
    condition = RolledOut(cast("Any", server), former="v2a", later=later)
    with pytest.raises(CommandError, match="secret db was set again by bob"):
        wait.follow(former, 60, FollowedChange("the rollout"), condition, lambda _app: None)
    assert len(asked) == 1


def test_a_change_of_something_else_lets_a_command_wait_on() -> None:
    """Another one approved a step or took a note, which the generation counts as well."""
    asked = msgspec.structs.replace(app(settled=False), generation=4)
    done = msgspec.structs.replace(app(), generation=5, annotations={"note": "x"})
    server = FakeWorkloads((asked, done), found=replicas(BEGAN, BEGAN))
    condition = Settled(cast("Any", server))
    assert wait.follow(asked, 60, FollowedChange("the deploy"), condition, lambda _app: None) is done


def test_the_number_of_an_autoscaler_replaces_no_deploy() -> None:
    asked = msgspec.structs.replace(app(settled=False), generation=4, author="ann")
    done = msgspec.structs.replace(app(), generation=5, author="", replicas=app().replicas)
    asked = msgspec.structs.replace(asked, replicas=1)
    server = FakeWorkloads((asked, done), found=replicas(BEGAN, BEGAN))
    assert wait.follow(asked, 60, FollowedChange("the deploy"), Settled(cast("Any", server)), lambda _app: None) is done


NOT_PASSED = "its health check does not pass so far: the server answers with status 404"


@pytest.mark.parametrize(("reason", "said"), [(NOT_PASSED, NOT_PASSED), ("", "web does not pass its health check yet")])
def test_an_update_that_is_late_says_what_its_new_replicas_wait_for(reason: str, said: str) -> None:
    """The former ones serve, so their number tells nothing."""
    web = ReplicaContainerStatus(name="web", state="Running", reason="does not pass its health check yet")
    new = ReplicaStatus(name="bad/2", zone="a", state="Starting", reason=reason, containers=(web,))
    seen, old = app(ready=2), (*replicas(BEGAN, BEGAN), *replicas(None, state="Stopping"))
    assert seen.status is not None
    seen = msgspec.structs.replace(seen, status=msgspec.structs.replace(seen.status, updated=1, replicas=3))
    with pytest.raises(CommandError) as caught:
        followed(FakeWorkloads((seen,), found=(*old, new)), FollowedChange("the deploy"), seconds=-1)
    assert caught.value.message.endswith(": 2 of 2 replicas are ready, and 1 of 2 has the present revision")
    assert caught.value.reason == f"why\nbad/2: {said}"


@pytest.mark.parametrize(
    ("state", "observed", "met"),
    [
        ("Progressing", True, False),
        ("RollingBack", True, False),
        ("Complete", True, True),
        ("AwaitingApproval", True, True),
        ("AwaitingApproval", False, False),
    ],
)
def test_an_update_is_done_when_its_last_step_is(state: str, observed: bool, met: bool) -> None:
    """S-133. What is said of an earlier generation ends no wait."""
    assert Settled(fake()).met(updating(state, observed=observed)) is met


def test_an_update_that_was_undone_ends_the_wait() -> None:
    versions = [updating("RolledBack", observed=False), updating("Progressing"), updating("RolledBack")]
    with pytest.raises(CommandError, match="failed, and it is undone; 2 of 2 replicas serve"):
        wait.follow(updating("RolledBack"), 60, FollowedChange("the deploy"), Settled(fake(*versions)), lambda _app: None)


def test_a_scale_of_what_was_undone_before_is_done() -> None:
    undone = updating("RolledBack")
    assert (
        wait.follow(undone, 60, FollowedChange("the change", "pin scale"), Settled(fake(undone)), lambda _app: None) is undone
    )

"""What may be decided about a rollout, and that a decision holds for one revision only (S-129)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from replica_samples import NOW, app

from pincompute.api.kinds import PINAPP
from pincompute.api.workloads import PinApp, RolloutControl, RolloutStatus
from pincompute.gateway.operation import lifecycle_rules
from pincompute.gateway.operation.lifecycle_rules import LifecycleRequest
from pincompute.gateway.problems import Problem

BEGUN = RolloutStatus(revision="v2", stable="v1", step=1, steps=3, since=NOW)


def rolling(control: RolloutControl = RolloutControl(), **changes: Any) -> PinApp:  # noqa: B008 - frozen
    obj = app(rollout=control)
    return msgspec.structs.replace(
        obj, status=msgspec.structs.replace(obj.status, rollout=msgspec.structs.replace(BEGUN, **changes))
    )


def decided(verb: Any, obj: PinApp) -> dict[str, Any]:
    return lifecycle_rules.decide(PINAPP, obj, LifecycleRequest(verb=verb, by="ann", why="", at=NOW, id="r1")).spec


def test_an_approval_lets_one_step_more_begin():
    assert decided("approve", rolling()) == {
        "rollout": {"revision": "v2", "approvedSteps": 2, "aborted": False, "attempt": 0},
    }


def test_an_approval_of_another_revision_counts_for_nothing():
    former = RolloutControl(revision="v1", approved_steps=9)
    assert decided("approve", rolling(former))["rollout"]["approvedSteps"] == 2


def test_what_is_decided_already_changes_nothing():
    assert decided("approve", rolling(RolloutControl(revision="v2", approved_steps=2))) == {}
    assert decided("abort", rolling(RolloutControl(revision="v2", aborted=True))) == {}


def test_an_abort_names_the_revision():
    assert decided("abort", rolling())["rollout"] == {"revision": "v2", "approvedSteps": 0, "aborted": True, "attempt": 0}


def test_a_retry_is_another_attempt():
    undone = rolling(RolloutControl(revision="v2", aborted=True), state="RolledBack", attempt=3)
    assert decided("retry", undone)["rollout"] == {"revision": "v2", "approvedSteps": 0, "aborted": False, "attempt": 4}


@pytest.mark.parametrize(
    ("verb", "obj", "remedy"),
    [
        ("approve", rolling(state="Complete"), "`pin status web` shows what runs"),
        ("approve", app(), "`pin status web` shows what runs"),
        ("abort", rolling(state="RolledBack"), "`pin status web` shows what runs"),
        ("abort", rolling(stable=""), "pause or stop it with `pin pause web` or `pin stop web`"),
        ("retry", rolling(), "deploy a change instead"),
        ("retry", app(), "deploy a change instead"),
        (
            "approve",
            msgspec.structs.replace(rolling(), spec=msgspec.structs.replace(app().spec, paused=True)),
            "resume it first with `pin resume web`",
        ),
    ],
)
def test_what_cannot_be_decided_says_what_to_do(verb: str, obj: PinApp, remedy: str):
    with pytest.raises(Problem) as caught:
        decided(verb, obj)
    assert caught.value.remedy == remedy

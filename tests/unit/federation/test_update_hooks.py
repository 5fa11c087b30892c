"""The hooks of a rollout's steps: who is asked when, under which id, and what follows from a verdict, or from none."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from federation.cached_region import CachedRegion, FakeCache
from federation.object_builders import NOW
from federation.test_rollout_progress import BEGUN, FIRST_DONE, NEW, OLD, PLACED, V1, V2, WALK, app, record, rendered, sites

from pincompute.api.labels import CHANGED_BY, HOST
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.settings import PINCONFIGS, PINSECRETS
from pincompute.api.workloads import PINAPPS, HookStatus, RolloutControl, RolloutStatus, Update, UpdateHook
from pincompute.engine.api_refusals import ApiRefusals
from pincompute.engine.external_inputs import HookCall, HookVerdict, NoRoom, Unasked
from pincompute.engine.plan import Replace
from pincompute.federation.settings import setting_references
from pincompute.federation.workload import rollout_progress, update_hooks, workload_controller
from pincompute.federation.workload.rollout_progress import Progress
from pincompute.federation.workload.update_hooks import HookAnswer, HookAnswers
from pincompute.federation.workload.workload_controller import ObservedWorkload
from pincompute.kube.cache_views import Unknown

GATE = UpdateHook(name="gate", when="BeforeStep", timeout_seconds=60)
PROOF = UpdateHook(name="proof", when="AfterStep", timeout_seconds=60)
HOOKED = msgspec.structs.replace(WALK, hooks=(GATE, PROOF))
NAMES = frozenset({"gate", "proof"})
WAITS = msgspec.structs.replace(BEGUN, begun=False, began=NOW, steps=3)
ALL_OLD = ((0, 2), (0, 2), (0, 2))
YES, LATER, NO = HookAnswer("Accepted"), HookAnswer("Waiting", "at noon"), HookAnswer("Refused", "a freeze until Monday")
SILENT = HookAnswer("Unknown", "no answer within 8 s")
UNASKED = HookAnswer("Unknown", "…", asked=False)
QUEUED = HookAnswer("Unknown", "the platform asks for others", asked=False, queued=True)


def asked(hook: UpdateHook = GATE, **fields: Any) -> HookStatus:
    row = HookStatus(name=hook.name, when=hook.when, message=update_hooks.ASKED, zones=("a",), since=NOW, at=NOW)
    return msgspec.structs.replace(row, **fields)


def progress(
    begun: RolloutStatus | None,
    *answers: HookAnswer,
    hook: UpdateHook = GATE,
    update: Update = HOOKED,
    counts: Any = ALL_OLD,
    after: float = 0,
    names: frozenset[str] = NAMES,
    control: RolloutControl | None = None,
    paused: bool = False,
) -> Progress:
    wanted = app(update, begun, control)
    obj: Any = wanted.obj
    wanted = replace(wanted, obj=msgspec.structs.replace(obj, spec=msgspec.structs.replace(obj.spec, paused=paused)))
    given: dict[Any, HookAnswer] = dict.fromkeys([(hook.name, hook.when)], answers[0]) if answers else {}
    now = NOW + timedelta(seconds=after)
    kept = {V1: rendered(OLD).template}
    return rollout_progress.decide(wanted, PLACED, sites(*counts), kept, now, (), HookAnswers(names, given))


def test_before_the_first_step_the_former_revision_is_brought_about() -> None:
    made = progress(None)
    assert made.unbegun
    assert made.workload.rendered.revision == V1
    begun = record(made)
    assert (begun.begun, begun.replicas, begun.hooks) == (False, 0, (asked(),))


ANSWERS: dict[str, tuple[HookAnswer, str, str]] = {
    "it agrees": (YES, "Accepted", ""),
    "it asks to wait": (LATER, "Waiting", "at noon"),
    "it refuses": (NO, "Refused", "a freeze until Monday"),
    "it is silent": (SILENT, "Unknown", "no answer within 8 s"),
    "it has not been asked": (UNASKED, "Unknown", update_hooks.ASKED),
    "there is no room to ask it": (QUEUED, "Unknown", "the platform asks for others"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_stored_and_a_verdict_before_anything_follows(name: str) -> None:
    answer, state, message = ANSWERS[name]
    made = progress(msgspec.structs.replace(WAITS, hooks=(asked(),)), answer, after=5)
    (row,) = record(made).hooks
    assert (row.state, row.message) == (state, message)
    assert made.turned == (state in update_hooks.VERDICTS)
    assert record(made).begun == (state == "Accepted")


def test_a_step_begins_with_the_stored_consent_and_its_time_with_it() -> None:
    agreed = progress(msgspec.structs.replace(WAITS, hooks=(asked(),)), YES, after=50)
    made = progress(record(agreed), after=51)
    assert (made.turned, made.unbegun, made.limits) == (False, False, {"a1": 2, "b1": 0, "c1": 0})
    assert record(made).since == NOW + timedelta(seconds=50)


@pytest.mark.parametrize(("on_failure", "state"), [("Hold", "Progressing"), ("Rollback", "RollingBack")])
def test_a_refusal_fails_the_step_with_the_words_of_the_hook(on_failure: Any, state: str) -> None:
    refused = msgspec.structs.replace(WAITS, hooks=(asked(state="Refused", message="a freeze until Monday"),))
    made = progress(refused, update=msgspec.structs.replace(HOOKED, on_failure=on_failure))
    assert (record(made).state, record(made).failure) == (state, 'hook gate before the step refuses: "a freeze until Monday"')
    assert made.workload.rendered.revision == V1


LATE: dict[str, tuple[HookAnswer | None, float, str]] = {
    "silence in time": (SILENT, 59, ""),
    "silence": (SILENT, 60, "hook gate before the step gave no verdict within 60 s: no answer within 8 s"),
    "asked to wait": (LATER, 60, 'hook gate before the step gave no verdict within 60 s, which asks it to wait: "at noon"'),
    "a process that has just started": (UNASKED, 3600, ""),
    "no room to ask": (QUEUED, 3600, ""),
    "not asked at all": (None, 3600, ""),
}


@pytest.mark.parametrize("name", LATE)
def test_what_gives_no_verdict_in_time_fails_the_step(name: str) -> None:
    answer, after, failure = LATE[name]
    made = progress(msgspec.structs.replace(WAITS, hooks=(asked(),)), *([answer] if answer else []), after=after)
    assert record(made).failure == failure
    assert made.unbegun


def test_a_late_verdict_lets_an_update_go_on_that_holds() -> None:
    late = record(progress(msgspec.structs.replace(WAITS, hooks=(asked(),)), SILENT, after=60))
    agreed = record(progress(late, YES, after=90))
    assert record(progress(agreed, after=91)).failure == ""


def test_the_deadline_of_the_step_begins_after_its_hooks() -> None:
    slow = msgspec.structs.replace(HOOKED, hooks=(msgspec.structs.replace(GATE, timeout_seconds=86400),))
    made = progress(msgspec.structs.replace(WAITS, hooks=(asked(),)), LATER, update=slow, after=3600)
    assert record(made).failure == ""


@pytest.mark.parametrize("hook", [GATE, PROOF], ids=["before", "after"])
def test_a_hook_that_does_not_exist_fails_the_update_before_it_begins(hook: UpdateHook) -> None:
    made = progress(None, update=msgspec.structs.replace(WALK, hooks=(hook,)), names=frozenset({"board", "freeze"}))
    assert record(made).failure == (
        f"update.hooks names {hook.name}, which does not exist: the platform has board, freeze; "
        "name one of them in update.hooks, or ask an administrator for it"
    )
    if hook is GATE:
        assert made.unbegun
    none = progress(None, update=msgspec.structs.replace(WALK, hooks=(GATE,)), names=frozenset())
    assert "the platform has none; remove it from update.hooks" in record(none).failure


def test_a_hook_of_other_projects_is_one_that_does_not_exist() -> None:
    hooks = {"gate": frozenset({"bank"}), "proof": frozenset({"bank", "demo"}), "board": None}
    region = CachedRegion()
    region.stores[HOST, PINREVISIONS] = FakeCache(workload_controller.INDEXES[PINREVISIONS])
    for settings in (PINSECRETS, PINCONFIGS):
        region.stores[HOST, settings] = FakeCache(setting_references.ON_HOST[settings])
    wanted = app(HOOKED, msgspec.structs.replace(WAITS, hooks=(asked(),)))
    region.put(HOST, PINAPPS, wanted.obj)
    seen = workload_controller.controllers(ApiRefusals(), hooks=hooks)[0].observe(wanted.key, region, NOW)  # pyright: ignore[reportArgumentType]
    assert seen is not None
    assert seen.hooks == HookAnswers(frozenset({"proof", "board"})), "and the row of gate is not asked about"


def test_the_next_step_waits_with_the_replicas_of_the_steps_before() -> None:
    second = msgspec.structs.replace(WAITS, step=1)
    made = progress(second, counts=FIRST_DONE)
    assert (made.unbegun, made.limits) == (False, {"a1": 2, "b1": 0, "c1": 0})
    assert record(made).replicas == 2
    assert record(made).hooks == (asked(zones=("b",)),)


def test_a_step_is_complete_only_when_the_hook_after_it_agrees() -> None:
    begun = msgspec.structs.replace(BEGUN, hooks=(asked(state="Accepted"),))
    waits = record(progress(begun, counts=FIRST_DONE))
    assert [(row.name, row.state) for row in waits.hooks] == [("gate", "Accepted"), ("proof", "Unknown")]
    assert waits.step == 0
    agreed = record(progress(waits, YES, hook=PROOF, counts=FIRST_DONE, after=5))
    assert (agreed.step, agreed.hooks[1].state) == (0, "Accepted")
    following = record(progress(agreed, counts=FIRST_DONE, after=6))
    assert (following.step, following.begun, [row.name for row in following.hooks]) == (1, False, ["gate"])


def test_a_step_that_has_begun_is_not_taken_back_for_a_hook_that_is_added() -> None:
    made = progress(BEGUN)
    assert (made.unbegun, record(made).hooks) == (False, ())


def test_what_replaces_nothing_that_served_asks_nobody() -> None:
    assert record(progress(msgspec.structs.replace(WAITS, stable=""))).begun


def test_a_rollback_asks_nobody() -> None:
    waits = msgspec.structs.replace(WAITS, hooks=(asked(),))
    made = progress(waits, control=RolloutControl(revision=V2, aborted=True))
    assert (record(made).state, record(made).hooks) == ("RollingBack", ())


def test_a_pause_stops_the_clock_of_a_hook() -> None:
    waits = msgspec.structs.replace(WAITS, hooks=(asked(),))
    held = record(progress(waits, after=30, paused=True))
    assert held.hooks[0].since is None
    resumed = record(progress(held, SILENT, after=600))
    assert (resumed.hooks[0].since, resumed.failure) == (NOW + timedelta(seconds=600), "")


def test_the_time_of_a_hook_begins_when_there_is_room_to_ask_it() -> None:
    waits = msgspec.structs.replace(WAITS, hooks=(asked(),))
    queued = progress(waits, QUEUED, after=30)
    assert (record(queued).hooks[0].since, queued.wake_after) == (None, None)
    assert record(progress(record(queued), QUEUED, after=3000)).hooks == record(queued).hooks, "nothing is written anew"
    first = record(progress(record(queued), UNASKED, after=3600))
    began = NOW + timedelta(seconds=3600)
    assert first.hooks == (asked(since=began, at=began),)
    assert record(progress(first, SILENT, after=3659)).failure == ""
    assert record(progress(first, SILENT, after=3660)).failure.startswith(
        "hook gate before the step gave no verdict within 60 s"
    )


def test_another_message_of_the_same_meaning_is_written_once_a_minute() -> None:
    said = asked(state="Waiting", message="at noon")
    waits = msgspec.structs.replace(WAITS, hooks=(said,))
    other = HookAnswer("Waiting", "at one")
    early = progress(waits, other, after=50)
    assert record(early).hooks == (said,)
    assert early.wake_after == 10
    slow = msgspec.structs.replace(HOOKED, hooks=(msgspec.structs.replace(GATE, timeout_seconds=600),))
    assert record(progress(waits, other, update=slow, after=60)).hooks[0].message == "at one"


def test_an_update_that_replaces_one_in_progress_leaves_its_replicas() -> None:
    """Two of three zones have a revision that is no longer wanted."""
    third = rendered({"metadata": {"labels": {"x": "3"}}, **NEW})
    wanted = app(HOOKED, BEGUN)
    wanted = replace(wanted, rendered=third)
    made = rollout_progress.decide(
        wanted, PLACED, sites((2, 0), (1, 1), (0, 2)), {V1: rendered(OLD).template}, NOW, (), HookAnswers(NAMES)
    )
    assert (made.workload.rendered.revision, made.limits) == (V1, {"a1": 0, "b1": 1, "c1": 2})


class Service:
    """Views that answer a hook's question, and keep the questions."""

    def __init__(self, answer: HookVerdict | Exception) -> None:
        self.answered = answer
        self.questions: list[HookCall] = []

    def answer(self, question: Any) -> HookVerdict:
        self.questions.append(question)
        if isinstance(self.answered, Exception):
            raise self.answered
        return self.answered


def test_only_what_the_status_has_and_has_no_verdict_is_asked() -> None:
    service = Service(HookVerdict("Waiting", "at noon"))
    rows = (asked(), asked(PROOF, state="Accepted"))
    unasked: tuple[RolloutStatus | None, ...] = (
        None,
        WAITS,
        *(msgspec.structs.replace(WAITS, hooks=rows, state=state) for state in ("Complete", "RollingBack", "RolledBack")),
        msgspec.structs.replace(WAITS, hooks=rows, revision=V1),
        msgspec.structs.replace(WAITS, hooks=(asked(state="Refused"),)),
    )
    for stored in unasked:
        assert not update_hooks.observe(app(HOOKED, stored), NAMES, service).given  # pyright: ignore[reportArgumentType]
    assert not service.questions
    found = update_hooks.observe(app(HOOKED, msgspec.structs.replace(WAITS, hooks=rows)), NAMES, service)  # pyright: ignore[reportArgumentType]
    assert found.given == {("gate", "BeforeStep"): LATER}
    assert len(service.questions) == 1


@pytest.mark.parametrize(
    ("error", "known", "queued"),
    [(Unasked("…"), False, False), (NoRoom("…"), False, True), (Unknown("no answer"), True, False)],
)
def test_no_answer_is_unknown(error: Exception, known: bool, queued: bool) -> None:
    waits = msgspec.structs.replace(WAITS, hooks=(asked(),))
    found = update_hooks.observe(app(HOOKED, waits), NAMES, Service(error))  # pyright: ignore[reportArgumentType]
    assert [(given.state, given.asked, given.queued) for given in found.given.values()] == [("Unknown", known, queued)]


def test_a_question_is_a_cloud_event_whose_id_stays_the_same() -> None:
    waits = msgspec.structs.replace(WAITS, hooks=(asked(),))
    wanted = app(HOOKED, waits)
    obj: Any = wanted.obj
    meta = msgspec.structs.replace(obj.metadata, annotations={CHANGED_BY: "2 ann"})
    wanted = replace(wanted, obj=msgspec.structs.replace(obj, metadata=meta))
    made = update_hooks.call(wanted, waits, asked())
    assert json.loads(made.content) == {
        "specversion": "1.0",
        "id": f"uid/{V2}/20261101T120000Z/BeforeStep/0/gate",
        "source": "/projects/demo",
        "type": "io.pincompute.hook.beforestep",
        "subject": "app/hello",
        "time": "2026-11-01T12:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "hook": "gate",
            "when": "BeforeStep",
            "project": "demo",
            "kind": "PinApp",
            "name": "hello",
            "revision": V2,
            "stableRevision": V1,
            "attempt": 0,
            "step": 1,
            "steps": 3,
            "zones": ["a"],
            "changedBy": "ann",
        },
    }
    assert update_hooks.call(wanted, waits, asked(state="Waiting", message="at noon")) == made
    again = msgspec.structs.replace(waits, began=NOW + timedelta(hours=1))
    assert update_hooks.call(wanted, again, asked()) != made


def test_a_verdict_alone_is_written_and_the_status_says_what_is_waited_for() -> None:
    waits = msgspec.structs.replace(WAITS, hooks=(asked(),))
    later = NOW + timedelta(seconds=5)

    def planned(answer: HookAnswer) -> list[Any]:
        known = HookAnswers(NAMES, {("gate", "BeforeStep"): answer})
        return list(
            workload_controller.decide(ObservedWorkload(later, app(HOOKED, waits), sites(*ALL_OLD), hooks=known)).actions
        )

    (write,) = planned(YES)
    assert isinstance(write, Replace)
    assert write.body["status"]["rollout"]["hooks"][0]["state"] == "Accepted"
    (status,) = (action.body["status"] for action in planned(LATER) if getattr(action, "subresource", "") == "status")
    assert status["phase"] == "Progressing"
    assert status["revision"] == V2
    assert status["message"] == 'the update waits for hook gate before the step, which asks it to wait: "at noon"'

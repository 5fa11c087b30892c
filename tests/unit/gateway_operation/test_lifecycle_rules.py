"""Each verb has a clear post-state, comes twice without harm, and says who and why (S-258)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from replica_samples import NOW, TEMPLATE, app, pod, unit

from pincompute.api import labels, merge_patch, template_hash
from pincompute.api.kinds import PINAPP, PINPOD
from pincompute.api.workloads import ClusterStatus, PinApp, Update, WorkloadStatus
from pincompute.domain import in_place_update, operation_annotation
from pincompute.gateway.operation import lifecycle_rules
from pincompute.gateway.operation.lifecycle_rules import LifecycleRequest, RollbackRevision
from pincompute.gateway.operation.replica_lookup import Replica
from pincompute.gateway.problems import Problem


def asked(verb: Any, **more: Any) -> LifecycleRequest:
    return LifecycleRequest(**{"verb": verb, "by": "ann", "why": "because", "at": NOW, "id": "r1", **more})


POST_STATES = {
    "pause keeps everything but the switch": ("pause", {}, {}, {"paused": True}),
    "pause of what is paused changes nothing": ("pause", {"paused": True}, {}, {}),
    "resume lets changes through": ("resume", {"paused": True}, {}, {"paused": False}),
    "resume of what is not paused changes nothing": ("resume", {}, {}, {}),
    "stop leaves the number of replicas": ("stop", {}, {}, {"stopped": True}),
    "stop of what is stopped changes nothing": ("stop", {"stopped": True}, {}, {}),
    "start brings that number back": ("start", {"stopped": True}, {}, {"stopped": False}),
    "start of what runs changes nothing": ("start", {}, {}, {}),
    "scale sets the number": ("scale", {}, {"replicas": 5}, {"replicas": 5}),
    "scale to what there is changes nothing": ("scale", {}, {"replicas": 3}, {}),
    "scale of what is stopped is for later": ("scale", {"stopped": True}, {"replicas": 5}, {"replicas": 5}),
}


@pytest.mark.parametrize("case", POST_STATES)
def test_post_state(case: str) -> None:
    verb, spec, more, change = POST_STATES[case]
    assert lifecycle_rules.decide(PINAPP, app(**spec), asked(verb, **more)).spec == change


REFUSALS = {
    "a paused app is not stopped": ("stop", {"paused": True}, {}, "wrong-state", "resume it first with `pin resume web`"),
    "a paused app is not scaled": (
        "scale",
        {"paused": True},
        {"replicas": 9},
        "wrong-state",
        "resume it first with `pin resume web`",
    ),
    "a paused app is not restarted": ("restart", {"paused": True}, {}, "wrong-state", "resume it first with `pin resume web`"),
    "a stopped app has nothing to restart": ("restart", {"stopped": True}, {}, "wrong-state", "start it with `pin start web`"),
    "below zero replicas": ("scale", {}, {"replicas": -1}, "invalid", "correct these fields, then try again"),
    "replicas missing": ("scale", {}, {}, "invalid", "correct these fields, then try again"),
    "too long a reason": ("pause", {}, {"why": "x" * 2000}, "invalid", "correct these fields, then try again"),
    "a reason of two lines": ("pause", {}, {"why": "night\nFORGED"}, "invalid", "correct these fields, then try again"),
    "no good revision": ("rollback", {}, {}, "wrong-state", "deploy a corrected version, or delete it"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_done_says_what_to_do(case: str) -> None:
    verb, spec, more, code, remedy = REFUSALS[case]
    with pytest.raises(Problem) as caught:
        lifecycle_rules.decide(PINAPP, app(**spec), asked(verb, **more))
    assert (caught.value.code, caught.value.remedy) == (code, remedy)


def test_a_restart_replaces_pods_without_being_another_program() -> None:
    change = lifecycle_rules.decide(PINAPP, app(), asked("restart")).spec
    annotations = change["template"]["metadata"]["annotations"]
    assert annotations == {labels.RESTARTED_AT: NOW.isoformat()}
    after = {**TEMPLATE, "metadata": {"annotations": annotations}}
    assert template_hash.shape(after) != template_hash.shape(TEMPLATE), "an update in place would restart nothing"


def test_other_annotations_are_still_taken_in_place() -> None:
    noted = {**TEMPLATE, "metadata": {"annotations": {"team": "a"}}}
    assert template_hash.shape(noted) == template_hash.shape(TEMPLATE)


def test_a_restart_of_one_container_is_an_update_in_place_that_keeps_former_restarts() -> None:
    """S-166: its own annotation, so no pod is replaced."""
    change = lifecycle_rules.decide(PINAPP, app(), asked("restart", container="main"))
    assert "the others keep running" in change.outcome
    changed = merge_patch.apply(TEMPLATE, change.spec["template"])
    assert template_hash.shape(changed) == template_hash.shape(TEMPLATE)
    assert template_hash.revision(changed) != template_hash.revision(TEMPLATE)
    earlier = {**TEMPLATE, "metadata": {"annotations": {labels.CONTAINERS_RESTARTED_AT: '{"proxy":"2020"}'}}}
    again = lifecycle_rules.decide(PINAPP, app(template=earlier), asked("restart", container="main")).spec
    notes = again["template"]["metadata"]["annotations"]
    assert in_place_update.restarts_asked(notes) == {"proxy": "2020", "main": NOW.isoformat()}


NO_RESTARTS = {
    "a container that does not exist": (Update(), "nope", "not-found", "name one of these: main"),
    "new pods for every change": (Update(in_place="Never"), "main", "wrong-state", "restart all with `pin restart web`"),
    "all, where new pods are ruled out": (Update(in_place="Require"), "", "wrong-state", "set it to Prefer"),
}


@pytest.mark.parametrize("case", NO_RESTARTS)
def test_a_restart_that_the_update_rules_out_says_what_to_do(case: str) -> None:
    update, container, code, remedy = NO_RESTARTS[case]
    with pytest.raises(Problem) as caught:
        lifecycle_rules.decide(PINAPP, app(update=update), asked("restart", container=container))
    assert caught.value.code == code
    assert caught.value.remedy.startswith(remedy)


def test_the_same_request_again_is_not_another_restart() -> None:
    request = asked("restart", key="k1")
    written = lifecycle_rules.patch(app(), request, lifecycle_rules.decide(PINAPP, app(), request))
    again = app(annotations=written["metadata"]["annotations"])
    assert lifecycle_rules.decide(PINAPP, again, asked("restart", key="k1", at=NOW + timedelta(minutes=1))).spec == {}
    assert lifecycle_rules.decide(PINAPP, again, asked("restart", key="k2")).spec != {}
    assert lifecycle_rules.decide(PINAPP, again, asked("restart", key="k1", by="bob")).spec != {}, "keys are each caller's own"


def test_an_id_that_a_caller_gives_to_several_requests_makes_them_no_repetition() -> None:
    request = asked("restart")
    written = lifecycle_rules.patch(app(), request, lifecycle_rules.decide(PINAPP, app(), request))
    assert lifecycle_rules.decide(PINAPP, app(annotations=written["metadata"]["annotations"]), request).spec != {}


def test_it_is_known_again_after_others_came_between() -> None:
    """S-259: whose answer got lost may ask again late, and an app that was scaled meanwhile is not restarted twice."""
    request, obj = asked("restart", key="k"), app()
    obj = app(
        annotations=lifecycle_rules.patch(obj, request, lifecycle_rules.decide(PINAPP, obj, request))["metadata"]["annotations"]
    )
    for count in range(1, operation_annotation.KEPT):
        other = asked("scale", id=f"s{count}", replicas=10 + count)
        obj = app(
            annotations=lifecycle_rules.patch(obj, other, lifecycle_rules.decide(PINAPP, obj, other))["metadata"]["annotations"]
        )
        assert lifecycle_rules.decide(PINAPP, obj, request).spec == {}
    assert [note.verb for note in operation_annotation.read(obj)] == ["scale"] * (operation_annotation.KEPT - 1) + ["restart"]


def test_who_and_why_stand_in_the_same_write_as_the_change() -> None:
    body = lifecycle_rules.patch(app(), asked("stop"), lifecycle_rules.decide(PINAPP, app(), asked("stop")))
    assert body["metadata"]["resourceVersion"] == "7"
    assert body["spec"] == {"stopped": True}
    (note,) = operation_annotation.read(app(annotations=body["metadata"]["annotations"]))
    assert (note.verb, note.by, note.why, note.generation) == ("stop", "ann", "because", app().metadata.generation + 1)


def test_a_record_that_somebody_else_wrote_is_no_obstacle() -> None:
    assert lifecycle_rules.decide(PINAPP, app(annotations={labels.OPERATIONS: "not json"}), asked("pause")).spec == {
        "paused": True
    }


def _history() -> tuple[RollbackRevision, ...]:
    def revision(tag: str, *, good: bool) -> RollbackRevision:
        template = {"spec": {"containers": [{"name": "main", "image": f"r/web:{tag}"}]}}
        return RollbackRevision(template_hash.revision(template), template, NOW, good)

    present = RollbackRevision(template_hash.revision(TEMPLATE), TEMPLATE, NOW, ran_well=False)
    return (present, revision("broken", good=False), revision("good", good=True))


def test_a_rollback_goes_to_the_newest_that_ran_well_and_leaves_nothing_of_the_present() -> None:
    change = lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=_history())).spec
    assert change["template"]["spec"]["containers"] == [{"name": "main", "image": "r/web:good"}]
    assert change["template"]["spec"]["volumes"] is None


def test_a_rollback_leads_away_from_the_present_template_whatever_an_earlier_version_called_it() -> None:
    """S-131: after an upgrade what runs keeps its name, so the history has the present template under two names."""
    present, former, *rest = _history()
    renamed = replace(present, name="0123456789", ran_well=True)
    decided = lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=(renamed, present, former, *rest)))
    assert decided.to == lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=(present, former, *rest))).to
    assert lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=(renamed, former), to="0123456789")).spec == {}


def test_a_rollback_goes_to_the_revision_that_is_named() -> None:
    history = _history()
    decided = lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=history, to=history[1].name))
    assert (decided.to, decided.spec["template"]["spec"]["containers"][0]["image"]) == (history[1].name, "r/web:broken")
    assert lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=history, to=history[0].name)).spec == {}
    for beginning in (history[1].name[:8], history[1].name.removeprefix(template_hash.VERSION)[:6]):
        assert lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=history, to=beginning)).to == history[1].name
    with pytest.raises(Problem, match=f"{template_hash.VERSION} begins several revisions"):
        lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=history, to=template_hash.VERSION))
    with pytest.raises(Problem, match="no earlier revision") as caught:
        lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=history[:2]))
    assert caught.value.remedy == f"name one of {history[1].name}"
    with pytest.raises(Problem, match="is not in the history"):
        lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=history, to="nope"))


def test_a_rollback_to_no_revision_names_those_that_there_are_by_their_numbers() -> None:
    present, broken, good = _history()
    numbered = (replace(present, number=3), replace(broken, number=2), replace(good, number=1))
    with pytest.raises(Problem, match="99 is not in the history") as caught:
        lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=numbered, to="99"))
    assert [error.expected for error in caught.value.errors] == ["one of the history: 3, 2, 1"]
    with pytest.raises(Problem, match="no earlier revision") as caught:
        lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=numbered[:2]))
    assert caught.value.remedy == "name one of 2"


def test_a_rollback_to_what_has_failed_has_to_be_forced() -> None:
    """S-125."""
    present, broken, good = _history()
    history = (present, replace(broken, failure="it crashes", number=2), replace(good, note="the good one", number=1))
    with pytest.raises(Problem, match=f"to revision {broken.name} failed: it crashes"):
        lifecycle_rules.decide(PINAPP, app(), asked("rollback", history=history, to=broken.name))
    forced = asked("rollback", history=history, to="2", force=True)
    assert lifecycle_rules.decide(PINAPP, app(), forced).to == broken.name
    back = asked("rollback", history=history, to="1")
    patch = lifecycle_rules.patch(app(), back, lifecycle_rules.decide(PINAPP, app(), back))
    assert patch["metadata"]["annotations"][labels.CHANGE_CAUSE] == "the good one"


def test_a_rollback_leaves_no_note_of_another_revision_behind() -> None:
    back = asked("rollback", history=_history())
    patch = lifecycle_rules.patch(app(), back, lifecycle_rules.decide(PINAPP, app(), back))
    assert patch["metadata"]["annotations"][labels.CHANGE_CAUSE] is None


def test_a_unit_is_always_one() -> None:
    with pytest.raises(Problem, match="always one replica"):
        lifecycle_rules.decide(PINPOD, unit(), asked("scale", replicas=2))
    assert lifecycle_rules.decide(PINPOD, unit(), asked("stop")).spec == {"stopped": True}


def _replica(*, ready: bool = True) -> Replica:
    return Replica("web", 0, "a1", pod("a1", 0, ready=ready))


def _reported(*ready: int) -> PinApp:
    lines = tuple(ClusterStatus(cluster=f"a{n}", zone="a", ready_replicas=count) for n, count in enumerate(ready))
    return msgspec.structs.replace(app(replicas=4), status=WorkloadStatus(clusters=lines))


def test_a_restart_of_one_replica_says_beforehand_that_it_may_have_to_wait() -> None:
    """Whether it does is decided from the one disruption account, not here."""
    assert lifecycle_rules.reason_to_wait(PINAPP, _reported(2, 2), _replica()) == ""
    assert "1 of 4 replicas is not ready now" in lifecycle_rules.reason_to_wait(PINAPP, _reported(2, 1), _replica())
    assert lifecycle_rules.reason_to_wait(PINAPP, _reported(2, 1), _replica(ready=False)) == "", "it serves nobody"


def test_nothing_of_a_paused_app_is_restarted() -> None:
    with pytest.raises(Problem, match="is paused"):
        lifecycle_rules.may_disrupt(PINAPP, app(paused=True))
    lifecycle_rules.may_disrupt(PINAPP, app())

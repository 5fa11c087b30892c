"""Each verb has a clear post-state, comes twice without harm, and says who and why (S-258)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from workers import NOW, TEMPLATE, app, pod, unit

from pincompute.api import labels, templates
from pincompute.api.kinds import PINAPP, PINPOD
from pincompute.api.workloads import ClusterStatus, PinApp, WorkloadStatus
from pincompute.gateway.operation import notes, verbs
from pincompute.gateway.operation.replicas import Replica
from pincompute.gateway.operation.verbs import Request, Revision
from pincompute.gateway.problems import Problem


def asked(verb: Any, **more: Any) -> Request:
    return Request(**{"verb": verb, "by": "ann", "why": "because", "at": NOW, "id": "r1", **more})


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
    assert verbs.decide(PINAPP, app(**spec), asked(verb, **more)).spec == change


REFUSALS = {
    "a paused app is not stopped": ("stop", {"paused": True}, {}, "wrong-state", "resume it first"),
    "a paused app is not scaled": ("scale", {"paused": True}, {"replicas": 9}, "wrong-state", "resume it first"),
    "a paused app is not restarted": ("restart", {"paused": True}, {}, "wrong-state", "resume it first"),
    "a stopped app has nothing to restart": ("restart", {"stopped": True}, {}, "wrong-state", "start it"),
    "below zero replicas": ("scale", {}, {"replicas": -1}, "invalid", "correct the named fields and send it again"),
    "replicas missing": ("scale", {}, {}, "invalid", "correct the named fields and send it again"),
    "too long a reason": ("pause", {}, {"why": "x" * 2000}, "invalid", "correct the named fields and send it again"),
    "no good revision": ("rollback", {}, {}, "wrong-state", "name a revision of its history"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_done_says_what_to_do(case: str) -> None:
    verb, spec, more, code, remedy = REFUSALS[case]
    with pytest.raises(Problem) as caught:
        verbs.decide(PINAPP, app(**spec), asked(verb, **more))
    assert (caught.value.code, caught.value.remedy) == (code, remedy)


def test_a_restart_replaces_pods_without_being_another_program() -> None:
    change = verbs.decide(PINAPP, app(), asked("restart")).spec
    annotations = change["template"]["metadata"]["annotations"]
    assert annotations == {labels.RESTARTED_AT: NOW.isoformat()}
    after = {**TEMPLATE, "metadata": {"annotations": annotations}}
    assert templates.shape(after) != templates.shape(TEMPLATE), "an update in place would restart nothing"


def test_other_annotations_are_still_taken_in_place() -> None:
    noted = {**TEMPLATE, "metadata": {"annotations": {"team": "a"}}}
    assert templates.shape(noted) == templates.shape(TEMPLATE)


def test_the_same_request_again_is_not_another_restart() -> None:
    request = asked("restart", key="k1")
    written = verbs.patch(app(), request, verbs.decide(PINAPP, app(), request))
    again = app(annotations=written["metadata"]["annotations"])
    assert verbs.decide(PINAPP, again, asked("restart", key="k1", at=NOW + timedelta(minutes=1))).spec == {}
    assert verbs.decide(PINAPP, again, asked("restart", key="k2")).spec != {}
    assert verbs.decide(PINAPP, again, asked("restart", key="k1", by="bob")).spec != {}, "keys are each caller's own"


def test_an_id_that_a_caller_gives_to_several_requests_makes_them_no_repetition() -> None:
    request = asked("restart")
    written = verbs.patch(app(), request, verbs.decide(PINAPP, app(), request))
    assert verbs.decide(PINAPP, app(annotations=written["metadata"]["annotations"]), request).spec != {}


def test_it_is_known_again_after_others_came_between() -> None:
    """S-259: whose answer got lost may ask again late, and an app that was scaled meanwhile is not restarted twice."""
    request, obj = asked("restart", key="k"), app()
    obj = app(annotations=verbs.patch(obj, request, verbs.decide(PINAPP, obj, request))["metadata"]["annotations"])
    for count in range(1, notes.KEPT):
        other = asked("scale", id=f"s{count}", replicas=10 + count)
        obj = app(annotations=verbs.patch(obj, other, verbs.decide(PINAPP, obj, other))["metadata"]["annotations"])
        assert verbs.decide(PINAPP, obj, request).spec == {}
    assert [note.verb for note in notes.read(obj)] == ["scale"] * (notes.KEPT - 1) + ["restart"]


def test_who_and_why_stand_in_the_same_write_as_the_change() -> None:
    body = verbs.patch(app(), asked("stop"), verbs.decide(PINAPP, app(), asked("stop")))
    assert body["metadata"]["resourceVersion"] == "7"
    assert body["spec"] == {"stopped": True}
    (note,) = notes.read(app(annotations=body["metadata"]["annotations"]))
    assert (note.verb, note.by, note.why, note.generation) == ("stop", "ann", "because", app().metadata.generation + 1)


def test_a_record_that_somebody_else_wrote_is_no_obstacle() -> None:
    assert verbs.decide(PINAPP, app(annotations={labels.OPERATIONS: "not json"}), asked("pause")).spec == {"paused": True}


def _history() -> tuple[Revision, ...]:
    def revision(tag: str, *, good: bool) -> Revision:
        template = {"spec": {"containers": [{"name": "main", "image": f"r/web:{tag}"}]}}
        return Revision(templates.revision(template), template, NOW, good)

    present = Revision(templates.revision(TEMPLATE), TEMPLATE, NOW, good=False)
    return (present, revision("broken", good=False), revision("good", good=True))


def test_a_rollback_goes_to_the_newest_that_ran_well_and_leaves_nothing_of_the_present() -> None:
    change = verbs.decide(PINAPP, app(), asked("rollback", history=_history())).spec
    assert change["template"]["spec"]["containers"] == [{"name": "main", "image": "r/web:good"}]
    assert change["template"]["spec"]["volumes"] is None


def test_a_rollback_leads_away_from_the_present_template_whatever_an_earlier_version_called_it() -> None:
    """S-131: after an upgrade what runs keeps its name, so the history has the present template under two names."""
    present, former, *rest = _history()
    renamed = replace(present, name="0123456789", good=True)
    decided = verbs.decide(PINAPP, app(), asked("rollback", history=(renamed, present, former, *rest)))
    assert decided.to == verbs.decide(PINAPP, app(), asked("rollback", history=(present, former, *rest))).to
    assert verbs.decide(PINAPP, app(), asked("rollback", history=(renamed, former), to="0123456789")).spec == {}


def test_a_rollback_goes_to_the_revision_that_is_named() -> None:
    history = _history()
    decided = verbs.decide(PINAPP, app(), asked("rollback", history=history, to=history[1].name))
    assert (decided.to, decided.spec["template"]["spec"]["containers"][0]["image"]) == (history[1].name, "r/web:broken")
    assert verbs.decide(PINAPP, app(), asked("rollback", history=history, to=history[0].name)).spec == {}
    with pytest.raises(Problem, match="is not in the history"):
        verbs.decide(PINAPP, app(), asked("rollback", history=history, to="nope"))


def test_a_unit_is_always_one() -> None:
    with pytest.raises(Problem, match="always one pod"):
        verbs.decide(PINPOD, unit(), asked("scale", replicas=2))
    assert verbs.decide(PINPOD, unit(), asked("stop")).spec == {"stopped": True}


def _replica(*, ready: bool = True) -> Replica:
    return Replica("web", 0, "a1", pod("a1", 0, ready=ready))


def _reported(*ready: int) -> PinApp:
    lines = tuple(ClusterStatus(cluster=f"a{n}", zone="a", ready_replicas=count) for n, count in enumerate(ready))
    return msgspec.structs.replace(app(replicas=4), status=WorkloadStatus(clusters=lines))


def test_a_restart_of_one_replica_says_beforehand_that_it_may_have_to_wait() -> None:
    """Whether it does is decided from the one account of disturbance, not here."""
    assert verbs.wait(PINAPP, _reported(2, 2), _replica()) == ""
    assert "1 of 4 replicas are not ready now" in verbs.wait(PINAPP, _reported(2, 1), _replica())
    assert verbs.wait(PINAPP, _reported(2, 1), _replica(ready=False)) == "", "it serves nobody"


def test_nothing_of_a_paused_app_is_restarted() -> None:
    with pytest.raises(Problem, match="is paused"):
        verbs.may_disturb(app(paused=True))
    verbs.may_disturb(app())

"""Differences in the simple form, and what a write will bring about."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pincompute.api.labels import CHANGE_CAUSE
from pincompute.api.workloads import PinApp
from pincompute.gateway.model import APP, PROJECT, UNIT, SimpleKind
from pincompute.gateway.model.diff import Change, changes, text
from pincompute.gateway.workloads import expected_effects
from pincompute.gateway.workloads.expected_effects import SpecChange

BEFORE: dict[str, Any] = {"replicas": 3, "containers": [{"name": "web", "image": "a:1"}, {"name": "log", "image": "b:1"}]}

DIFFERENCES = {
    "nothing": ({}, []),
    "a value": ({"replicas": 4}, [("replicas", 3, 4)]),
    "something new": ({"zones": ["a"]}, [("zones", None, ["a"])]),
    "one container of two, which also changed places": (
        {"containers": [{"name": "log", "image": "b:1"}, {"name": "web", "image": "a:2"}]},
        [("containers.web.image", "a:1", "a:2"), ("containers", ["web", "log"], ["log", "web"])],
    ),
    "one container less": (
        {"containers": [{"name": "web", "image": "a:1"}]},
        [("containers.log", BEFORE["containers"][1], None)],
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_field_by_field(name: str) -> None:
    more, expected = DIFFERENCES[name]
    found = changes(BEFORE, {**BEFORE, **more})
    assert [(change.field, change.before, change.after) for change in found] == expected


def test_a_note_is_called_so() -> None:
    """Users write `--note`; the annotation that keeps it is Kubernetes' own."""
    before = {**BEFORE, "annotations": {"team": "web"}}
    after = {**BEFORE, "annotations": {"team": "web", CHANGE_CAUSE: "a fix"}}
    assert changes(before, after) == (Change(field="note", before=None, after="a fix"),)
    assert changes({**BEFORE, "annotations": {CHANGE_CAUSE: "a"}}, BEFORE) == (Change(field="note", before="a", after=None),)
    assert "+note: a fix" in text(before, after)
    assert "change-cause" not in text(before, after)


def test_as_text() -> None:
    assert text(BEFORE, BEFORE) == ""
    assert "-replicas: 3\n+replicas: 4" in text(BEFORE, {**BEFORE, "replicas": 4})
    assert "+replicas: 3" in text(None, BEFORE)


def test_many_lines_that_differ_are_not_matched() -> None:
    """An attacker's reversed list took minutes, in which the gateway answered nobody."""
    lines = [f"x{number}" for number in range(5_000)]
    before, after = ({"first": 1, "args": args, "last": 2} for args in (lines, lines[::-1]))
    found = text(before, after).splitlines()
    assert found[:5] == ["--- is", "+++ wanted", "@@ -1,5003 +1,5003 @@", " first: 1", " args:"]
    assert (found[5], found[5_005], found[-1]) == ("-- x0", "+- x4999", " last: 2")
    assert len(found) == 3 + 2 + 2 * 5_000 + 1


CREATIONS = {
    "over all zones": ({"replicas": 6}, "6 replicas of x will run balanced over the zones a, b and c, 2 in each"),
    "not evenly": ({"replicas": 7}, "7 replicas of x will run balanced over the zones a, b and c, 2 or 3 in each"),
    "in one zone": ({"replicas": 2, "placement": {"zones": ["b"]}}, "2 replicas of x will run in zone b, if it has room"),
    "fewer than zones": ({"replicas": 2}, "2 replicas of x will run in 2 of the zones a, b and c, as far as there is room;"),
    "a single one": ({}, "1 replica of x will run in one of the zones a, b and c, as far as there is room;"),
    "none yet": ({"replicas": 0}, "x is created without replicas"),
}


@pytest.mark.parametrize("name", CREATIONS)
def test_what_a_creation_brings(name: str) -> None:
    spec, says = CREATIONS[name]
    assert expected_effects.creation(APP, "x", spec, {"a", "b", "c"}).startswith(says)


def test_a_project_is_prepared() -> None:
    assert "prepared in every zone" in expected_effects.creation(PROJECT, "x", {}, {"a"})


def _web(**fields: Any) -> dict[str, Any]:
    pod = {name: fields.pop(name) for name in ("volumes", "hostname") if name in fields}
    return {"spec": {"containers": [{"name": "web", "image": "a", **fields}], **pod}}


CHANGES = {
    "nothing": ([], {}, "nothing changes"),
    "a scale": ([("replicas", 3, 5)], {}, "x goes from 3 to 5 replicas"),
    "a scale to none": ([("replicas", None, 0)], {}, "x goes from 1 to 0 replicas"),
    "an image": ([("containers.web.image", "a", "b")], {}, "x restarts the changed containers in place"),
    "an image, and new pods": (
        [("containers.web.image", "a", "b")],
        {"update": {"inPlace": "Never"}},
        "x replaces its replicas step by step, because update.inPlace is Never",
    ),
    "a change of everything at once": (
        [("containers.web.image", "a", "b"), ("update.strategy", None, "Recreate")],
        {"update": {"strategy": "Recreate"}},
        "x ends all its replicas before the first one of the new revision starts",
    ),
    "a command": (
        [("containers.web.args", None, ["a"])],
        {"template": _web(args=["a"])},
        "x replaces its replicas step by step, because no running replica can take another containers.web.args",
    ),
    "more memory": (
        [("containers.web.resources.memory", "128Mi", "1Gi")],
        {"template": _web(resources={"requests": {"memory": "1Gi"}})},
        "x resizes its running containers, step by step, where their nodes can",
    ),
    "another quality of service": (
        [("containers.web.resources.limits", None, {"cpu": "100m"})],
        {"template": _web(resources={"limits": {"cpu": "100m"}})},
        "x replaces its replicas step by step, because no running replica can take another containers.web.resources",
    ),
    "a volume and an image": (
        [("containers.web.image", "a", "b"), ("volumes", None, [{}])],
        {"template": _web(volumes=[{"name": "v", "emptyDir": {}}], image="b")},
        "x replaces its replicas step by step, because no running replica can take another volumes",
    ),
    "what only the resource can say": (
        [("advanced.template.spec.hostname", None, "a")],
        {"template": _web(hostname="a")},
        "x replaces its replicas step by step, because no running replica can take another advanced.template.spec.hostname",
    ),
    "a label of pods": (
        [("advanced.template.metadata.labels.team", None, "a")],
        {"template": {**_web(), "metadata": {"labels": {"team": "a"}}}},
        "x updates its replicas in place, step by step; no replica is replaced",
    ),
    "everything": (
        [("replicas", 2, 3), ("zones", None, ["a"]), ("containers.web.args", None, ["a"])],
        {},
        "x goes from 2 to 3 replicas, moves as the new zones require",
    ),
    "the next update": ([("update.maxSurge", None, 1)], {}, "x takes the next update as asked for"),
    "labels": ([("labels.a", None, "b")], {}, "labels of x changed; nothing restarts"),
    "a note": ([("note", None, "a fix")], {}, "note of x changed; nothing restarts"),
    "where": ([("zones", None, ["a"])], {}, "x moves as the new zones require"),
    "paused": ([("replicas", 3, 5)], {"paused": True}, "x is paused: the change is kept"),
    "stopped": ([("replicas", 3, 5)], {"stopped": True}, "x is stopped: the change is kept"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_change_brings(name: str) -> None:
    found, spec, says = CHANGES[name]
    before = {"template": _web()}
    after = {"template": _web(image="b"), **spec}
    obj = msgspec.convert({"metadata": {"name": "x"}, "spec": after}, PinApp)
    told = [Change(field=field, before=old, after=new) for field, old, new in found]
    assert expected_effects.change(APP, obj, SpecChange(before, after), told).startswith(says)


@pytest.mark.parametrize(("kind", "drains"), [(APP, True), (UNIT, False)], ids=["app", "unit"])
def test_replicas_that_listen_get_no_requests_while_they_restart(kind: SimpleKind[Any], drains: bool) -> None:
    ports = [{"containerPort": 80}]
    before, after = {"template": _web(ports=ports)}, {"template": _web(image="b", ports=ports)}
    obj = msgspec.convert({"metadata": {"name": "x"}, "spec": after}, kind.resource.type)
    told = [Change(field="containers.web.image", before="a", after="b")]
    says = expected_effects.change(kind, obj, SpecChange(before, after), told)
    assert ("step by step, and sends no requests to a replica while it restarts:" in says) is drains


SURGE = "one extra replica tests the change first, if there is room; where there is none, one replica at a time is missing"
KEPT = {
    "all are ready": (APP, {"replicas": 3}, 3, f": all 3 stay ready; {SURGE}"),
    "more are ready than will be": (APP, {"replicas": 3}, 5, f": all 3 stay ready; {SURGE}"),
    "some are ready": (APP, {"replicas": 3}, 2, f": 2 of 3 are ready now and stay so; {SURGE}"),
    "one is ready": (APP, {"replicas": 3}, 1, f": 1 of 3 is ready now and stays so; {SURGE}"),
    "none is ready": (APP, {"replicas": 3}, 0, ": none of 3 is ready now, so there is none to keep ready"),
    "as many are ready as have to": (
        APP,
        {"replicas": 3, "disruption": {"maxUnavailable": 1}},
        2,
        ": at least 2 of 3 stay ready; one extra replica tests the change first, if there is room",
    ),
    "the only one is ready": (APP, {"replicas": 1}, 1, f": it stays ready; {SURGE}"),
    "the only one is not ready": (APP, {"replicas": 1}, 0, ": it is not ready now"),
    "a unit is ready": (UNIT, {}, 1, ": it is not ready while it changes"),
    "a unit is not ready": (UNIT, {}, 0, ": it is not ready now"),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_stays_ready_depends_on_what_is_ready_now(name: str) -> None:
    kind, spec, ready, kept = KEPT[name]
    after = {"template": _web(image="b"), **spec}
    obj = msgspec.convert({"metadata": {"name": "x"}, "spec": after, "status": {"readyReplicas": ready}}, kind.resource.type)
    told = [Change(field="containers.web.image", before="a", after="b")]
    says = expected_effects.change(kind, obj, SpecChange({**after, "template": _web()}, after), told)
    how = "x restarts the changed containers in place with the new image, step by step"
    assert says == f"{how}{kept}; watch it to follow the progress"


def test_a_template_that_means_the_same_restarts_nothing() -> None:
    def template(cpu: str) -> dict[str, Any]:
        container = {"name": "web", "image": "i", "resources": {"requests": {"cpu": cpu}}}
        return {"template": {"spec": {"containers": [container]}}}

    obj = msgspec.convert({"metadata": {"name": "x"}, "spec": template("1000m")}, PinApp)
    found = [Change(field="containers.web.resources.cpu", before="1000m", after="1")]
    says = expected_effects.change(APP, obj, SpecChange(template("1000m"), template("1")), found)
    assert says == "containers of x changed; nothing restarts"

"""Images and variables that a command changes, in the data of a file or of an app that runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from pincompute_sdk.cli import env
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.manifest import manifest_validation
from pincompute_sdk.cli.manifest.manifest_file import Manifest
from pincompute_sdk.cli.template_changes import NOTE, TemplateChanges, noted

ONE: dict[str, Any] = {"name": "hello", "containers": [{"name": "web", "image": "hello:1"}]}
TWO: dict[str, Any] = {
    "name": "shop",
    "containers": [
        {"name": "web", "image": "web:1", "env": {"LEVEL": "info", "KEY": {"secret": "db", "key": "password"}}},
        {"name": "side", "image": "side:1"},
    ],
}

CASES: dict[str, tuple[dict[str, Any], TemplateChanges, dict[str, Any]]] = {
    "the image of the only container": (ONE, TemplateChanges(["hello:2"]), {"web": {"image": "hello:2"}}),
    "an image with a registry and a port": (ONE, TemplateChanges(["r:5000/a/b:2"]), {"web": {"image": "r:5000/a/b:2"}}),
    "an image by digest": (ONE, TemplateChanges(["hello@sha256:ab"]), {"web": {"image": "hello@sha256:ab"}}),
    "an image of one of several": (TWO, TemplateChanges(["side=side:2"]), {"side": {"image": "side:2"}}),
    "several images": (
        TWO,
        TemplateChanges(["web=web:2", "side=side:2"]),
        {"web": {"image": "web:2"}, "side": {"image": "side:2"}},
    ),
    "a variable": (ONE, TemplateChanges(env=["LEVEL=debug"]), {"web": {"env": {"LEVEL": "debug"}}}),
    "a value with = and nothing": (ONE, TemplateChanges(env=["A=b=c", "B="]), {"web": {"env": {"A": "b=c", "B": ""}}}),
    "a variable beside others": (
        TWO,
        TemplateChanges(env=["NEW=1"], container="web"),
        {"web": {"env": {"LEVEL": "info", "KEY": {"secret": "db", "key": "password"}, "NEW": "1"}}},
    ),
    "a text in place of a secret": (
        TWO,
        TemplateChanges(env=["KEY=open"], container="web"),
        {"web": {"env": {"LEVEL": "info", "KEY": "open"}}},
    ),
    "a variable that goes": (
        TWO,
        TemplateChanges(unset=["LEVEL"], container="web"),
        {"web": {"env": {"KEY": {"secret": "db", "key": "password"}}}},
    ),
    "the last variable that goes": (TWO, TemplateChanges(unset=["LEVEL", "KEY"], container="web"), {"web": {"env": None}}),
}


@pytest.mark.parametrize(
    ("annotations", "note", "wanted"),
    [
        (None, "fix", {NOTE: "fix"}),
        ({"a": "b", NOTE: "old"}, "fix", {"a": "b", NOTE: "fix"}),
        ({"a": "b", NOTE: "old"}, "", {"a": "b"}),
        ({NOTE: "old"}, "", None),
    ],
)
def test_a_note_belongs_to_one_revision(annotations: Any, note: str, wanted: Any) -> None:
    data = {**ONE, "annotations": annotations} if annotations else ONE
    assert noted(data, note).get("annotations") == wanted


@pytest.mark.parametrize("case", CASES)
def test_only_what_is_named_changes(case: str) -> None:
    data, changes, wanted = CASES[case]
    before = repr(data)
    changed = changes.apply(data)
    assert repr(data) == before
    for given, found in zip(data["containers"], changed["containers"], strict=True):
        expected = {**given, **wanted.get(given["name"], {})}
        assert found == {key: value for key, value in expected.items() if value is not None}


@pytest.mark.parametrize(
    ("data", "changes", "message", "remedy"),
    [
        (TWO, TemplateChanges(["web:2"]), "shop has several containers: web and side", "--image CONTAINER=web:2"),
        (TWO, TemplateChanges(["front=web:2"]), "shop has no container front", "there is web and side"),
        (ONE, TemplateChanges(["web="]), "--image web=: the image is missing", "[CONTAINER=]IMAGE"),
        (TWO, TemplateChanges(env=["A=1"]), "shop has several containers: web and side", "--container NAME"),
        (ONE, TemplateChanges(env=["A"]), "'A' sets no variable", "NAME=VALUE"),
        (ONE, TemplateChanges(env=["=1"]), "'=1' sets no variable", "NAME=VALUE"),
        (ONE, TemplateChanges(unset=["A"]), "container web has no variable A", "there is none"),
        (TWO, TemplateChanges(unset=["A"], container="web"), "container web has no variable A", "there is KEY and LEVEL"),
        ({"name": "x"}, TemplateChanges(["y"]), "x has no containers", "containers:"),
    ],
)
def test_what_cannot_be_changed_says_what_can(
    data: dict[str, Any], changes: TemplateChanges, message: str, remedy: str
) -> None:
    with pytest.raises(CommandError) as caught:
        changes.apply(data)
    assert caught.value.message == message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("debug", "debug"),
        ({"secret": "db", "key": "password"}, "from secret db, key password"),
        ({"config": "app", "key": "level"}, "from config app, key level"),
        ({"field": "status.podIP"}, "from field status.podIP"),
        ({"resource": "limits.memory", "container": "web"}, "from resource limits.memory container web"),
    ],
)
def test_a_value_says_where_it_comes_from(value: Any, text: str) -> None:
    assert env.spoken(value) == text


def test_a_wrong_value_of_an_option_is_not_told_as_a_place_in_the_file() -> None:
    changes = TemplateChanges(["side=side:9"], ["LEVEL=bad"], container="web")
    changed = changes.apply(TWO)
    places = {"containers[0].image": (3, 1), "containers[1].image": (9, 3), "containers[0].env": (5, 3)}
    manifest = Manifest("app.yaml", changed, places, changes.options(TWO, changed))
    found = {path: manifest.at(path) for path in ("containers[0].image", "containers[1].image", "containers[0].env.LEVEL")}
    assert list(found.values()) == ["app.yaml:3:1", "--image", "--env LEVEL"]
    assert manifest.at("containers[0].env.KEY") == "app.yaml:5:3", "what an option does not change stands in the file"
    wrong = SimpleNamespace(field="containers[1].image", sentence="there is no image side:9")
    refusal = SimpleNamespace(fields=(wrong,), message="", reason="", remedy="", request_id="r")
    told = manifest_validation.located(manifest, cast("Any", refusal))
    assert told.message == "--image: containers[1].image: there is no image side:9"
    assert told.remedy == "correct these options, then deploy again"

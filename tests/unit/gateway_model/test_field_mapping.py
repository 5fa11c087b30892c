"""The simple form loses nothing: generated specs come back as they were, and so do simple objects."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_workload_specs import apps, names, texts, units

from pincompute.api import kinds as workloads
from pincompute.api import merge_patch
from pincompute.api import template_hash as pod_templates
from pincompute.api.labels import CHANGED_BY
from pincompute.api.quantity import InvalidQuantityError
from pincompute.gateway.model import APP, KINDS, PROJECT, UNIT, SimpleKind, codecs, of_workloads
from pincompute.gateway.model.diff import asked
from pincompute.gateway.model.simple_kind import stated_spec

EXAMPLES = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def resource(kind: SimpleKind[Any], spec: dict[str, Any], **metadata: Any) -> Any:
    place = {"namespace": "shop"} if kind.in_project else {}
    return msgspec.convert({"metadata": {"name": "x", "uid": "u", **place, **metadata}, "spec": spec}, kind.resource.type)


def spec_of(obj: Any) -> dict[str, Any]:
    """Without what means nothing: nulls, and defaults of the kind's own fields."""
    return codecs.plain(stated_spec(obj))


def data(simple: Any) -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.encode(simple))


def there_and_back(kind: SimpleKind[Any], spec: dict[str, Any]) -> None:
    obj = resource(kind, spec)
    simple = kind.to_simple(obj)
    manifest, _ = kind.to_manifest(data(simple))
    again = resource(kind, manifest["spec"])
    assert spec_of(again) == spec_of(obj)
    assert asked(kind.to_simple(again)) == asked(simple)


@EXAMPLES
@given(apps)
def test_an_app_comes_back_as_it_was(spec: dict[str, Any]) -> None:
    there_and_back(APP, spec)


@EXAMPLES
@given(units)
def test_a_unit_comes_back_as_it_was(spec: dict[str, Any]) -> None:
    there_and_back(UNIT, spec)


@given(st.fixed_dictionaries({}, optional={"description": texts, "members": st.lists(st.fixed_dictionaries({"name": names}))}))
def test_a_project_comes_back_as_it_was(spec: dict[str, Any]) -> None:
    there_and_back(PROJECT, spec)


@EXAMPLES
@given(apps)
def test_reading_and_writing_an_app_makes_no_new_revision(spec: dict[str, Any]) -> None:
    """Whoever sends back what they read restarts nothing (S-131)."""
    manifest, _ = APP.to_manifest(data(APP.to_simple(resource(APP, spec))))
    try:
        before = pod_templates.revision(spec["template"])
    except InvalidQuantityError:
        return
    assert pod_templates.revision(manifest["spec"]["template"]) == before


@given(st.dictionaries(names, texts, max_size=3), st.dictionaries(names, texts, max_size=3))
def test_the_platforms_own_notes_are_not_the_users(labels: dict[str, str], annotations: dict[str, str]) -> None:
    """S-253."""
    hidden = {CHANGED_BY: "1 dan", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    obj = resource(APP, {"template": {"spec": {}}}, generation=1, labels=labels, annotations={**annotations, **hidden})
    simple = APP.to_simple(obj)
    assert (simple.labels or {}, simple.annotations or {}, simple.author) == (labels, annotations, "dan")


def test_what_a_restart_writes_is_not_shown() -> None:
    annotations = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    obj = resource(APP, {"template": {"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "web"}]}}})
    assert APP.to_simple(obj).advanced is None


SAID = {
    "a probe with headers keeps them": (
        {"readinessProbe": {"httpGet": {"port": 80, "path": "/", "httpHeaders": [{"name": "Host", "value": "x"}]}}},
        {"health": {"http": {"port": 80, "path": "/"}}},
        {"readinessProbe": {"httpGet": {"httpHeaders": [{"name": "Host", "value": "x"}]}}},
    ),
    "a port of the node is not simple": (
        {"ports": [{"containerPort": 80, "hostPort": 80}]},
        {},
        {"ports": [{"containerPort": 80, "hostPort": 80}]},
    ),
    "environment from everywhere": (
        {
            "env": [
                {"name": "A", "value": "b"},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ]
        },
        {"env": {"A": "b", "S": {"secret": "s", "key": "k", "optional": True}, "IP": {"field": "status.podIP"}}},
        {},
    ),
    "devices of other makers stay": (
        {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "nvidia.com/gpu": 1, "example.com/fpga": 1}}},
        {"resources": {"cpu": "1", "gpu": 1, "limits": {"cpu": "2"}}},
        {"resources": {"limits": {"example.com/fpga": 1}}},
    ),
    "what is said to be false is not left out": (
        {"volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": False}]},
        {"mounts": [{"volume": "v", "path": "/v", "readOnly": False}]},
        {},
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_and_what_is_left(name: str) -> None:
    container, said, left = SAID[name]
    simple = APP.to_simple(resource(APP, {"template": {"spec": {"containers": [{"name": "web", **container}]}}}))
    data = asked(simple)
    assert data["containers"] == [{"name": "web", **said}]
    rest = {"template": {"spec": {"containers": [{"name": "web", **left}]}}} if left else None
    assert data.get("advanced") == rest


def test_an_object_that_the_rules_refuse_by_now_is_shown_as_it_is() -> None:
    there_and_back(APP, {"template": {"spec": {"containers": [{"name": "web", "readinessProbe": {"grpc": {"service": "x"}}}]}}})


@pytest.mark.parametrize("kind", [APP, UNIT], ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"zones": []},
        {"zones": ["a"]},
        {"advanced": {"placement": {}}},
        {"advanced": {"placement": {"zones": [], "clusters": [], "clusterSelector": {}}, "update": {}}},
    ],
    ids=str,
)
def test_what_says_nothing_is_not_shown_as_advanced(kind: SimpleKind[Any], said: dict[str, Any]) -> None:
    """Neither when it is said, nor when a merge patch has taken all of it away again."""
    document = {"kind": kind.name, "name": "x", "project": "shop", "containers": [{"name": "web", "image": "i"}], **said}
    manifest = kind.to_manifest(document)[0]
    emptied = {**manifest, "spec": merge_patch.apply(manifest["spec"], {"placement": {"zones": None, "clusters": None}})}
    for spec in (manifest["spec"], emptied["spec"]):
        assert kind.to_simple(resource(kind, spec)).advanced is None


def test_every_kind_has_its_place_and_name() -> None:
    assert [(kind.name, kind.path, kind.resource.kind) for kind in KINDS] == [
        ("App", "apps", "PinApp"),
        ("Unit", "units", "PinPod"),
        ("Project", "projects", "Project"),
    ]


def test_every_workload_kind_of_the_platform_has_a_simple_form() -> None:
    assert of_workloads(KINDS) == workloads.KINDS


def test_the_disruption_account_is_written_like_the_update() -> None:
    said = {"name": "x", "containers": [{"name": "a", "image": "i"}], "disruption": {"maxUnavailable": 1}}
    spec = APP.to_manifest(said)[0]["spec"]
    assert spec["disruption"] == {"maxUnavailable": 1}
    shown = APP.to_simple(resource(APP, spec))
    assert asked(shown)["disruption"] == {"maxUnavailable": 1}
    assert shown.advanced is None
    assert "disruption" not in asked(APP.to_simple(resource(APP, {**spec, "disruption": {}}))), "what says nothing is not shown"

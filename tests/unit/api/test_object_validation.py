"""Validation in Python, on the same table that a contract test puts to the API server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from manifest_samples import INPUTS, patched

from pincompute.api import crds, object_validation
from pincompute.api.kinds import KINDS


@pytest.mark.parametrize("name", INPUTS["good"])
def test_takes_what_is_good(name: str) -> None:
    assert object_validation.problems(patched(INPUTS["good"][name])) == []


@pytest.mark.parametrize("name", INPUTS["bad"])
def test_names_the_field_and_the_remedy(name: str) -> None:
    case = INPUTS["bad"][name]
    found = object_validation.problems(patched(case))
    assert [problem.field for problem in found if case["field"] in problem.field], found
    assert all(problem.message and problem.remedy for problem in found)


def test_tells_all_problems_at_once() -> None:
    case = {
        "patch": {"metadata": {"name": "X"}, "spec": {"replicas": -1, "tier": "Gold", "template": {"spec": {"hostPID": True}}}}
    }
    fields = {problem.field for problem in object_validation.problems(patched(case))}
    assert fields == {"metadata.name", "spec.replicas", "spec.tier", "spec.template.spec.hostPID"}


def pod(spec: dict[str, Any], **more: Any) -> list[str]:
    """Fields of the problems below the pod's spec."""
    case = {"patch": {"spec": {"template": {"spec": spec}, **more}}}
    return [problem.field.removeprefix("spec.template.spec.") for problem in object_validation.problems(patched(case))]


@pytest.mark.parametrize(
    ("amount", "refused"),
    [(32, True), ("32", True), ("512m", True), ("32Mi", False), (1048576, False), (0, True)],
)
def test_memory_without_a_suffix_is_hardly_meant_in_bytes(amount: Any, refused: bool) -> None:
    container = {"name": "web", "image": "i", "resources": {"limits": {"memory": amount}}}
    assert (pod({"containers": [container]}) == ["containers[0].resources.limits.memory"]) is refused


@pytest.mark.parametrize(
    "containers",
    [
        5,
        True,
        1.5,
        "x",
        [5],
        [{"name": "web", "image": "i", "resources": {"limits": 5}}],
        [{"name": "web", "image": "i", "resources": {"limits": {"memory": "9" * 5000}}}],
    ],
)
def test_what_has_another_type_is_reported_and_no_crash(containers: Any) -> None:
    assert pod({"containers": containers})


def test_a_template_counts_as_the_api_server_writes_it() -> None:
    """`<` takes six bytes there."""
    case = {"patch": {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "i", "args": ["<" * 100_000]}]}}}}}
    assert [problem.field for problem in object_validation.problems(patched(case))] == ["spec.template"]


def test_a_template_that_three_revisions_of_do_not_fit_into_a_shard_is_refused() -> None:
    many = [{"name": f"v{n}", "value": "x" * 1000} for n in range(500)]
    case = {"patch": {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "i", "env": many}]}}}}}
    (problem,) = object_validation.problems(patched(case))
    assert str(problem).startswith("spec.template: has 501 KiB, and the limit is 400 KiB")


WEB = {"name": "web", "image": "i"}
NOTHING_HIDES = {
    "a wrong item": (
        ["oops", WEB | {"ports": [{"containerPort": 99999}]}],
        {},
        ["containers[0]", "containers[1].ports[0].containerPort"],
    ),
    "a null item": ([None, WEB | {"image": 5}], {}, ["containers[0]", "containers[1].image"]),
    "a wrong item and a rule of the next": (
        [3, WEB | {"ports": [{"name": "a", "containerPort": 80}, {"name": "a", "containerPort": 81}]}],
        {},
        ["containers[0]", "containers[1].ports"],
    ),
    "a wrong item and a rule of the whole": (["oops"], {"hostNetwork": True}, ["containers[0]", "hostNetwork"]),
    "a wrong item and mounts of the next": (
        ["oops", WEB | {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        {},
        ["containers[0]", "containers"],
    ),
    "a wrong field and another": ([WEB | {"stdin": 1, "tty": 1}], {}, ["containers[0].stdin", "containers[0].tty"]),
    "a wrong amount and another": (
        [WEB | {"resources": {"requests": {"cpu": [], "memory": "x"}, "limits": {"cpu": "1"}}}],
        {},
        ["containers[0].resources.requests[cpu]", "containers[0].resources.requests[memory]"],
    ),
}


@pytest.mark.parametrize("case", NOTHING_HIDES)
def test_a_wrong_part_hides_no_other(case: str) -> None:
    containers, spec, fields = NOTHING_HIDES[case]
    assert sorted(pod({"containers": containers, **spec})) == sorted(fields)


CONSEQUENCES = {
    "volumes that are none": ({"volumes": 3}, ["volumes"]),
    "a volume that is none": ({"volumes": ["v"]}, ["volumes[0]"]),
    "a volume's name": ({"volumes": [{"name": 5}]}, ["volumes[0].name"]),
    "a policy that is none": ({"volumes": [{"name": "v"}], "restartPolicy": 5}, ["restartPolicy"]),
    "a deadline that is none": ({"volumes": [{"name": "v"}], "activeDeadlineSeconds": "x"}, ["activeDeadlineSeconds"]),
}


@pytest.mark.parametrize("case", CONSEQUENCES)
def test_a_rule_that_lacks_what_is_wrong_already_says_nothing(case: str) -> None:
    spec, fields = CONSEQUENCES[case]
    assert pod({"containers": [WEB | {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}], **spec}) == fields


def test_a_wrong_part_of_a_volume_leaves_its_name_to_judge() -> None:
    mounting = [WEB | {"volumeMounts": [{"name": "w", "mountPath": "/v"}]}]
    assert pod({"containers": mounting, "volumes": [{"name": "v", "emptyDir": 3}]}) == ["volumes[0].emptyDir", "containers"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            {"placement": {"zones": ["a", "z"]}},
            'spec.placement.zones[1]: zone "z" does not exist: choose from a, b, or leave zones out',
        ),
        (
            {"update": {"strategy": "ZoneByZone", "zoneOrder": ["z"]}},
            'spec.update.zoneOrder[0]: zone "z" does not exist: choose from a, b, or leave zoneOrder out',
        ),
    ],
)
def test_an_unknown_zone_is_a_problem_where_the_zones_are_known(spec: dict[str, Any], says: str) -> None:
    manifest = patched({"patch": {"spec": spec}})
    assert object_validation.problems(manifest) == []
    (problem,) = object_validation.problems(manifest, zones=["a", "b"])
    assert str(problem) == says


def test_another_kind_is_not_known() -> None:
    (problem,) = object_validation.problems({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}})
    assert problem.field == "kind"
    assert "PinApp (pincompute.io/v1alpha1)" in problem.remedy


def test_odd_input_is_a_problem_and_no_crash() -> None:
    for spec in (None, 3, [], {"template": []}, {"template": {"spec": {"containers": [None, 3]}}}, {"placement": {"zones": 1}}):
        manifest = INPUTS["base"]["PinApp"] | {"spec": spec}
        assert object_validation.problems(manifest, zones=["a"])
    assert object_validation.problems({})
    assert object_validation.problems(INPUTS["base"]["PinApp"] | {"metadata": 5})


def _rules_with_their_types(schema: Any) -> Iterator[tuple[Any, Any]]:
    """Yields each rule of a schema, with the least value of its type."""
    least: Any = {"object": {}, "array": [], "integer": 0}.get(schema.get("type"), "")
    yield from ((object_validation.RULES[r["rule"], r["message"]], least) for r in schema.get("x-kubernetes-validations", ()))
    for below in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(below, dict):
            yield from _rules_with_their_types(below)


@pytest.mark.parametrize("definition", crds.host(KINDS), ids=lambda definition: definition["spec"]["names"]["kind"])
def test_a_rule_counts_on_nothing_being_there_but_a_name(definition: Any):
    """Parts that are missing or of the wrong type are reported by the schema, and left out before rules are judged."""
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for rule, least in _rules_with_their_types({**schema, "x-kubernetes-validations": []}):
        list(rule.faults(least))

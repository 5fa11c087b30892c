"""Validation in Python, on the same table that a contract test puts to the API server."""

from __future__ import annotations

import pytest
from inputs import INPUTS, patched

from pincompute.api import validation


@pytest.mark.parametrize("name", INPUTS["good"])
def test_takes_what_is_good(name: str) -> None:
    assert validation.problems(patched(INPUTS["good"][name])) == []


@pytest.mark.parametrize("name", INPUTS["bad"])
def test_names_the_field_and_the_remedy(name: str) -> None:
    case = INPUTS["bad"][name]
    found = validation.problems(patched(case))
    assert [problem.field for problem in found if case["field"] in problem.field], found
    assert all(problem.message and problem.remedy for problem in found)


def test_tells_all_problems_at_once() -> None:
    case = {
        "patch": {"metadata": {"name": "X"}, "spec": {"replicas": -1, "tier": "Gold", "template": {"spec": {"hostPID": True}}}}
    }
    fields = {problem.field for problem in validation.problems(patched(case))}
    assert fields == {"metadata.name", "spec.replicas", "spec.tier", "spec.template.spec.hostPID"}


def test_an_unknown_zone_is_a_problem_where_the_zones_are_known() -> None:
    manifest = patched({"patch": {"spec": {"placement": {"zones": ["a", "z"]}}}})
    assert validation.problems(manifest) == []
    (problem,) = validation.problems(manifest, zones=["a", "b"])
    assert str(problem) == 'spec.placement.zones[1]: zone "z" does not exist: choose from a, b, or leave zones out'


def test_another_kind_is_not_known() -> None:
    (problem,) = validation.problems({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}})
    assert problem.field == "kind"
    assert "PinApp (pincompute.io/v1alpha1)" in problem.remedy


def test_odd_input_is_a_problem_and_no_crash() -> None:
    for spec in (None, 3, [], {"template": []}, {"template": {"spec": {"containers": [None, 3]}}}, {"placement": {"zones": 1}}):
        manifest = INPUTS["base"]["PinApp"] | {"spec": spec}
        assert validation.problems(manifest, zones=["a"])
    assert validation.problems({})
    assert validation.problems(INPUTS["base"]["PinApp"] | {"metadata": 5})

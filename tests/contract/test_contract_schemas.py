"""Structural schemas of custom kinds: pruning, defaults, violations named by field."""

from __future__ import annotations

from typing import Any

import pytest
from contract_client import Api, widget


async def test_unknown_fields_are_pruned(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w", oops=1, nested={"a": "1", "oops": 1}))).ok(201)
    assert "oops" not in made["spec"]
    assert made["spec"]["nested"] == {"a": "1", "b": "x"}


async def test_unknown_fields_are_kept_where_the_schema_says_so(api: Api) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"anything": [1, {"deep": True}]}}
    assert (await api.post(api.widgets(), widget("w", template=template))).ok(201)["spec"]["template"] == template


async def test_strict_validation_names_unknown_fields(api: Api) -> None:
    status = (await api.post(api.widgets(), widget("w", oops=1), fieldValidation="Strict")).refused(400, "BadRequest")
    assert 'unknown field "spec.oops"' in status["message"]


async def test_defaults_are_filled_in_where_their_parent_is(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w", ports=[{"name": "a"}]))).ok(201)
    assert made["spec"] == {"size": 1, "color": "red", "replicas": 1, "ports": [{"name": "a", "weight": 1}]}
    with_nested = (await api.post(api.widgets(), widget("n", nested={}))).ok(201)
    assert with_nested["spec"]["nested"] == {"b": "x"}


async def test_null_counts_as_absent_where_there_is_a_default(api: Api) -> None:
    assert (await api.post(api.widgets(), widget("w", color=None))).ok(201)["spec"]["color"] == "red"


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        ({"size": None}, "spec.size", ""),
        ({"size": "1"}, "spec.size", "must be of type integer"),
        ({"size": 1.5}, "spec.size", "must be of type integer"),
        ({"size": True}, "spec.size", "must be of type integer"),
        ({"size": -1}, "spec.size", "should be greater than or equal to 0"),
        ({"size": 101}, "spec.size", "should be less than or equal to 100"),
        ({"color": "green"}, "spec.color", 'supported values: "red", "blue"'),
        ({"code": "abcdef"}, "spec.code", "may not be more than 5"),
        ({"code": "A"}, "spec.code", "should match '^[a-z]*$'"),
        ({"amount": 1.5}, "spec.amount", "must be of type integer,string"),
        ({"amount": []}, "spec.amount", "must be of type integer,string"),
        ({"tags": ["a", "b", "c", "d"]}, "spec.tags", "must have at most 3 items"),
        ({"tags": ["a", "a"]}, "spec.tags[1]", "Duplicate value"),
        ({"ports": [{"name": "a"}, {"name": "a"}]}, "spec.ports[1]", "Duplicate value"),
        ({"ports": [{"port": 1}]}, "spec.ports[0].name", "Required value"),
        ({"options": {"a": 1}}, "spec.options.a", "must be of type string"),
        ({"nested": "x"}, "spec.nested", "must be of type object"),
        ({"plan": "x"}, "spec.plan", "must be of type array"),
    ],
)
async def test_violations_name_the_field_and_what_was_expected(api: Api, spec: dict[str, Any], field: str, says: str) -> None:
    status = (await api.post(api.widgets(), widget("w", **spec))).refused(422, "Invalid")
    causes = status["details"]["causes"]
    assert field in [cause["field"] for cause in causes], causes
    assert says in status["message"]
    assert status["message"].startswith('Widget.contract.pincompute.io "w" is invalid: ')
    assert (status["details"]["kind"], status["details"]["name"]) == ("Widget", "w")


async def test_all_violations_come_at_once(api: Api) -> None:
    status = (await api.post(api.widgets(), widget("w", size=-1, code="A"))).refused(422, "Invalid")
    assert {cause["field"] for cause in status["details"]["causes"]} == {"spec.size", "spec.code"}


@pytest.mark.parametrize("amount", [0, 7, "25%", ""])
async def test_int_or_string_takes_both(api: Api, amount: int | str) -> None:
    assert (await api.post(api.widgets(), widget("w", amount=amount))).ok(201)["spec"]["amount"] == amount


async def test_a_required_part_that_is_missing(api: Api) -> None:
    body = widget("w")
    del body["spec"]
    status = (await api.post(api.widgets(), body)).refused(422, "Invalid")
    assert [cause["field"] for cause in status["details"]["causes"]] == ["spec"]


async def test_status_is_validated_too(api: Api) -> None:
    (await api.post(api.widgets(), widget("w"))).ok(201)
    answer = await api.patch(api.widgets("w", "status"), {"status": {"conditions": [{"type": "A"}]}})
    status = answer.refused(422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "status.conditions[0].status"

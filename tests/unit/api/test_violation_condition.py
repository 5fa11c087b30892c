"""An API server evaluates the validations of a policy only for what the policy may refuse."""

from __future__ import annotations

import pytest

from pincompute import installation
from pincompute.api import violation_condition
from pincompute.api.meta import GROUP, Manifest

JUDGED_BY_VALIDATIONS = {
    "host": {f"in-place-only.{GROUP}", f"sidecars-allowed.{GROUP}", f"audit-heads.{GROUP}"},
    "member": {f"node-access-of-{kind}.{GROUP}" for kind in ("shards", "daemonsets", "pods")},
}
"""`sidecars-allowed` asks every sidecar, and `node-access-of-` what is granted, which a condition cannot. The others are long
and seldom concern a request.
"""


def policy(expression: str, *, condition: str = "", **variables: str) -> Manifest:
    return {
        "validations": [{"expression": expression, "messageExpression": "'no'"}],
        **({"matchConditions": [{"name": "wanted", "expression": condition}]} if condition else {}),
        **({"variables": [{"name": name, "expression": cel} for name, cel in variables.items()]} if variables else {}),
    }


@pytest.mark.parametrize(
    ("spec", "plainly", "expected"),
    [
        (policy("a || b"), "", "!((a || b))"),
        (policy("a", condition="b || c"), "", "(b || c) && !((a))"),
        (policy("variables.y", x="a || b", y="!variables.x"), "", "!(((!(a || b))))"),
        (policy("variables.x && namespaceObject.a", x="a"), "variables.x", "!((a))"),
        (policy("namespaceObject.a"), "", None),
        (policy("variables.x", x="params.a"), "", None),
        (policy(" && ".join(["variables.x"] * 7), x="a"), "", None),
        (policy("variables.x", x="a" * 9000), "", None),
    ],
)
def test_the_condition_says_what_the_validations_say(spec: Manifest, plainly: str, expected: str | None):
    judged = violation_condition.add(spec, plainly)
    assert judged["validations"] == spec["validations"]
    if expected is None:
        assert judged == spec
    else:
        assert judged["matchConditions"] == [{"name": violation_condition.VIOLATES, "expression": expected}]


@pytest.mark.parametrize("role", ["host", "member"])
def test_every_policy_has_one(role: installation.Role):
    policies = [each for each in installation.of(role) if each["kind"] == "ValidatingAdmissionPolicy"]
    without = {
        each["metadata"]["name"]
        for each in policies
        if violation_condition.VIOLATES not in [c["name"] for c in each["spec"].get("matchConditions", ())]
    }
    assert without == JUDGED_BY_VALIDATIONS[role]

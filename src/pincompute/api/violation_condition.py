"""Gives an admission policy a match condition that is true only for what the policy refuses.

An API server evaluates the match conditions of a policy in one round. The validations take three more, each with all variables
anew, and one of them words the refusal of what the policy allows. So nearly every request costs a quarter where the condition
decides. What the condition lets through is judged by the validations as ever.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pincompute.api.meta import Manifest

_FEW = 6  # names of variables that are written out
_LONGEST = 8000  # characters with the variables written out
_UNKNOWN = re.compile(r"\b(namespaceObject|params|variables)\b")  # to a match condition
_VARIABLE = re.compile(r"\bvariables\.(\w+)")
VIOLATES = "violates"


def add(spec: Manifest, plainly_holds: str = "") -> Manifest:
    """Returns the policy's spec with one condition in place of its own ones, or as it is where a condition cannot judge.

    `plainly_holds` is CEL that is true only where every validation holds; without it, the validations themselves are taken.
    It may name the policy's variables.
    """
    variables = spec.get("variables", [])
    holds = plainly_holds or " && ".join(f"({validation['expression']})" for validation in spec["validations"])
    violates = _written_out(f"!({holds})", variables)
    # one expression has the bound on costs that each validation has, and evaluates a variable again wherever its name stands
    long = len(violates) > _LONGEST or len(_VARIABLE.findall(holds)) > _FEW
    if _UNKNOWN.search(violates) or (long and not plainly_holds):
        return spec
    # an API server evaluates all conditions, whatever the first ones say
    conditions = [*(f"({condition['expression']})" for condition in spec.get("matchConditions", ())), violates]
    return {**spec, "matchConditions": [{"name": VIOLATES, "expression": " && ".join(conditions)}]}


def _written_out(cel: str, variables: Sequence[Manifest]) -> str:
    """Returns the CEL with the policy's variables in place of their names."""
    for variable in reversed(variables):  # a variable names earlier ones only
        cel = _VARIABLE.sub(
            lambda found, variable=variable: f"({variable['expression']})" if found[1] == variable["name"] else found[0], cel
        )
        if len(cel) > 100 * _LONGEST:
            break
    return cel

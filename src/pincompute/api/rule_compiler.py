"""Turns the rules of a schema into one CEL expression that names every violation in an object, for an admission policy.

The API server evaluates rules inside a CustomResourceDefinition on every write, on those of the status too. A policy is
evaluated only on the requests that it matches. The expression gives one line for each violation, `field: problem: remedy`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from pincompute.api import labels
from pincompute.api.meta import Manifest
from pincompute.api.projects import RESTRICTED
from pincompute.api.structural_schema import Schema

RULES = "x-kubernetes-validations"
_TEMPLATE = ("object.spec", "template")
_LEVEL = (
    f"[namespaceObject.metadata.?labels[?'{labels.POD_SECURITY}'].orValue('')]"
    f".map(l, l in ['baseline', 'privileged'] ? l : '{RESTRICTED}')[0]"
)
_HOST_USERS = "object.?spec.?template.?spec.?hostUsers.orValue(true) != false"
TEMPLATE_STAYS = "oldObject != null && object.spec.template == oldObject.spec.template"
_LONGEST = 4000  # characters; the API server does not show a message above 5 KiB


_LINE = "variables.problems.trim().replace('\\n', '; ')"
VALIDATION: Manifest = {
    "expression": "variables.problems == ''",
    "messageExpression": f"variables.problems.size() > {_LONGEST} ? {_LINE}.substring(0, {_LONGEST}) + '…' : {_LINE}",
    "reason": "Invalid",
}
"""Refuses an object for the lines in the policy's variable `problems`."""


def variables(schema: Schema) -> list[Manifest]:
    """CEL over `object` for a policy: the last variable, `problems`, is empty where nothing is wrong.

    A rule with `levels` applies where the namespace enforces one of these levels of Pod Security. The rules of the pod template
    are judged when it changes. So a workload whose template a later version refuses can still be stopped, paused and scaled.
    The schema's types must have been checked before. Each list of the object has a variable of its own, because the API server
    bounds the cost of each expression and evaluates a variable only where it is used.
    """
    lists: dict[str, str] = {}
    problems = _joined(_lines(schema, _Place("object", lists=lists)))
    return [
        {"name": name, "expression": cel}
        for name, cel in (("level", _LEVEL), ("hostUsers", _HOST_USERS), *lists.items(), ("problems", problems))
    ]


def without_rules(schema: Schema) -> Schema:
    """The schema with the rules left out."""
    kept: Schema = {}
    for name, part in schema.items():
        if name == RULES:
            continue
        if name == "properties":
            kept[name] = {field: without_rules(below) for field, below in part.items()}
        elif name in ("items", "additionalProperties") and isinstance(part, dict):
            kept[name] = without_rules(cast("Schema", part))
        else:
            kept[name] = part
    return kept


@dataclass(frozen=True, slots=True)
class _Place:
    """A value in the object: the CEL that gives it, and the CEL that gives its field's name in messages."""

    value: str
    field: str = "''"
    depth: int = 0
    lists: dict[str, str] = dataclasses.field(default_factory=dict[str, str])

    def below(self, name: str) -> _Place:
        return _Place(f"{self.value}.{name}", self.named(f".{name}"), self.depth, self.lists)

    def named(self, ending: str) -> str:
        """The field's name with literal text after it."""
        if self.field == "''":
            return f"'{ending.removeprefix('.')}'"
        if self.field.endswith("'"):
            return f"{self.field[:-1]}{ending}'"
        return f"{self.field} + '{ending}'" if ending else self.field


def _lines(schema: Schema, place: _Place) -> Iterator[str]:
    """A CEL string for each rule of the value and of what it holds."""
    for rule in schema.get(RULES, ()):
        yield _judged(rule, place)
    required = schema.get("required", ())
    for name, below in schema.get("properties", {}).items():
        found = _joined(_lines(below, place.below(name)))
        if found and (place.value, name) == _TEMPLATE:
            yield f"({TEMPLATE_STAYS} ? '' : {found})"
        elif found:
            yield found if name in required and place.value != "object" else f"(has({place.value}.{name}) ? {found} : '')"
    yield from _elements(schema, place)


def _elements(schema: Schema, place: _Place) -> Iterator[str]:
    """A CEL string for the elements of a list, or the values of a map."""
    number = place.depth
    items: Schema | None = schema.get("items")
    values: Schema | None = schema.get("additionalProperties")
    if items is not None:
        here = f"{place.named('[')} + string(i{number}) + ']'"
        if found := _joined(_lines(items, _Place(f"v{number}", here, number + 1))):
            listed = f"{place.value}.transformList(i{number}, v{number}, {found}).join('')"
            yield listed if number else _hoisted(listed, place.lists)
    if values is not None:
        here = f"{place.named('[')} + k{number} + ']'"
        if found := _joined(_lines(values, _Place(f"{place.value}[k{number}]", here, number + 1))):
            yield f"{place.value}.map(k{number}, {found}).join('')"


def _hoisted(expression: str, lists: dict[str, str]) -> str:
    name = f"list{len(lists)}"
    lists[name] = expression
    return f"variables.{name}"


def _judged(rule: Manifest, place: _Place) -> str:
    """The rule says `self` of the value that it judges. `level` and `hostUsers` are variables of the policy."""
    said = rule["message"].replace("\\", "\\\\").replace("'", "\\'")
    field = _Place("", place.named(rule.get("fieldPath", ""))) if place.value != "object" else place
    line = field.named(f": {said}\\n") if place.value != "object" else f"'{said}\\n'"
    lifted = f"!(variables.level in {rule['levels']}) || " if "levels" in rule else ""
    lifted += "!variables.hostUsers || " if rule.get("hostUsers") else ""
    return f"({lifted}[{place.value}].all(self, {rule['rule']}) ? '' : {line})"


def _joined(lines: Iterator[str]) -> str:
    found = list(lines)
    return found[0] if len(found) == 1 else f"({' + '.join(found)})" if found else ""

"""Turns the rules of a schema into one CEL expression that names every violation in an object, for an admission policy.

The API server evaluates rules inside a CustomResourceDefinition on every write, on those of the status too. A policy is
evaluated only on the requests that it matches. The expression gives one line for each violation, `field: problem: remedy`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

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
_HOLDS_WITHOUT = re.compile(r"!has\(self\.(\w+)\)(?: \|\| |$)")
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
_BRACKETS = re.compile(r"\([^()\[\]{}]*\)|\[[^()\[\]{}]*\]|\{[^()\[\]{}]*\}")
_SELF = re.compile(rf"({_TEXT.pattern})|(?<![\w.])self(?!\w)")
_FEW = 3
_USUAL_FIELDS = frozenset(
    {
        *("spec", "template", "metadata", "labels", "annotations", "update", "placement", "disruption"),
        *("containers", "initContainers", "securityContext", "serviceAccountName", "terminationGracePeriodSeconds", "volumes"),
        *("name", "image", "command", "args", "env", "envFrom", "ports", "resources", "volumeMounts", "requests", "limits"),
        *("livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "httpGet", "tcpSocket", "exec"),
    }
)
"""Fields that many workloads have. Each is looked for by itself, and the others all at once."""
_SHORT = 10  # elements of a list or map that a single expression may judge
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
    form = _Problems()
    problems = form.joined(list(_judgements(schema, _Place("object"), form)))
    return [
        {"name": name, "expression": cel}
        for name, cel in (("level", _LEVEL), ("hostUsers", _HOST_USERS), *form.lists.items(), ("problems", problems))
    ]


def plainly_holds(schema: Schema) -> str:
    """CEL over `object`, for a match condition: true only where `problems` is empty, at the cost of one short expression.

    It judges by the strictest level, because a match condition does not know the namespace, and takes no list for granted that
    is so long that it could reach the bound on the cost of an expression. What is not plain is for `problems` to judge.
    """
    form = _Truth()
    return form.joined(list(_judgements(schema, _Place("object"), form)))


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

    def below(self, name: str) -> _Place:
        return _Place(f"{self.value}.{name}", self.named(f".{name}"), self.depth)

    def element(self, index: str) -> _Place:
        return _Place(f"v{self.depth}", f"{self.named('[')} + {index} + ']'", self.depth + 1)

    def named(self, ending: str) -> str:
        """The field's name with literal text after it."""
        if self.field == "''":
            return f"'{ending.removeprefix('.')}'"
        if self.field.endswith("'"):
            return f"{self.field[:-1]}{ending}'"
        return f"{self.field} + '{ending}'" if ending else self.field


class _Form(Protocol):
    """What the CEL gives, and how the judgements of parts become that of the whole."""

    def rule(self, rule: Manifest, place: _Place) -> str: ...
    def where(self, present: str, judged: str) -> str: ...
    def unless(self, stays: str, judged: str) -> str: ...
    def joined(self, judged: list[str]) -> str: ...
    def items(self, place: _Place, judged: str) -> str: ...
    def values(self, place: _Place, judged: str) -> str: ...


class _Problems:
    """The CEL gives a line for each problem. `lists` are the expressions that need a variable."""

    def __init__(self) -> None:
        self.lists: dict[str, str] = {}

    def rule(self, rule: Manifest, place: _Place) -> str:
        """The rule says `self` of the value that it judges. `level` and `hostUsers` are variables of the policy."""
        said = rule["message"].replace("\\", "\\\\").replace("'", "\\'")
        field = _Place("", place.named(rule.get("fieldPath", ""))) if place.value != "object" else place
        line = field.named(f": {said}\\n") if place.value != "object" else f"'{said}\\n'"
        lifted = f"!(variables.level in {rule['levels']}) || " if "levels" in rule else ""
        lifted += "!variables.hostUsers || " if rule.get("hostUsers") else ""
        return f"({lifted}{_of_value(rule['rule'], place.value)} ? '' : {line})"

    def where(self, present: str, judged: str) -> str:
        return f"({present} ? {judged} : '')"

    def unless(self, stays: str, judged: str) -> str:
        return f"({stays} ? '' : {judged})"

    def joined(self, judged: list[str]) -> str:
        return _joined(" + ", judged)

    def items(self, place: _Place, judged: str) -> str:
        listed = f"{place.value}.transformList(i{place.depth}, v{place.depth}, {judged}).join('')"
        if place.depth:
            return listed
        name = f"list{len(self.lists)}"
        self.lists[name] = listed
        return f"variables.{name}"

    def values(self, place: _Place, judged: str) -> str:
        return f"{place.value}.transformList(k{place.depth}, v{place.depth}, {judged}).join('')"


class _Truth:
    """The CEL is true where all rules hold."""

    def rule(self, rule: Manifest, place: _Place) -> str:
        return _of_value(rule["rule"], place.value)

    def where(self, present: str, judged: str) -> str:
        return f"(!{present} || {judged})"

    def unless(self, stays: str, judged: str) -> str:
        return f"({stays} || {judged})"

    def joined(self, judged: list[str]) -> str:
        return _joined(" && ", judged)

    def items(self, place: _Place, judged: str) -> str:
        return f"({place.value}.size() <= {_SHORT} && {place.value}.all(v{place.depth}, {judged}))"

    def values(self, place: _Place, judged: str) -> str:
        return f"({place.value}.size() <= {_SHORT} && {place.value}.all(k{place.depth}, v{place.depth}, {judged}))"


def _judgements(schema: Schema, place: _Place, form: _Form) -> Iterator[str]:
    """Yields the CEL for each rule of the value and of what it holds."""
    optional: dict[str, list[str]] = defaultdict(list)
    for rule in schema.get(RULES, ()):
        if field := _needed_field(rule["rule"]):
            optional[field].append(form.rule(rule, place))
        else:
            yield form.rule(rule, place)
    required = schema.get("required", ())
    for name, below in schema.get("properties", {}).items():
        found = form.joined(list(_judgements(below, place.below(name), form)))
        if found and (place.value, name) == _TEMPLATE:
            yield form.unless(TEMPLATE_STAYS, found)
        elif found and name in required and place.value != "object":
            yield found
        elif found:
            optional[name].append(found)
    yield from _where_present(place.value, {name: form.joined(found) for name, found in optional.items()}, form)
    yield from _elements(schema, place, form)


def _where_present(value: str, judged: dict[str, str], form: _Form) -> Iterator[str]:
    """Yields the judgement of each field that is there. One look at the fields that are there passes over all rare ones."""
    found = {name: form.where(f"has({value}.{name})", cel) for name, cel in judged.items()}
    rare = [name for name in found if name not in _USUAL_FIELDS]
    if len(rare) <= _FEW:
        yield from found.values()
        return
    yield from (cel for name, cel in found.items() if name not in rare)
    yield form.where(f"{value}.exists(f, f in {rare})", form.joined([found[name] for name in rare]))


def _elements(schema: Schema, place: _Place, form: _Form) -> Iterator[str]:
    """Yields the CEL for the elements of a list, or the values of a map."""
    items: Schema | None = schema.get("items")
    values: Schema | None = schema.get("additionalProperties")
    if items is not None:
        element = place.element(f"string(i{place.depth})")
        if found := form.joined(list(_judgements(items, element, form))):
            yield form.items(place, found)
    if values is not None:
        element = place.element(f"k{place.depth}")
        if found := form.joined(list(_judgements(values, element, form))):
            yield form.values(place, found)


def _needed_field(rule: str) -> str:
    """Returns the field without which the rule holds, where the rule begins with that condition, and otherwise nothing."""
    begins = _HOLDS_WITHOUT.match(rule)
    outside = _TEXT.sub("", rule)
    while _BRACKETS.search(outside):
        outside = _BRACKETS.sub("", outside)
    return begins[1] if begins and "?" not in outside else ""  # a ternary binds weaker than the condition


def _of_value(rule: str, value: str) -> str:
    """Returns the rule about the value. The rule names the value itself where that costs less than a variable for it."""
    if "." in value and sum(not found[1] for found in _SELF.finditer(rule)) > _FEW:
        return f"[{value}].all(self, {rule})"
    return f"({_SELF.sub(lambda found: found[1] or value, rule)})"


def _joined(operator: str, judged: list[str]) -> str:
    return judged[0] if len(judged) == 1 else f"({operator.join(judged)})" if judged else ""

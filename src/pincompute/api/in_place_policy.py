"""Makes the admission policy that refuses changes which need new pods where `update.inPlace: Require` rules new pods out.

It compares what is written, field by field, and not what it means: another notation of the same value counts as a change. The
gateway judges by meaning and is exempt (`in_place_change`). What is stopped has no pods to replace. Of resources, it allows
what `resizable_resources` allows, but none where a variable contains any amount.
"""

from __future__ import annotations

from typing import Any, cast

from pincompute.api import template_schema
from pincompute.api.labels import RESTARTED_AT
from pincompute.api.meta import Manifest
from pincompute.api.resizable_resources import PARTS, RESIZABLE
from pincompute.api.template_defaults import CONTAINER_LISTS

_TEMPLATE = "spec.template"
_REQUIRED = "object.spec.?update.?inPlace.orValue('Prefer') == 'Require' && !object.spec.?stopped.orValue(false)"
_RESTARTED = f"?metadata.?annotations[?'{RESTARTED_AT}'].orValue('')"


def body() -> Manifest:
    """Returns conditions, variables and validation; the last variable names every field that forces new pods."""
    schema = template_schema.schema()["properties"]["spec"]
    lists = {where: _containers(where, _fields(schema["properties"][where]["items"])) for where in CONTAINER_LISTS}
    whole = [_line("variables", name) for name in _fields(schema) if name not in CONTAINER_LISTS]
    restarted = (
        f"(object.{_TEMPLATE}.{_RESTARTED} == oldObject.{_TEMPLATE}.{_RESTARTED} ? '' "
        f": '{_TEMPLATE}.metadata.annotations[{RESTARTED_AT}]')"
    )
    return {
        "matchConditions": [
            {"name": "new-pods-ruled-out", "expression": _REQUIRED},
            {"name": "template-changes", "expression": f"object.{_TEMPLATE} != oldObject.{_TEMPLATE}"},
        ],
        "variables": [
            {"name": "before", "expression": f"oldObject.{_TEMPLATE}.spec"},
            {"name": "after", "expression": f"object.{_TEMPLATE}.spec"},
            {"name": "resizable", "expression": _resizable()},
            *({"name": name, "expression": cel} for name, cel in lists.items()),
            {"name": "whole", "expression": _said([*whole, restarted])},
            {"name": "forcing", "expression": _said(["variables.whole", *(f"variables.{name}" for name in lists)])},
        ],
        "validations": [
            {
                "expression": "variables.forcing == ''",
                "messageExpression": "'no running pod can take another ' + variables.forcing + ', and "
                "spec.update.inPlace is Require: leave it as it is, or allow new pods with Prefer'",
                "reason": "Invalid",
            }
        ],
    }


def _resizable() -> str:
    """CEL: neither template requests anything as a whole or passes an amount to a program, and both have one quality of
    service. Requests and the limit of memory are never absent: each takes the other, or both the default.
    """
    sides = ("variables.before", "variables.after")
    plain = [f"!has({side}.resources) && {_all(side)}.all(c, {_NO_AMOUNT_PASSED})" for side in sides]
    before, after = (f"{_all(side)}.all(c, {_GUARANTEED})" for side in sides)
    return f"{' && '.join(plain)} && ({before}) == ({after})"


def _all(side: str) -> str:
    return f"({side}.containers + {side}.?initContainers.orValue([]))"


def _amounts(container: str, part: str) -> str:
    return f"{container}.?resources.?{part}.orValue({{}})"


def _equal(name: str) -> str:
    """CEL: the request of container `c` is its limit."""
    requests, limits = _amounts("c", "requests"), _amounts("c", "limits")
    return f"(!('{name}' in {requests}) || !('{name}' in {limits}) || {requests}['{name}'] == {limits}['{name}'])"


_NO_AMOUNT_PASSED = "c.?env.orValue([]).all(e, !has(e.valueFrom) || !has(e.valueFrom.resourceFieldRef))"
_GUARANTEED = f"'cpu' in {_amounts('c', 'limits')} && {_equal('cpu')} && {_equal('memory')}"


def _keeps(old: str) -> str:
    """CEL: container `c` has a limit of CPU exactly if the old one has, and the same of all other resources."""
    rules = [
        f"('cpu' in {_amounts('c', 'limits')}) == ('cpu' in {_amounts(old, 'limits')})",
        f"c.?resources.?claims == {old}.?resources.?claims",
    ]
    for part in PARTS:
        for one, other in ((_amounts("c", part), _amounts(old, part)), (_amounts(old, part), _amounts("c", part))):
            rules.append(f"{one}.all(k, k in {list(RESIZABLE)} || (k in {other} && {one}[k] == {other}[k]))")
    return " && ".join(rules)


def _fields(schema: Manifest) -> list[str]:
    return sorted(cast("dict[str, Any]", schema["properties"]))


def _line(at: str, name: str) -> str:
    return f"({at}.after.?{name} == {at}.before.?{name} ? '' : '{_TEMPLATE}.spec.{name}')"


def _said(parts: list[str]) -> str:
    """CEL: those of the texts that say something, in one text."""
    return f"[{', '.join(parts)}].filter(f, f != '').join(', ')"


def _containers(where: str, fields: list[str]) -> str:
    """CEL: the fields of containers, by position; the list itself where containers come, go or change their order."""
    old, new = (f"variables.{side}.?{where}.orValue([])" for side in ("before", "after"))
    kept = [name for name in fields if name not in ("image", "resources")]
    parts = [f"(c.?{name} == {old}[i].?{name} ? '' : '{name}')" for name in kept]
    runs = "" if where == "containers" else "c.?restartPolicy.orValue('') == 'Always' && "
    resized = f"{runs}variables.resizable && {_keeps(f'{old}[i]')}"
    parts.append(f"(c.?resources == {old}[i].?resources || ({resized}) ? '' : 'resources')")
    if where == "initContainers":  # a plain init container has ended long ago
        parts.append(f"(c.?restartPolicy.orValue('') == 'Always' || c.?image == {old}[i].?image ? '' : 'image')")
    found = f"[{', '.join(parts)}].filter(f, f != '').map(f, '{_TEMPLATE}.spec.{where}[' + string(i) + '].' + f).join(', ')"
    return (
        f"{new}.map(c, c.name) != {old}.map(c, c.name) ? '{_TEMPLATE}.spec.{where}' "
        f": {new}.transformList(i, c, {found}).filter(f, f != '').join(', ')"
    )

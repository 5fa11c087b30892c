"""Makes the admission policy that refuses changes which need new pods where `update.inPlace: Require` rules new pods out.

It compares what is written, field by field, and not what it means: another notation of the same value counts as a change. The
gateway judges by meaning and is exempt (`in_place_change`). What is stopped has no pods to replace.
"""

from __future__ import annotations

from typing import Any, cast

from pincompute.api import template_schema
from pincompute.api.labels import RESTARTED_AT
from pincompute.api.meta import Manifest
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
    kept = [name for name in fields if name != "image"]
    parts = [f"(c.?{name} == {old}[i].?{name} ? '' : '{name}')" for name in kept]
    if where == "initContainers":  # a plain init container has ended long ago
        parts.append(f"(c.?restartPolicy.orValue('') == 'Always' || c.?image == {old}[i].?image ? '' : 'image')")
    found = f"[{', '.join(parts)}].filter(f, f != '').map(f, '{_TEMPLATE}.spec.{where}[' + string(i) + '].' + f).join(', ')"
    return (
        f"{new}.map(c, c.name) != {old}.map(c, c.name) ? '{_TEMPLATE}.spec.{where}' "
        f": {new}.transformList(i, c, {found}).filter(f, f != '').join(', ')"
    )

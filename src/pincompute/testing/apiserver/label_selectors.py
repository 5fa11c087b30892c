"""Evaluates label selectors (equality and set based) and the field selectors that the platform uses."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from pincompute.api.meta import Manifest
from pincompute.testing.apiserver import error_responses

Predicate: TypeAlias = Callable[[Manifest], bool]
Requirement: TypeAlias = Callable[[dict[str, str]], bool]

_SET = re.compile(r"^(\S+)\s+(in|notin)\s*\(([^)]*)\)$")
_EQUAL = re.compile(r"^([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)$")
_EXISTS = re.compile(r"^(!?)\s*([^\s=!(),]+)$")
_SPLIT = re.compile(r",(?![^(]*\))")

_FIELDS: dict[str, tuple[str, ...]] = {
    "metadata.name": (),
    "metadata.namespace": (),
    "spec.nodeName": ("pods",),
    "spec.unschedulable": ("nodes",),
    "spec.restartPolicy": ("pods",),
    "status.phase": ("pods", "namespaces"),
    "status.podIP": ("pods",),
    "type": ("secrets",),
    "involvedObject.name": ("events",),
    "involvedObject.uid": ("events",),
    "reason": ("events",),
}
"""Selectable fields, and the kinds that have them (none: all kinds)."""


@lru_cache(maxsize=1024)
def matcher(label_selector: str, field_selector: str, plural: str) -> Predicate:
    """Whether an object is selected. Raises BadRequest for a selector that an API server would not take."""
    labels = tuple(_requirement(part.strip()) for part in _SPLIT.split(label_selector) if part.strip())
    fields = tuple(_field(part.strip(), plural) for part in field_selector.split(",") if part.strip())
    if not labels and not fields:
        return lambda _: True

    def selected(obj: Manifest) -> bool:
        own: dict[str, str] = obj["metadata"].get("labels") or {}
        return all(wanted(own) for wanted in labels) and all(wanted(obj) for wanted in fields)

    return selected


def _requirement(text: str) -> Requirement:
    if found := _SET.match(text):
        key, operator, listed = found.groups()
        values = frozenset(value.strip() for value in listed.split(","))
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(text):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(text):
        negated, key = found.groups()
        return lambda labels: (key in labels) is not bool(negated)
    raise error_responses.bad_request(
        f"unable to parse requirement: {text!r} is no label selector; expected key=value, key in (a,b) or !key"
    )


def _field(text: str, plural: str) -> Predicate:
    found = _EQUAL.match(text)
    if not found:
        raise error_responses.bad_request(f"invalid field selector: {text!r}; expected field=value")
    name, operator, value = found.groups()
    kinds = _FIELDS.get(name)
    if kinds is None or (kinds and plural not in kinds):
        raise error_responses.bad_request(f"field label not supported: {name}")
    path = tuple(name.split("."))
    return lambda obj: (_text(obj, path) == value) is (operator != "!=")


def _text(obj: Manifest, path: tuple[str, ...]) -> str:
    found: Manifest | None = obj
    for name in path[:-1]:
        found = (found or {}).get(name)
    value = (found or {}).get(path[-1], "")
    return str(value).lower() if isinstance(value, bool) else str(value)

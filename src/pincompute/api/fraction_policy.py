"""Lets users write amounts as fractions without quotes, such as `cpu: 0.1`, as in built-in kinds (S-131).

A structural schema accepts amounts as whole numbers or text. A mutating policy therefore turns fractions into text before the
API server validates the schema. `as_text` is its CEL expression: it yields one JSON patch for each map of amounts that holds a
fraction.
"""

from __future__ import annotations

from pincompute.api.template_defaults import CONTAINER_LISTS

_PARTS = ("requests", "limits")
_CLAIM = "ephemeral.volumeClaimTemplate.spec.resources"
_OF_POD = ("overhead", *(f"resources.{part}" for part in _PARTS))
_POD = "object.spec.template.spec"
_PATH = "/spec/template/spec"


def as_text() -> str:
    """A list of JSONPatch, for a PinApp or PinPod whose parts have the types they should have; else it cannot be evaluated."""
    containers = [_in_items(where, f"resources.{part}") for where in CONTAINER_LISTS for part in _PARTS]
    claims = [_in_items("volumes", f"{_CLAIM}.{part}") for part in _PARTS]
    pod = [_in_map(part) for part in _OF_POD]
    return " + ".join((*containers, *claims, *pod, _in_sizes()))


def holds_fraction() -> str:
    """CEL: there is something to do. A policy that matches costs a copy of the object, even when it changes nothing."""
    containers = [_exists(where, _holds_fraction("c", f"resources.{part}")) for where in CONTAINER_LISTS for part in _PARTS]
    claims = [_exists("volumes", _holds_fraction("c", f"{_CLAIM}.{part}")) for part in _PARTS]
    pod = [_holds_fraction(_POD, part) for part in _OF_POD]
    return " || ".join((*containers, *pod, *claims, _exists("volumes", _is_fraction("c"))))


def _exists(where: str, condition: str) -> str:
    return f"{_POD}.?{where}.orValue([]).exists(c, {condition})"


def _in_items(where: str, amounts: str) -> str:
    """Makes the patches of a map of amounts in every item of a list."""
    path = f"'{_PATH}/{where}/' + string(i) + '{_pointer(amounts)}'"
    patch = _patch(path, _map_as_text(f"c.{amounts}"))
    return f"{_POD}.?{where}.orValue([]).transformList(i, c, {_holds_fraction('c', amounts)}, {patch})"


def _in_map(amounts: str) -> str:
    """Makes the patches of a map of amounts of the pod itself."""
    patch = _patch(f"'{_PATH}{_pointer(amounts)}'", _map_as_text(f"{_POD}.{amounts}"))
    return f"({_holds_fraction(_POD, amounts)} ? [{patch}] : [])"


def _in_sizes() -> str:
    """Makes the patches of the sizes of empty folders, which are single amounts."""
    patch = _patch(f"'{_PATH}/volumes/' + string(i) + '/emptyDir/sizeLimit'", "string(v.emptyDir.sizeLimit)")
    return f"{_POD}.?volumes.orValue([]).transformList(i, v, {_is_fraction('v')}, {patch})"


def _is_fraction(volume: str) -> str:
    return f"type({volume}.?emptyDir.?sizeLimit.orValue(0)) == double"


def _holds_fraction(owner: str, amounts: str) -> str:
    return f"{owner}.?{amounts.replace('.', '.?')}.orValue({{}}).exists(k, type({owner}.{amounts}[k]) == double)"


def _map_as_text(amounts: str) -> str:
    return f"{amounts}.transformMap(k, v, type(v) == double ? dyn(string(v)) : dyn(v))"


def _patch(path: str, value: str) -> str:
    return f"JSONPatch{{op: 'replace', path: {path}, value: {value}}}"


def _pointer(dotted: str) -> str:
    """The JSON pointer."""
    return "/" + dotted.replace(".", "/")

"""Computes with sets of fields in the form of `managedFields.fieldsV1`.

A set is a tree: `{"f:spec": {"f:replicas": {}}}`. An empty node is a member; a node that is a member and has members below it
carries `"."`. No set contains an empty branch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

from pincompute.testing.apiserver.jsondata import is_list, is_map
from pincompute.testing.apiserver.merge_strategies import MergeStrategy

Fields: TypeAlias = dict[str, Any]

SELF = "."


def of(value: Any, shape: MergeStrategy) -> Fields:
    """All fields that a value sets."""
    if is_map(value) and value and not shape.atomic:
        return {f"f:{name}": of(part, shape.field(name)) for name, part in value.items()}
    if is_list(value) and (shape.keys or shape.each):
        return {shape.element(item): _item(item, shape) for item in value}
    return {}


def _item(item: Any, shape: MergeStrategy) -> Fields:
    return {} if shape.each else {SELF: {}, **of(item, shape.item)}


def union(one: Fields, other: Fields) -> Fields:
    """Both must be sets proper: an empty one is the empty set only at the root."""
    merged = dict(one)
    for name, node in other.items():
        mine = merged.get(name)
        merged[name] = node if mine is None else _both(mine, node)
    return merged


def _both(one: Fields, other: Fields) -> Fields:
    if not one:
        return other if not other or SELF in other else {SELF: {}, **other}
    if not other:
        return one if SELF in one else {SELF: {}, **one}
    return union(one, other)


def _member(node: Fields) -> bool:
    return not node or SELF in node


def _normal(member: bool, below: Fields) -> Fields | None:
    """The node, or None where nothing is left of it."""
    if below:
        return {SELF: {}, **below} if member else below
    return {} if member else None


def _combine(one: Fields, other: Fields, *, keep: bool) -> Fields:
    """Members of `one` that are in `other` (keep), or are not."""
    result: Fields = {}
    for name, node in one.items():
        if name == SELF:
            continue
        against = other.get(name)
        if against is None:
            if not keep:
                result[name] = node
            continue
        left = _normal(_member(node) and _member(against) is keep, _combine(node, against, keep=keep))
        if left is not None:
            result[name] = left
    return result


def intersection(one: Fields, other: Fields) -> Fields:
    return _combine(one, other, keep=True)


def difference(one: Fields, other: Fields) -> Fields:
    return _combine(one, other, keep=False)


def without(fields: Fields, *roots: tuple[str, ...]) -> Fields:
    """The set without everything at and below the given paths."""
    return _cut(fields, _tree(roots))


@lru_cache(maxsize=256)
def _tree(roots: tuple[tuple[str, ...], ...]) -> Fields:
    """Paths as a tree; an empty node is the end of one."""
    tree: Fields = {}
    for root in sorted(roots, key=len, reverse=True):
        node = tree
        for name in root[:-1]:
            node = node.setdefault(name, {})
        node[root[-1]] = {}
    return tree


def _cut(fields: Fields, gone: Fields) -> Fields:
    left: Fields = {}
    for name, node in fields.items():
        below = gone.get(name)
        if below is None:
            left[name] = node
        elif below and (rest := _cut(node, below)):
            left[name] = rest
    return left


def paths(fields: Fields, prefix: str = "") -> list[str]:
    """The members as an API server names them in a conflict: `.spec.containers[name="main"].image`."""
    found: list[str] = []
    for name, node in fields.items():
        if name == SELF:
            continue
        here = prefix + _step(name)
        if _member(node):
            found.append(here)
        found.extend(paths(node, here))
    return found


def _step(name: str) -> str:
    kind, _, rest = name.partition(":")
    match kind:
        case "f":
            return f".{rest}"
        case "k":
            return "[" + rest.strip("{}").replace('":', "=").replace(',"', ",").lstrip('"') + "]"
        case _:
            return f"[={rest}]"


Difference: TypeAlias = tuple[Fields | None, Fields | None]
"""What the newer value sets differently or anew, and what it no longer has; None where there is nothing of the kind."""


def compare(old: Any, new: Any, shape: MergeStrategy) -> Difference:
    if old == new:
        return None, None
    if is_map(old) and is_map(new) and not shape.atomic:
        return _compare_maps(old, new, shape)
    if is_list(old) and is_list(new) and (shape.keys or shape.each):
        return _compare_items(old, new, shape)
    return {}, None


def _compare_maps(old: dict[str, Any], new: dict[str, Any], shape: MergeStrategy) -> Difference:
    """Fields that are equal, nearly all of them, are passed over before anything is made of them."""
    written: Fields = {}
    removed = {f"f:{name}": _whole(part, shape.field(name)) for name, part in old.items() if name not in new}
    for name, part in new.items():
        if name not in old:
            written[f"f:{name}"] = _whole(part, shape.field(name))
        elif (before := old[name]) is not part and before != part:
            _note(f"f:{name}", compare(before, part, shape.field(name)), written, removed)
    return written or None, removed or None


def _compare_items(old: list[Any], new: list[Any], shape: MergeStrategy) -> Difference:
    before = {shape.element(item): item for item in old}
    after = {shape.element(item): item for item in new}
    written: Fields = {}
    removed = {name: _whole(item, shape.item) for name, item in before.items() if name not in after}
    for name, item in after.items():
        if name in before:
            _note(name, compare(before[name], item, shape.item), written, removed)
        else:
            written[name] = _whole(item, shape.item)
    return written or None, removed or None


def _note(name: str, found: Difference, written: Fields, removed: Fields) -> None:
    changed, gone = found
    if changed is not None:
        written[name] = changed
    if gone is not None:
        removed[name] = gone


def _whole(value: Any, shape: MergeStrategy) -> Fields:
    """A value that was not there before: unlike an applied one it owns its maps themselves, not only what is in them."""
    if is_map(value) and value and not shape.atomic:
        return {SELF: {}, **{f"f:{name}": _whole(part, shape.field(name)) for name, part in value.items()}}
    if is_list(value) and value and (shape.keys or shape.each):
        return {SELF: {}, **{shape.element(item): _whole(item, shape.item) for item in value}}
    return {}

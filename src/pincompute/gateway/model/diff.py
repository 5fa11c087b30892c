"""Compares two objects in the simple form, field by field and as text."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Annotated, Any, cast

import yaml

from pincompute.api.labels import CHANGE_CAUSE
from pincompute.api.meta import Struct, doc
from pincompute.gateway.model import codecs, field_mapping
from pincompute.gateway.model.field_mapping import Data, Json, Path
from pincompute.gateway.model.simple_kind import ANSWERS

MOST_MATCHED = 200_000  # pairs of lines that are compared, for at most some 50 ms
CONTEXT = 3  # lines around a change, as in every unified diff


class Change(Struct):
    """One field that changes. A field that is not said on one side is null there."""

    field: Annotated[str, doc("Where, for example containers[0].image.")]
    before: Annotated[Any, doc("What it is.")] = None
    after: Annotated[Any, doc("What it becomes.")] = None


def asked(simple: Struct) -> Data:
    """The fields of an object that users set, as JSON data."""
    data: Data = codecs.json_data(simple)
    return {name: part for name, part in data.items() if name not in ANSWERS}


def changes(before: Json, after: Json) -> tuple[Change, ...]:
    return tuple(_changes(_noted(before), _noted(after), ()))


def _noted(data: Json) -> Any:
    """The data with the note of its revision as users call it, who write `--note` and know no annotation of Kubernetes."""
    if not isinstance(data, dict):
        return data
    said = cast("Data", data)
    given: Data = said.get("annotations") or {}
    if CHANGE_CAUSE not in given:
        return said
    others = {name: words for name, words in given.items() if name != CHANGE_CAUSE}
    rest = {name: part for name, part in said.items() if name != "annotations"}
    return {**rest, **({"annotations": others} if others else {}), "note": given[CHANGE_CAUSE]}


def _changes(before: Json, after: Json, path: Path) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("Data", before), cast("Data", after)
        for name in dict.fromkeys((*old, *new)):
            yield from _changes(old.get(name), new.get(name), (*path, name))
    elif field_mapping.named(before) and field_mapping.named(after):
        yield from _of_named(cast("list[Data]", before), cast("list[Data]", after), path)
    else:
        yield Change(field=field_mapping.text(path), before=before, after=after)


def _of_named(before: list[Data], after: list[Data], path: Path) -> Iterator[Change]:
    """Compares named entries, such as containers, with those of the same name, wherever they stand in the list."""
    old, new = ({item["name"]: item for item in items} for items in (before, after))
    for name in dict.fromkeys((*old, *new)):
        yield from _changes(old.get(name), new.get(name), (*path, name))
    if list(old) != list(new) and set(old) == set(new):
        yield Change(field=field_mapping.text(path), before=list(old), after=list(new))


def text(before: Data | None, after: Data | None) -> str:
    """A unified diff of both as YAML; empty when nothing differs. Where many lines differ, all of them are removed and added,
    because the time to match lines grows with the product of their numbers, and everybody waits for it.
    """
    old, new = _lines(before), _lines(after)
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    if (len(old) - head - tail) * (len(new) - head - tail) > MOST_MATCHED:
        return "\n".join(_replaced(old, new, head, tail))
    return "\n".join(difflib.unified_diff(old, new, "is", "wanted", lineterm=""))


def _common(old: list[str], new: list[str]) -> int:
    """Returns how many lines both begin with."""
    return next((i for i, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new)))


def _replaced(old: list[str], new: list[str], head: int, tail: int) -> Iterator[str]:
    """Yields a unified diff of one part, which has all lines between the common beginning and the common end."""
    start, last = max(0, head - CONTEXT), max(0, tail - CONTEXT)
    removed, added = old[head : len(old) - tail], new[head : len(new) - tail]
    context = (head - start) + (tail - last)
    yield from ("--- is", "+++ wanted")
    yield f"@@ -{start + 1},{len(removed) + context} +{start + 1},{len(added) + context} @@"
    yield from (f" {line}" for line in old[start:head])
    yield from (f"-{line}" for line in removed)
    yield from (f"+{line}" for line in added)
    yield from (f" {line}" for line in old[len(old) - tail : len(old) - last])


def _lines(data: Data | None) -> list[str]:
    if data is None:
        return []
    return yaml.safe_dump(_noted(data), sort_keys=False, allow_unicode=True, default_flow_style=False).splitlines()

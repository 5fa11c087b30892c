"""Compares two objects in the simple model, field by field and as text."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Annotated, Any, cast

import msgspec
import yaml

from pincompute.api.meta import Struct, doc
from pincompute.gateway.model import field_mapping
from pincompute.gateway.model.field_mapping import Data, Json, Path
from pincompute.gateway.model.simple_kind import ANSWERS


class Change(Struct):
    """One field that changes. A field that is not said on one side is null there."""

    field: Annotated[str, doc("Where, for example containers[0].image.")]
    before: Annotated[Any, doc("What it is.")] = None
    after: Annotated[Any, doc("What it becomes.")] = None


def asked(simple: Struct) -> Data:
    """The fields of an object that users set, as JSON data."""
    data: Data = msgspec.json.decode(msgspec.json.encode(simple))
    return {name: part for name, part in data.items() if name not in ANSWERS}


def changes(before: Json, after: Json) -> tuple[Change, ...]:
    return tuple(_changes(before, after, ()))


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
    """A unified diff of both as YAML; empty when nothing differs."""
    return "\n".join(difflib.unified_diff(_lines(before), _lines(after), "is", "wanted", lineterm=""))


def _lines(data: Data | None) -> list[str]:
    if data is None:
        return []
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=False).splitlines()

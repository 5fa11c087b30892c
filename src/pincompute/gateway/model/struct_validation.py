"""Whether data has the shape of a struct: every problem at once, and the rest of the data to judge further.

The surprising rule: only shapes are judged here (names of fields, types, words to choose from). Limits and rules are judged
on the resource, by the very schema that the API server has, so that there is one verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, cast

from msgspec import inspect as types

from pincompute.api.object_validation import nearest, say
from pincompute.gateway.model import field_tables
from pincompute.gateway.model.field_mapping import Data, Json, Path, Table, text
from pincompute.gateway.problems import FieldError

_NOTHING: Json = object()
_A_DURATION = "a duration"


def fit(data: Data, kind: type[Any], table: Table = field_tables.WORKLOAD) -> tuple[Data, list[FieldError]]:
    """What of `data` fits the struct, without nulls, and everything that does not. `table` names its fields in Kubernetes."""
    walk = _Walk(foreign(table))
    fitting = walk.struct(data, _struct(kind), ())
    return fitting, walk.errors


@cache
def _struct(kind: type[Any]) -> types.StructType:
    return cast("types.StructType", types.type_info(kind))


class _Walk:
    """One pass over data and type together."""

    def __init__(self, foreign: Mapping[str, str]) -> None:
        self.errors: list[FieldError] = []
        self._foreign = foreign

    def struct(self, data: Data, info: types.StructType, path: Path) -> Data:
        fields = _fields(info.cls)
        fitting: Data = {}
        for name, value in data.items():
            if value is None or name == info.tag_field:
                continue
            if name not in fields:
                self._unknown(name, fields, path)
                continue
            part = self._value(value, fields[name].type, (*path, name))
            if part is not _NOTHING:
                fitting[name] = part
        for name, field in fields.items():
            if field.required and data.get(name) is None:
                self._report((*path, name), f"{_words(field.type)}", "is required", f"add {name}")
        return fitting

    def _value(self, value: Json, info: types.Type, path: Path) -> Json:
        kind = _chosen(value, info)
        if kind is None:
            words = _words(info)
            self._report(path, words, f"must be {words}, not {say(value)}", _remedy(value, words))
            return _NOTHING
        return self._inside(value, kind, path)

    def _inside(self, value: Json, kind: types.Type, path: Path) -> Json:
        match kind:
            case types.StructType():
                return self.struct(value, kind, path)
            case types.DictType():
                return self._entries(value, kind.value_type, path)
            case types.VarTupleType():
                return self._items(value, kind.item_type, path)
            case types.LiteralType():
                return self._literal(value, kind, path)
            case types.StrType():
                return self._text(value, kind, path)
            case _:
                return value

    def _entries(self, value: Data, kind: types.Type, path: Path) -> Data:
        parts = {name: self._value(part, kind, (*path, name)) for name, part in value.items() if part is not None}
        return {name: part for name, part in parts.items() if part is not _NOTHING}

    def _items(self, value: list[Json], kind: types.Type, path: Path) -> list[Json]:
        """What does not fit leaves its place empty, so that the others keep their positions."""
        parts = [self._value(part, kind, (*path, index)) for index, part in enumerate(value)]
        empty: Json = {} if _WORDS.get(type(_plain_type(kind))) == "an object" else ""
        return [empty if part is _NOTHING else part for part in parts]

    def _literal(self, value: Json, kind: types.LiteralType, path: Path) -> Json:
        if value in kind.values:
            return value
        choices = ", ".join(map(str, kind.values))
        near = nearest(str(value), [str(choice) for choice in kind.values])
        self._report(
            path, f"one of {choices}", f"must be one of {choices}, not {say(value)}", f"write {near or f'one of {choices}'}"
        )
        return _NOTHING

    def _text(self, value: str, kind: types.StrType, path: Path) -> Json:
        if kind.pattern is None or re.search(kind.pattern, value):
            return value
        self._report(path, _A_DURATION, f"{say(value)} is not a duration", "write for example 30s, 2m or 1h30m")
        return _NOTHING

    def _unknown(self, name: str, fields: Mapping[str, Any], path: Path) -> None:
        meant = self._foreign.get(name, "")
        near = meant if meant in fields else nearest(name, [*fields])
        remedy = f"write {near}" if near else "remove it, or put it into advanced"
        self._report((*path, name), near or f"one of {', '.join(fields)}", "is not a field", remedy)

    def _report(self, path: Path, expected: str, message: str, remedy: str) -> None:
        self.errors.append(FieldError(text(path), expected, f"{message}: {remedy}"))


@cache
def _fields(cls: type[Any]) -> dict[str, types.Field]:
    return {field.encode_name: field for field in _struct(cls).fields}


def _plain_type(info: types.Type) -> types.Type:
    return _plain_type(info.type) if isinstance(info, types.Metadata) else info


def _alternatives(info: types.Type) -> Iterator[types.Type]:
    kind = _plain_type(info)
    if isinstance(kind, types.UnionType):
        for each in kind.types:
            yield from _alternatives(each)
    else:
        yield kind


def _chosen(value: Json, info: types.Type) -> types.Type | None:
    """The alternative that the value's type stands for."""
    return next((kind for kind in _alternatives(info) if _ACCEPTS[type(kind)](value)), None)


def _remedy(value: Json, words: str) -> str:
    if words.startswith(_A_DURATION) and isinstance(value, int):
        return f'write for example "{value}s"'
    if "text" in words and not isinstance(value, dict | list):
        return f'write it in quotes, for example "{say(value)}"'
    return f"write {words}"


def _is_object(value: Json) -> bool:
    return isinstance(value, dict)


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


_ACCEPTS: dict[type[types.Type], Callable[[Json], bool]] = {
    types.AnyType: lambda _: True,
    types.NoneType: lambda _: False,
    types.StructType: _is_object,
    types.DictType: _is_object,
    types.VarTupleType: lambda value: isinstance(value, list),
    types.LiteralType: _is_text,
    types.StrType: _is_text,
    types.DateTimeType: _is_text,
    types.BoolType: lambda value: isinstance(value, bool),
    types.IntType: lambda value: isinstance(value, int) and not isinstance(value, bool),
    types.FloatType: lambda value: isinstance(value, float),
}
_WORDS: dict[type[types.Type], str] = {
    types.StructType: "an object",
    types.DictType: "an object",
    types.VarTupleType: "a list",
    types.LiteralType: "text",
    types.StrType: "text",
    types.DateTimeType: "text",
    types.BoolType: "true or false",
    types.IntType: "a whole number",
    types.FloatType: "a number",
}


def _words(info: types.Type) -> str:
    words = [_word(kind) for kind in _alternatives(info) if type(kind) in _WORDS]
    return " or ".join(dict.fromkeys(words))


def _word(kind: types.Type) -> str:
    return _A_DURATION if isinstance(kind, types.StrType) and kind.pattern else _WORDS[type(kind)]


def foreign(kind: Table) -> Mapping[str, str]:
    """Kubernetes' words for fields that have another name here: who writes `readinessProbe` means `health`."""
    every: tuple[Table, ...] = (kind, field_tables.INIT_CONTAINER, field_tables.VOLUME, field_tables.PORT, field_tables.MOUNT)
    return {
        field.resource[0]: field.simple[0] for table in every for field in table.fields if field.resource[0] != "template"
    } | {field.resource[-1]: field.simple[-1] for table in every for field in table.fields if len(field.simple) == 1}

"""Converts single values of the simple form: durations, quantities, environments, lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from pincompute.api.settings import ENTRY
from pincompute.gateway.model import field_mapping
from pincompute.gateway.model.field_mapping import NOTHING, Codec, Data, Json, NotExpressibleError, Path, Table

DURATION = r"^(?=.)([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$"  # 30s, 2m, 1h30m
_DURATION = re.compile(DURATION)


class _AtomicCodec(Codec):
    """A value that a path does not lead into."""

    def locate(self, value: Json, path: Path) -> Path:  # noqa: ARG002
        return ()


class DurationCodec(_AtomicCodec):
    """Seconds as text: 90 is "1m30s"."""

    def simplify(self, value: Json) -> tuple[Json, Json]:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise NotExpressibleError
        hours, rest = divmod(value, 3600)
        minutes, seconds = divmod(rest, 60)
        said = "".join(f"{count}{unit}" for count, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if count)
        return said or "0s", NOTHING

    def expand(self, value: Json) -> Json:
        found = _DURATION.match(value)
        if found is None:
            raise ValueError(f"{value} is not a duration")
        hours, minutes, seconds = (int(part[:-1]) if part else 0 for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds


class QuantityCodec(_AtomicCodec):
    """An amount. A fraction such as 0.5 may be a number here; a resource takes it only as text."""

    def expand(self, value: Json) -> Json:
        return str(value) if isinstance(value, float) else value


@dataclass(frozen=True, slots=True)
class FlagCodec(_AtomicCodec):
    """One value of a resource, written as true."""

    value: str

    def simplify(self, value: Json) -> tuple[Json, Json]:
        if value != self.value:
            raise NotExpressibleError
        return True, NOTHING

    def expand(self, value: Json) -> Json:
        return self.value if value else None


class NamesCodec(_AtomicCodec):
    """A list of names, which the resource holds as text with commas between them."""

    def simplify(self, value: Json) -> tuple[Json, Json]:
        names = value.split(",") if isinstance(value, str) else []
        if not names or not all(names):
            raise NotExpressibleError
        return names, NOTHING

    def expand(self, value: Json) -> Json:
        return ",".join(value) or None


@dataclass(frozen=True, slots=True)
class RowsCodec(Codec):
    """A list of objects without names: mapped completely or not at all."""

    table: Table

    def simplify(self, value: Json) -> tuple[Json, Json]:
        rows = [field_mapping.simplify(self.table, row) for row in _objects(value)]
        if any(rest for _, rest in rows):
            raise NotExpressibleError
        return [said for said, _ in rows], NOTHING

    def expand(self, value: Json) -> Json:
        return [field_mapping.expand(self.table, row) for row in value]

    def locate(self, value: Json, path: Path) -> Path | None:
        return _row(self.table, value, path)


@dataclass(frozen=True, slots=True)
class NamedItemsCodec(Codec):
    """A list of named objects: all of them in their order, each with the fields that can be mapped."""

    table: Table

    def simplify(self, value: Json) -> tuple[Json, Json]:
        if not field_mapping.named(value):
            raise NotExpressibleError
        said, rest = list[Data](), list[Data]()
        for item in cast("list[Data]", value):
            simple, left = field_mapping.simplify(self.table, {name: part for name, part in item.items() if name != "name"})
            said.append({"name": item["name"], **simple})
            if left:
                rest.append({"name": item["name"], **left})
        return said, rest or NOTHING

    def expand(self, value: Json) -> Json:
        return [
            {**({"name": item["name"]} if "name" in item else {}), **field_mapping.expand(self.table, item)} for item in value
        ]

    def locate(self, value: Json, path: Path) -> Path | None:
        return path if path[1:2] == ("name",) else _row(self.table, value, path)


def _row(table: Table, rows: Json, path: Path) -> Path | None:
    if not path or not isinstance(path[0], int):
        return ()
    index = path[0]
    if len(path) == 1:
        return path
    known: list[Data] = cast("list[Data]", rows) if isinstance(rows, list) else []
    inside = field_mapping.locate(table, known[index] if index < len(known) else {}, path[1:])
    return None if inside is None else (index, *inside)


def _objects(value: Json) -> list[Data]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in cast("list[Json]", value)):
        raise NotExpressibleError
    return cast("list[Data]", value)


_SOURCES: dict[str, tuple[str, dict[str, str]]] = {
    "secret": ("secretKeyRef", {"secret": "name", "key": "key", "optional": "optional"}),
    "config": ("configMapKeyRef", {"config": "name", "key": "key", "optional": "optional"}),
    "field": ("fieldRef", {"field": "fieldPath"}),
    "resource": ("resourceFieldRef", {"resource": "resource", "container": "containerName", "divisor": "divisor"}),
}
"""The sources of a variable's value: the field that names one, and its fields in both forms."""


_USUAL = ("secretKeyRef", "key", ENTRY)  # a secret of the project has one entry, which nobody has to name


class EnvironmentCodec(Codec):
    """Variables by name: a text or a source. Their order is kept, because values may refer to earlier variables."""

    def simplify(self, value: Json) -> tuple[Json, Json]:
        if not field_mapping.named(value):
            raise NotExpressibleError
        said = {item["name"]: _simple_source(item) for item in cast("list[Data]", value)}
        if self.expand(said) != value:
            raise NotExpressibleError
        return said, NOTHING

    def expand(self, value: Json) -> Json:
        return [_variable(name, source) for name, source in cast("Data", value).items()]

    def locate(self, value: Json, path: Path) -> Path:
        names = list(cast("Data", value)) if isinstance(value, dict) else []
        index = path[0] if path else None
        return (names[index],) if isinstance(index, int) and index < len(names) else ()


def _simple_source(item: Data) -> Json:
    if "value" in item:
        return item["value"]
    for kind, names in _SOURCES.values():
        found = field_mapping.at(item, ("valueFrom", kind))
        if isinstance(found, dict):
            said = {simple: cast("Data", found)[name] for simple, name in names.items() if name in found}
            return {word: part for word, part in said.items() if (kind, word, part) != _USUAL}
    raise NotExpressibleError


def _variable(name: str, source: Json) -> Data:
    if not isinstance(source, dict):
        return {"name": name, "value": source}
    said = cast("Data", source)
    kind, names = next((_SOURCES[word] for word in _SOURCES if word in said), _SOURCES["secret"])
    usual = {"key": ENTRY} if "secret" in said and "key" not in said else {}
    return {"name": name, "valueFrom": {kind: {**{names[word]: said[word] for word in names if word in said}, **usual}}}


def json_data(value: Any) -> Any:
    """The value as JSON data. `msgspec.to_builtins` keeps tuples, which equal no list."""
    return msgspec.json.decode(msgspec.json.encode(value))


def plain(value: Any) -> Any:
    """The value without nulls and without the protocol of a port that is the default."""
    if isinstance(value, dict):
        data = cast("Data", value)
        return {
            name: plain(part)
            for name, part in data.items()
            if part is not None and not (name == "protocol" and part == "TCP" and "containerPort" in data)
        }
    return [plain(part) for part in cast("list[Any]", value)] if isinstance(value, list) else value


def fractions_as_text(value: Any) -> Any:
    """The value with fractions as text, as they are stored. In a valid spec only amounts are fractions."""
    if isinstance(value, dict):
        return {name: fractions_as_text(part) for name, part in cast("Data", value).items()}
    if isinstance(value, list):
        return [fractions_as_text(part) for part in cast("list[Any]", value)]
    return str(value) if isinstance(value, float) else value

"""Brings a pod template into normal form: templates that make the same pods have the same normal form.

Absent, null and empty values and defaults are left out, and a quantity has one notation for its value. The schema is compiled
into functions once, so the cost depends on what a template contains and not on what it could contain. A field that the schema
does not know stays as it is, except for nulls, because a member may run a newer version.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias, cast

from pincompute.api import quantity, template_defaults, template_limits, template_schema
from pincompute.api.meta import Manifest
from pincompute.api.template_limits import Schema

Json: TypeAlias = Any
Form: TypeAlias = Callable[[Json], Json]
"""From a value to its normal form, or to NOTHING."""

NOTHING: Final = object()
_ZEROS = ("", 0, False)
_ZERO_OF: dict[str, Json] = {"object": {}, "array": [], "string": "", "integer": 0, "number": 0, "boolean": False}
_NO_DEFAULT: Final = object()


def of(template: Manifest) -> Manifest:
    """The template in normal form, sharing parts with it. Raises InvalidQuantityError."""
    return _template()(template)


@cache
def _template() -> Form:
    return _compile(template_schema.schema(), "template")


def _compile(schema: Schema, path: str) -> Form:
    if template_limits.is_quantity(schema):
        return _quantity
    if "properties" in schema:
        return _struct(schema, path)
    if "additionalProperties" in schema:
        return _Map(_entry(schema["additionalProperties"], f"{path}{{}}"), _of_suffix(template_defaults.FINISHES, path))
    if "items" in schema:
        return _List(_entry(schema["items"], f"{path}[]"))
    return _scalar


def _struct(schema: Schema, path: str) -> Form:
    required = schema.get("required", ())
    fields = {name: _field(part, f"{path}.{name}", required=name in required) for name, part in schema["properties"].items()}
    return _Struct(fields, _of_suffix(template_defaults.FINISHES, path))


def _field(schema: Schema, path: str, *, required: bool) -> Form:
    form = _compile(schema, path)
    if "properties" in schema:
        return _Optional(form, ({},)) if _has_suffix(template_defaults.EMPTY_IS_NOTHING, path) else form
    if isinstance(form, _Map | _List):
        return _Optional(form, ({}, []))
    default = _of_suffix(template_defaults.DEFAULTS, path, _NO_DEFAULT)
    absent = () if default is _NO_DEFAULT else (default,)
    zero_counts = required or template_limits.is_quantity(schema) or _has_suffix(template_defaults.ZERO_COUNTS, path)
    return _Optional(form, (*absent, *(() if zero_counts else _ZEROS)))


def _entry(schema: Schema, path: str) -> Form:
    """Returns the form of an entry of a list or map, in which null is kept in its place as the zero of its type."""
    form = _compile(schema, path)
    if form is _quantity:
        return lambda value: _rounded(0 if value is None else value)
    zero = _ZERO_OF[schema["type"]]
    return lambda value: form(zero if value is None else value)


def _scalar(value: Json) -> Json:
    return _without_null(value) if isinstance(value, dict | list) else value


@lru_cache(100_000, typed=True)
def _quantity(value: str | float) -> str:
    return quantity.shortest(quantity.parse(value))


@lru_cache(100_000, typed=True)
def _rounded(value: str | float) -> str:
    """Amounts of a resource list count in thousandths, rounded up."""
    return quantity.shortest(quantity.Quantity(quantity.parse(value).millis * quantity.MILLI))


@dataclass(frozen=True, slots=True)
class _Optional:
    """A field that says nothing where its value is among `absent`."""

    form: Form
    absent: tuple[Json, ...]

    def __call__(self, value: Json) -> Json:
        made = self.form(value)
        return NOTHING if made in self.absent else made


@dataclass(frozen=True, slots=True)
class _Struct:
    fields: dict[str, Form] = field(repr=False)
    finish: Callable[[Manifest], None] | None

    def __call__(self, value: Json) -> Json:
        if not isinstance(value, dict):
            return _without_null(value)
        made: Manifest = {}
        fields = self.fields
        for name, part in cast("Manifest", value).items():
            if part is None:
                continue
            form = fields.get(name)
            kept = _without_null(part) if form is None else form(part)
            if kept is not NOTHING:
                made[name] = kept
        if self.finish is not None:
            self.finish(made)
        return made


@dataclass(frozen=True, slots=True)
class _Map:
    form: Form = field(repr=False)
    finish: Callable[[Manifest], None] | None

    def __call__(self, value: Json) -> Json:
        if not isinstance(value, dict):
            return _without_null(value)
        made = {name: self.form(part) for name, part in cast("Manifest", value).items()}
        if self.finish is not None:
            self.finish(made)
        return made


@dataclass(frozen=True, slots=True)
class _List:
    form: Form = field(repr=False)

    def __call__(self, value: Json) -> Json:
        if not isinstance(value, list):
            return _without_null(value)
        return [self.form(part) for part in cast("list[Json]", value)]


def _without_null(value: Json) -> Json:
    """Returns a value that the schema does not know, or knows as something else, without its nulls."""
    if isinstance(value, dict):
        return {name: _without_null(part) for name, part in cast("Manifest", value).items() if part is not None}
    return [_without_null(part) for part in cast("list[Json]", value)] if isinstance(value, list) else value


def _of_suffix(table: Any, path: str, otherwise: Any = None) -> Any:
    return next((table[suffix] for suffix in suffixes(path) if suffix in table), otherwise)


def _has_suffix(table: Container[str], path: str) -> bool:
    return any(suffix in table for suffix in suffixes(path))


def suffixes(path: str) -> list[str]:
    """The ends of a path, the longest first: `a.b[].c`, `b[].c`, `c`."""
    names = path.split(".")
    return [".".join(names[start:]) for start in range(len(names))]

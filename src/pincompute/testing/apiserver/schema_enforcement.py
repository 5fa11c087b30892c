"""Enforces structural schemas: it prunes unknown fields, fills defaults and names every violation.

It does not evaluate CEL rules (`x-kubernetes-validations`); tests of those need a real API server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from pincompute.api.meta import Manifest
from pincompute.kube.api_errors import StatusCause
from pincompute.testing.apiserver.jsondata import is_list, is_map

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_TYPE_META = ("apiVersion", "kind", "metadata")


def prune(value: Any, schema: Manifest, *, root: bool = False) -> Any:
    """The value without unknown fields; what the schema does not look into stays as it is."""
    if is_list(value):
        items = schema.get("items", {})
        return [prune(item, items) for item in value]
    if not is_map(value):
        return value
    properties: Manifest = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    keep_all = schema.get(_PRESERVE) or extra is True
    kept = _TYPE_META if root or schema.get(_EMBEDDED) else ()
    result: Manifest = {}
    for name, part in value.items():
        if name in kept:
            result[name] = part
        elif name in properties:
            result[name] = prune(part, properties[name])
        elif is_map(extra):
            result[name] = prune(part, extra)
        elif keep_all:
            result[name] = part
    return result


def unknown(value: Any, schema: Manifest, path: str = "", *, root: bool = False) -> list[str]:
    """Paths of the fields that pruning drops, for strict field validation."""
    if is_list(value):
        items = schema.get("items", {})
        return [name for i, item in enumerate(value) for name in unknown(item, items, f"{path}[{i}]")]
    if not is_map(value):
        return []
    properties: Manifest = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    kept = _TYPE_META if root or schema.get(_EMBEDDED) else ()
    found: list[str] = []
    for name, part in value.items():
        here = f"{path}.{name}" if path else name
        known = properties.get(name, extra if is_map(extra) else None)
        if name in kept:
            continue
        if known is not None:
            found.extend(unknown(part, known, here))
        elif not schema.get(_PRESERVE) and extra is not True:
            found.append(here)
    return found


def fill(value: Any, schema: Manifest) -> Any:
    """The value with the defaults of the schema; a null where a default stands counts as absent."""
    if is_list(value):
        items = schema.get("items", {})
        return [fill(item, items) for item in value]
    if not is_map(value):
        return value
    result = dict(value)
    extra = schema.get("additionalProperties")
    if is_map(extra):
        return {name: fill(part, extra) for name, part in result.items()}
    for name, part in schema.get("properties", {}).items():
        if "default" in part and (name not in result or (result[name] is None and not part.get("nullable"))):
            result[name] = part["default"]
        if name in result:
            result[name] = fill(result[name], part)
    return result


def violations(value: Any, schema: Manifest, path: str = "") -> Iterator[StatusCause]:
    """Everything wrong with a value, with the field and what was expected."""
    if value is None:
        if not schema.get("nullable") and "type" in schema:
            yield _wrong_type(path, "null", schema)
        return
    if not _has_type(value, schema):
        yield _wrong_type(path, _type_name(value), schema)
        return
    if "enum" in schema and value not in schema["enum"]:
        listed = ", ".join(f'"{choice}"' for choice in schema["enum"])
        yield StatusCause(path, f"Unsupported value: {_shown(value)}: supported values: {listed}", "FieldValueNotSupported")
    yield from _CHECKS.get(_type_name(value), _nothing)(value, schema, path)


def _has_type(value: Any, schema: Manifest) -> bool:
    if schema.get(_INT_OR_STRING):
        return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
    actual = _type_name(value)
    wanted = schema.get("type")
    if wanted is None or wanted == actual:
        return True
    return (wanted, actual) == ("number", "integer") or (wanted == "integer" and actual == "number" and value == int(value))


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _wrong_type(path: str, actual: str, schema: Manifest) -> StatusCause:
    wanted = "integer,string" if schema.get(_INT_OR_STRING) else schema.get("type", "")
    text = f'Invalid value: "{actual}": {path} in body must be of type {wanted}: "{actual}"'
    return StatusCause(path or "<nil>", text, "FieldValueTypeInvalid")


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _invalid(path: str, value: Any, expected: str, reason: str = "FieldValueInvalid") -> StatusCause:
    return StatusCause(path, f"Invalid value: {_shown(value)}: {path} in body {expected}", reason)


def _nothing(_value: Any, _schema: Manifest, _path: str) -> Iterator[StatusCause]:
    return iter(())


def _check_number(value: float, schema: Manifest, path: str) -> Iterator[StatusCause]:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        yield _invalid(path, value, f"should be greater than {'' if schema.get('exclusiveMinimum') else 'or equal to '}{low}")
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        yield _invalid(path, value, f"should be less than {'' if schema.get('exclusiveMaximum') else 'or equal to '}{high}")
    if step is not None and value % step:
        yield _invalid(path, value, f"should be a multiple of {step}")


def _check_string(value: str, schema: Manifest, path: str) -> Iterator[StatusCause]:
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength", 0), schema.get("pattern")
    if longest is not None and len(value) > longest:
        text = f"Too long: may not be more than {longest} {'byte' if longest == 1 else 'bytes'}"
        yield StatusCause(path, text, "FieldValueTooLong")
    if len(value) < shortest:
        yield _invalid(path, value, f"should be at least {shortest} chars long")
    if pattern is not None and not _compiled(pattern).search(value):
        yield _invalid(path, value, f"should match '{pattern}'")
    if schema.get("format") == "date-time" and not _is_time(value):
        yield _invalid(path, value, f'must be of type date-time: "{value}"')


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _check_list(value: list[Any], schema: Manifest, path: str) -> Iterator[StatusCause]:
    most, least = schema.get("maxItems"), schema.get("minItems", 0)
    if most is not None and len(value) > most:
        yield StatusCause(path, f"Too many: {len(value)}: must have at most {most} items", "FieldValueTooMany")
    if len(value) < least:
        yield _invalid(path, len(value), f"should have at least {least} items")
    items = schema.get("items", {})
    for index, item in enumerate(value):
        yield from violations(item, items, f"{path}[{index}]")
    yield from _duplicates(value, schema, path)


def _duplicates(value: list[Any], schema: Manifest, path: str) -> Iterator[StatusCause]:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("set", "map"):
        return
    keys = schema.get("x-kubernetes-list-map-keys", [])
    seen: list[Any] = []
    for index, item in enumerate(value):
        name = item if kind == "set" else {key: item.get(key) for key in keys if key in item}
        if name in seen:
            yield StatusCause(f"{path}[{index}]", f"Duplicate value: {_shown_name(name)}", "FieldValueDuplicate")
        seen.append(name)


def _shown_name(name: Any) -> str:
    if not is_map(name):
        return _shown(name)
    return "{" + ",".join(f'"{key}":{_shown(part)}' for key, part in name.items()) + "}"


def _check_map(value: Manifest, schema: Manifest, path: str) -> Iterator[StatusCause]:
    for name in schema.get("required", ()):
        if name not in value:
            yield StatusCause(f"{path}.{name}" if path else name, "Required value", "FieldValueRequired")
    most, least = schema.get("maxProperties"), schema.get("minProperties", 0)
    if most is not None and len(value) > most:
        yield StatusCause(path, f"Too many: {len(value)}: must have at most {most} items", "FieldValueTooMany")
    if len(value) < least:
        yield _invalid(path, len(value), f"should have at least {least} properties")
    properties: Manifest = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    for name, part in value.items():
        known = properties.get(name, extra if is_map(extra) else None)
        if known is not None:
            yield from violations(part, known, f"{path}.{name}" if path else name)


_CHECKS: dict[str, Callable[[Any, Manifest, str], Iterator[StatusCause]]] = {
    "integer": _check_number,
    "number": _check_number,
    "string": _check_string,
    "array": _check_list,
    "object": _check_map,
}

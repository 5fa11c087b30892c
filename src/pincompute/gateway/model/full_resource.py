"""A cached object in full: every field of its resource as the API server has it, but for the record of field managers."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from pincompute.api.meta import Manifest, Object, Resource, Struct

_NOTHING: tuple[Any, ...] = (None, "", (), {})  # what an API server leaves out; numbers and truth values it says


def full(resource: Resource[Any], obj: Object) -> Manifest:
    """As JSON data, but for dates."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **_fields(obj)}


def _fields(value: Struct) -> Manifest:
    said = ((encoded, getattr(value, name)) for name, encoded in _names(type(value)))
    return {name: _data(part) for name, part in said if part not in _NOTHING}


def _data(value: Any) -> Any:
    if isinstance(value, Struct):
        return _fields(value)
    return [_data(part) for part in cast("tuple[Any, ...]", value)] if isinstance(value, tuple) else value


@cache
def _names(kind: type[Struct]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))

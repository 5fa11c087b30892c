"""Encodes objects as JSON, in the simple form or as full resources, once for each version; lists join encoded objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Generic, TypeVar, cast

import msgspec

from pincompute.api.meta import Manifest, Object, Resource, Struct
from pincompute.gateway.model.simple_kind import SimpleKind, version

CAPACITY = 50_000  # objects of a kind kept in each form; the oldest are encoded again when a request needs them
_EMPTY: tuple[Any, ...] = (None, "", (), {})  # values that an API server leaves out; it does send numbers and booleans

T = TypeVar("T")


class _VersionCache(Generic[T]):
    """Caches a value derived from an object, for the latest version of each object."""

    def __init__(self, make: Callable[[Object], T]) -> None:
        self._make = make
        self._kept: dict[str, tuple[str, T]] = {}  # the version and its value, by uid

    def __call__(self, obj: Object) -> T:
        meta = obj.metadata
        known = self._kept.get(meta.uid)
        if known is not None and known[0] == meta.resource_version:
            return known[1]
        value = self._make(obj)
        if known is None and len(self._kept) >= CAPACITY:
            del self._kept[next(iter(self._kept))]
        self._kept[meta.uid] = (meta.resource_version, value)
        return value


class ObjectEncoder:
    """Encodes objects in one of the forms in which they are shown."""

    def __init__(self, show: Callable[[SimpleKind[Any], Object], Any]) -> None:
        self._show = show
        self._made: dict[SimpleKind[Any], _VersionCache[bytes]] = {}

    def encoded(self, kind: SimpleKind[Any], obj: Object) -> bytes:
        return self._of(kind)(obj)

    def joined(self, kind: SimpleKind[Any], objects: Iterable[Object]) -> bytes:
        """The objects as a JSON list."""
        return b"[" + b",".join(map(self._of(kind), objects)) + b"]"

    def _of(self, kind: SimpleKind[Any]) -> _VersionCache[bytes]:
        made = self._made.get(kind)
        if made is None:
            made = self._made[kind] = _VersionCache(lambda obj: _encoder.encode(self._show(kind, obj)))
        return made


_encoder = msgspec.json.Encoder()

SIMPLE = ObjectEncoder(lambda kind, obj: kind.to_simple(obj))
RESOURCE = ObjectEncoder(lambda kind, obj: _full(kind.resource, obj))

etag = _VersionCache(lambda obj: f'"{version(obj)}"')
"""Names what users asked for; a status that moves does not change it."""


def _full(resource: Resource[Any], obj: Object) -> Manifest:
    """Every field that the API server has, but managedFields, as JSON data in which dates are still dates."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **_fields(obj)}


def _fields(value: Struct) -> Manifest:
    fields = ((encoded, getattr(value, name)) for name, encoded in _names(type(value)))
    return {name: _data(part) for name, part in fields if part not in _EMPTY}


def _data(value: Any) -> Any:
    if isinstance(value, Struct):
        return _fields(value)
    return [_data(part) for part in cast("tuple[Any, ...]", value)] if isinstance(value, tuple) else value


@cache
def _names(kind: type[Struct]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))

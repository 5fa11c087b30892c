"""Objects as JSON bytes, in the simple model or in full, encoded once a version: a list joins what is encoded already."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from pincompute.api.meta import Object
from pincompute.gateway.model.simple_kind import SimpleKind, version

CAPACITY = 50_000  # objects of a kind kept in each form; the oldest are encoded anew when they are asked for

T = TypeVar("T")


class _CachedValue(NamedTuple, Generic[T]):
    """Of one object in one version."""

    resource_version: str
    value: T


class _VersionCache(Generic[T]):
    """What is made of an object, made once for each version of it."""

    def __init__(self, make: Callable[[Object], T]) -> None:
        self._make = make
        self._kept: dict[str, _CachedValue[T]] = {}  # by uid

    def __call__(self, obj: Object) -> T:
        meta = obj.metadata
        known = self._kept.get(meta.uid)
        if known is not None and known.resource_version == meta.resource_version:
            return known.value
        value = self._make(obj)
        if known is None and len(self._kept) >= CAPACITY:
            del self._kept[next(iter(self._kept))]
        self._kept[meta.uid] = _CachedValue(meta.resource_version, value)
        return value


class ObjectEncoder:
    """One of the forms in which objects are shown."""

    def __init__(self, show: Callable[[SimpleKind[Any], Object], Any]) -> None:
        self._show = show
        self._made: dict[SimpleKind[Any], _VersionCache[bytes]] = {}

    def encoded(self, kind: SimpleKind[Any], obj: Object) -> bytes:
        return self._of(kind)(obj)

    def joined(self, kind: SimpleKind[Any], objects: Iterable[Object]) -> bytes:
        """A JSON list of them."""
        return b"[" + b",".join(map(self._of(kind), objects)) + b"]"

    def _of(self, kind: SimpleKind[Any]) -> _VersionCache[bytes]:
        made = self._made.get(kind)
        if made is None:
            made = self._made[kind] = _VersionCache(lambda obj: _encoder.encode(self._show(kind, obj)))
        return made


_encoder = msgspec.json.Encoder()

SIMPLE = ObjectEncoder(lambda kind, obj: kind.to_simple(obj))
RESOURCE = ObjectEncoder(lambda kind, obj: kind.to_resource(obj))

etag = _VersionCache(lambda obj: f'"{version(obj)}"')
"""Of what is asked for; the status moves without it."""

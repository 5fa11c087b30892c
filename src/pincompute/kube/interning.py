"""Keeps equal parts of cached objects once: a thousand pods of one app share labels, owner and containers.

Interning halves the memory of a slim pod. Objects are immutable for all other code, so sharing has no effect there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec.structs import fields, force_setattr

from pincompute.api.meta import Object, Struct

T = TypeVar("T", bound=Object)

CAPACITY = 1 << 16  # parts remembered; then the pool starts over, which only costs memory

Pool: TypeAlias = dict[Any, Any]
_Share: TypeAlias = Callable[[Pool, Any], Any]
_Part: TypeAlias = tuple[str, tuple[tuple[str, _Share], ...]]

_encode = msgspec.json.Encoder().encode


def _whole(pool: Pool, value: Any) -> Any:
    return pool.setdefault(value, value)


def _content(pool: Pool, value: Any) -> Any:
    """Returns a key for values that contain dicts, which cannot be keys themselves."""
    return pool.setdefault(_encode(value), value)


def _each(pool: Pool, values: tuple[Any, ...]) -> Any:
    return tuple(map(pool.setdefault, values, values))


_SHARED: dict[str, _Share] = {
    "labels": _content,
    "finalizers": _whole,
    "owner_references": _whole,
    "containers": _content,
    "init_containers": _content,
    "conditions": _each,
}
"""By field name, for the fields that repeat between objects and are worth the look-up."""


def share(pool: Pool, obj: T) -> T:
    """Returns `obj`, just decoded and not used anywhere yet, with its parts replaced by equal ones of `pool`."""
    if len(pool) > CAPACITY:
        pool.clear()
    for name, parts in _plan(type(obj)):
        part = getattr(obj, name)
        for field, shared in parts:
            value = getattr(part, field)
            if value:
                force_setattr(part, field, shared(pool, value))
    return obj


@cache
def _plan(kind: type[Object]) -> tuple[_Part, ...]:
    """Returns the fields of the kind's metadata, spec and status to share."""
    sections = [(f.name, f.type) for f in fields(kind) if isinstance(f.type, type) and issubclass(f.type, Struct)]
    found = [(name, tuple((f.name, _SHARED[f.name]) for f in fields(of) if f.name in _SHARED)) for name, of in sections]
    return tuple((name, parts) for name, parts in found if parts)

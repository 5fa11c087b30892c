"""Gives JSON data types that a type checker can follow."""

from __future__ import annotations

from typing import Any, TypeGuard

import msgspec

from pincompute.api.meta import Manifest


def copy(value: Any) -> Any:
    """A deep copy; refuses what is not JSON."""
    return msgspec.json.decode(msgspec.json.encode(value))


def same(value: Any) -> Any:
    """In the place of a copy, where nobody changes what is handed on."""
    return value


def is_map(value: object) -> TypeGuard[Manifest]:
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def part(obj: Manifest | None, name: str) -> Manifest:
    """A map within a map; empty when it is absent or null."""
    found = obj.get(name) if obj else None
    return found if is_map(found) else {}


def items(obj: Manifest | None, name: str) -> list[Any]:
    """A list within a map; empty when it is absent or null."""
    found = obj.get(name) if obj else None
    return found if is_list(found) else []

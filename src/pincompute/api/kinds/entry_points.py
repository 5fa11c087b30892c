"""Kinds that other packages bring: each registers its three parts as entry points, and every program started beside it has it.

pincompute.kinds          what is known of the kind (`api.kinds.Kind`)
pincompute.behaviours     how it behaves (`federation.kinds.Behaviour`)
pincompute.simple_forms   how users write it (`gateway.model.Kind`)
"""

from __future__ import annotations

from importlib import metadata
from typing import Any, Literal, TypeAlias

Part: TypeAlias = Literal["pincompute.kinds", "pincompute.behaviours", "pincompute.simple_forms"]


def load(part: Part) -> tuple[Any, ...]:
    """In the order of their names, so that every process has the same table."""
    found = {entry.name: entry for entry in metadata.entry_points(group=part)}
    return tuple(found[name].load() for name in sorted(found))

"""Loads the workload kinds that other packages register as entry points.

A package registers three parts, and every program that is installed beside it then has the kind:

    pincompute.kinds          the kind's resources and rules (`api.kinds.WorkloadKind`)
    pincompute.behaviours     the kind's behaviour (`federation.kinds.Behaviour`)
    pincompute.simple_forms   the form that users write (`gateway.model`)
"""

from __future__ import annotations

from importlib import metadata
from typing import Any, Literal, TypeAlias

Part: TypeAlias = Literal["pincompute.kinds", "pincompute.behaviours", "pincompute.simple_forms"]


def load(part: Part) -> tuple[Any, ...]:
    """Loads them in the order of their names, so that every process has the same table."""
    found = {entry.name: entry for entry in metadata.entry_points(group=part)}
    return tuple(found[name].load() for name in sorted(found))

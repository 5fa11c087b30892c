"""Compares the final states of two runs without what may differ: ids, versions, times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from pincompute.testing.laws.cases import Case
from pincompute.testing.laws.simulated_world import SimulatedWorld

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_UID = re.compile(r"[0-9a-f]{8}-0000-4000-8000-\d{12}")
_DROPPED = frozenset({"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "observedGeneration"})


def of(case: Case, world: SimulatedWorld) -> Any:
    """Returns the scenario's own outcome, or everything."""
    return (case.scenario.outcome or everything)(world)


def everything(world: SimulatedWorld) -> dict[str, Any]:
    """Returns every object of the kinds under test, by cluster, kind and name."""
    found: dict[str, Any] = {}
    for cluster in sorted(world.stores):
        for resource in world.resources:
            for item in world.stores[cluster].list(resource).items:
                metadata = item["metadata"]
                name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
                found[f"{cluster}: {resource.kind} {name}"] = plain(item)
    return found


def plain(value: Any) -> Any:
    """Returns JSON data without ids, versions and times."""
    match value:
        case dict():
            fields = cast("dict[str, Any]", value)
            return {name: plain(part) for name, part in fields.items() if name not in _DROPPED}
        case list():
            return [plain(part) for part in cast("list[Any]", value)]
        case str():
            return _UID.sub("(uid)", _TIME.sub("(time)", value))
        case _:
            return value


def difference(wanted: Any, got: Any, path: str = "") -> str:
    """Returns the first place where two outcomes differ, in words; empty when they do not."""
    if wanted == got:
        return ""
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        mine, theirs = cast("Mapping[str, Any]", wanted), cast("Mapping[str, Any]", got)
        for name in (*mine, *(name for name in theirs if name not in mine)):
            if name not in theirs:
                return f"{path}{name} is missing"
            if name not in mine:
                return f"{path}{name} is too much"
            if found := difference(mine[name], theirs[name], f"{path}{name} > "):
                return found
    return f"{path.removesuffix(' > ') or 'the outcome'} is {got!r}, not {wanted!r}"

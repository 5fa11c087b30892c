"""Makes the paths and OpenAPI names of the operation API's routes, which are the same for every workload kind."""

from __future__ import annotations

from typing import Any

from pincompute.api.kinds import WorkloadKind


def path(kind: WorkloadKind, tail: str) -> str:
    return f"/v1/projects/{{project:str}}/{kind.plural}/{{name:str}}/{tail}"


def named(verb: str, kind: WorkloadKind, thing: str = "") -> dict[str, Any]:
    """The operation id and tag of a route in the OpenAPI document."""
    return {"operation_id": f"{verb}{kind.word.capitalize()}{thing}", "tags": [kind.plural]}

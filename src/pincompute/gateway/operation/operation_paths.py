"""Where the operation API's routes stand: below each workload, alike for every kind."""

from __future__ import annotations

from typing import Any

from pincompute.api.kinds import WorkloadKind


def path(kind: WorkloadKind, tail: str) -> str:
    return f"/v1/projects/{{project:str}}/{kind.plural}/{{name:str}}/{tail}"


def named(verb: str, kind: WorkloadKind, thing: str = "") -> dict[str, Any]:
    """How a route stands in the OpenAPI document."""
    return {"operation_id": f"{verb}{kind.word.capitalize()}{thing}", "tags": [kind.plural]}

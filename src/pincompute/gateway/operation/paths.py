"""Where the operation API's routes stand: below each app and each unit, alike."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pincompute.api.workloads import PINAPPS, PINPODS

Plural: TypeAlias = Literal["apps", "units"]

PLURALS: tuple[Plural, ...] = ("apps", "units")
KINDS: dict[Plural, str] = {"apps": PINAPPS.kind, "units": PINPODS.kind}


def path(plural: Plural, tail: str) -> str:
    return f"/v1/projects/{{project:str}}/{plural}/{{name:str}}/{tail}"


def named(verb: str, plural: Plural, thing: str = "") -> dict[str, Any]:
    """How a route stands in the OpenAPI document."""
    return {"operation_id": f"{verb}{plural.removesuffix('s').capitalize()}{thing}", "tags": [plural]}

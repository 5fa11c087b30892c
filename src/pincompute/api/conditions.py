"""Defines standard conditions (KEP-1623): one entry per type, with a machine reason and a message for people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pincompute.api.meta import Struct, doc

ConditionStatus: TypeAlias = Literal["True", "False", "Unknown"]


class Condition(Struct):
    """`last_transition_time` moves only when `status` changes (S-022)."""

    type: Annotated[str, doc("What is judged, for example Ready.", minLength=1, maxLength=316)]
    status: Annotated[ConditionStatus, doc("True, False or Unknown.")]
    observed_generation: Annotated[int, doc("metadata.generation that was observed.")] = 0
    last_transition_time: Annotated[datetime | None, doc("When the status last changed.")] = None
    reason: Annotated[str, doc("One CamelCase word for programs.", maxLength=1024)] = ""
    message: Annotated[str, doc("A sentence for people: what is so and what to do.", maxLength=32768)] = ""


Conditions: TypeAlias = Annotated[
    tuple[Condition, ...],
    doc("Standard conditions, one per type.", x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["type"]),
]


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    found = find(conditions, kind)
    return found is not None and found.status == "True"


def is_false(conditions: Iterable[Condition], kind: str) -> bool:
    found = find(conditions, kind)
    return found is not None and found.status == "False"


def merge(present: Iterable[Condition], wanted: Iterable[Condition], now: datetime) -> tuple[Condition, ...]:
    """`present` with the `wanted` types replaced, others kept (S-018); transition times follow the status, not the write."""
    merged = {c.type: c for c in present}
    for condition in wanted:
        before = merged.get(condition.type)
        unchanged = before is not None and before.status == condition.status
        since = before.last_transition_time if before is not None and unchanged else now
        merged[condition.type] = Condition(
            type=condition.type,
            status=condition.status,
            observed_generation=condition.observed_generation,
            last_transition_time=since,
            reason=condition.reason,
            message=condition.message,
        )
    return tuple(merged[kind] for kind in sorted(merged))

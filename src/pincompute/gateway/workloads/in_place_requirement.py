"""Refuses changes that need new pods where `update.inPlace: Require` rules new pods out (S-151)."""

from __future__ import annotations

from typing import Any

from pincompute.api import in_place_change
from pincompute.api.quantity import InvalidQuantityError
from pincompute.gateway import problems
from pincompute.gateway.model import SimpleKind
from pincompute.gateway.model.diff import asked
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.problems import FieldError

_REMEDY = "leave it as it is, or allow new replicas with update.inPlace: Prefer"


def replacing_fields(before: Data, after: Data) -> tuple[str, ...]:
    """Returns the fields of the resource for whose change its pods are replaced; none where no pod has to be."""
    try:
        return in_place_change.replacing_fields(before.get("template") or {}, after.get("template") or {})
    except InvalidQuantityError:  # the object was stored before quantities were judged
        return ()


def policy(spec: Data) -> str:
    """Returns `update.inPlace` of a spec that states no defaults."""
    update: dict[str, Any] = spec.get("update") or {}
    return update.get("inPlace", "Prefer")


def located(kind: SimpleKind[Any], spec: Data, field: str) -> str:
    """Returns where the field of the resource stands in the simple form."""
    simple = kind.of_manifest({"metadata": {"name": "judged"}, "spec": spec})
    return kind.locate(asked(simple), field)


def check(kind: SimpleKind[Any], before: Data, after: Data) -> None:
    """Raises Problem for the fields that force new pods. What is stopped has no pods to replace."""
    if policy(after) != "Require" or after.get("stopped"):
        return
    if fields := replacing_fields(before, after):
        problem = f"no running replica can take this change, and update.inPlace is Require: {_REMEDY}"
        raise problems.invalid(*(FieldError(located(kind, after, field), "no change", problem) for field in fields))

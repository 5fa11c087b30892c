"""This package holds the behaviour of each workload kind; controllers get its table and name no kind."""

from __future__ import annotations

from pincompute.api.kinds import WorkloadKind, entry_points
from pincompute.federation.kinds.behaviour import Behaviour, MemberReport, PodSet, ShardInput, Summary
from pincompute.federation.kinds.pinapp_behaviour import PINAPP
from pincompute.federation.kinds.pinpod_behaviour import PINPOD

__all__ = ["BEHAVIOURS", "Behaviour", "MemberReport", "PodSet", "ShardInput", "Summary", "of"]

BEHAVIOURS: tuple[Behaviour, ...] = (PINAPP, PINPOD, *entry_points.load("pincompute.behaviours"))


def of(kind: WorkloadKind, behaviours: tuple[Behaviour, ...] = BEHAVIOURS) -> Behaviour:
    """Raises LookupError for a kind that came without it."""
    found = next((behaviour for behaviour in behaviours if behaviour.kind is kind), None)
    if found is None:
        raise LookupError(f"nothing says how a {kind.workload.kind} behaves: register its Behaviour beside its Kind")
    return found

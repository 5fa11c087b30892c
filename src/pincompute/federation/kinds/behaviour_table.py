"""The table of behaviours, in the order of `api.kinds`, with those that other packages register."""

from __future__ import annotations

from pincompute.api.kinds import WorkloadKind, entry_points
from pincompute.federation.kinds.behaviour import Behaviour
from pincompute.federation.kinds.replicated_behaviour import PINAPP, PINPOD

BEHAVIOURS: tuple[Behaviour, ...] = (PINAPP, PINPOD, *entry_points.load("pincompute.behaviours"))


def of(kind: WorkloadKind, behaviours: tuple[Behaviour, ...] = BEHAVIOURS) -> Behaviour:
    """Returns the kind's behaviour; raises LookupError for a kind without one."""
    found = next((behaviour for behaviour in behaviours if behaviour.kind is kind), None)
    if found is None:
        raise LookupError(f"{kind.workload.kind} has no behaviour: register its Behaviour beside its WorkloadKind")
    return found

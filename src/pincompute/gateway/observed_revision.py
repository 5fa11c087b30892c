"""Tells the name that the platform gave the revision of a workload's spec."""

from __future__ import annotations

from pincompute.api.kinds import WorkloadObject
from pincompute.api.workloads import UNDOING


def observed_revision(obj: WorkloadObject) -> str:
    """Returns the name; empty where the platform has not observed the last change, or runs another revision than that of the
    spec: a paused workload keeps the one it had, and an update that is undone goes back to the one that served.
    """
    status, rollout = obj.status, obj.status.rollout
    undone = rollout is not None and rollout.state in UNDOING
    if status.observed_generation < obj.metadata.generation or obj.spec.paused or undone:
        return ""
    return status.revision

"""Describes the kind PinPod: one pod managed by the platform, which users call a unit."""

from __future__ import annotations

from pincompute.api import validation_rules
from pincompute.api.kinds.workload_kind import WorkloadKind
from pincompute.api.shards import PINPODSHARDS
from pincompute.api.workloads import PINPODS

PINPOD = WorkloadKind(
    PINPODS,
    PINPODSHARDS,
    word="unit",
    plural="units",
    short="pp",
    shard_short="pps",
    strategy="spread",
    rules={"spec": (validation_rules.ZONES_PLACED,), "spec.update": validation_rules.UPDATE},
)

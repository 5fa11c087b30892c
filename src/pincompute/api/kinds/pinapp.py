"""Describes the kind PinApp: a long-running service, which users call an app."""

from __future__ import annotations

from pincompute.api import validation_rules
from pincompute.api.kinds.workload_kind import WorkloadKind
from pincompute.api.shards import PINAPPSHARDS
from pincompute.api.workloads import PINAPPS

PINAPP = WorkloadKind(
    PINAPPS,
    PINAPPSHARDS,
    word="app",
    plural="apps",
    short="pa",
    shard_short="pas",
    strategy="spread",
    scalable=True,
    rules={
        "spec": validation_rules.SERVICE,
        "spec.update": validation_rules.UPDATE,
        "spec.disruption": (validation_rules.DISRUPTION,),
    },
    pod_rules=validation_rules.SERVICE_POD_SPEC,
)

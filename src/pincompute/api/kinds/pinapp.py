"""PinApp: a long-running service, called app by users."""

from __future__ import annotations

from pincompute.api import rules
from pincompute.api.kinds.kind import Kind
from pincompute.api.shards import PINAPPSHARDS
from pincompute.api.workloads import PINAPPS

PINAPP = Kind(
    PINAPPS,
    PINAPPSHARDS,
    word="app",
    plural="apps",
    short="pa",
    shard_short="pas",
    strategy="spread",
    scalable=True,
    rules={"spec.update": rules.UPDATE, "spec.disruption": (rules.DISRUPTION,)},
    pod_rules=rules.SERVICE_POD_SPEC,
)

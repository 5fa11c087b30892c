"""PinPod: one pod managed by the platform, called unit by users."""

from __future__ import annotations

from pincompute.api import rules
from pincompute.api.kinds.kind import Kind
from pincompute.api.shards import PINPODSHARDS
from pincompute.api.workloads import PINPODS

PINPOD = Kind(
    PINPODS,
    PINPODSHARDS,
    word="unit",
    plural="units",
    short="pp",
    shard_short="pps",
    strategy="spread",
    rules={"spec.update": rules.UPDATE},
)

"""What one member cluster must run. Written by federation, read by that member's operator; users never see shards."""

from __future__ import annotations

from pincompute.api.conditions import Condition
from pincompute.api.meta import GROUP, VERSION, Manifest, Object, Resource, Struct
from pincompute.api.workloads import Tier, Update


class Origin(Struct):
    """The host object a shard comes from; `generation` is the one the shard was rendered from."""

    uid: str
    generation: int


class Share(Struct):
    """So many replicas of one revision."""

    revision: str
    template: Manifest
    replicas: int


class ShardSpec(Struct):
    """The mix of revisions that should run here. A rollout, a rollback and a scale are only a new mix."""

    origin: Origin
    cluster: str
    zone: str
    mix: tuple[Share, ...]
    tier: Tier = "OnDemand"
    update: Update = Update()


class ShardStatus(Struct):
    """`observed_generation` is the shard's own; `origin_generation` the host object's it was rendered from (S-020)."""

    observed_generation: int = 0
    origin_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    updated_replicas: int = 0
    message: str = ""
    conditions: tuple[Condition, ...] = ()


class Shard(Object):
    spec: ShardSpec
    status: ShardStatus = ShardStatus()


class PinAppShard(Shard):
    """A PinApp's part in one member cluster."""


class PinPodShard(Shard):
    """A standalone PinPod in the member cluster that was chosen for it."""


PINAPPSHARDS = Resource(GROUP, VERSION, "PinAppShard", "pinappshards", True, PinAppShard)
PINPODSHARDS = Resource(GROUP, VERSION, "PinPodShard", "pinpodshards", True, PinPodShard)

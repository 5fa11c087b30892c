"""PinBatch: what is known of the kind before any object."""

from __future__ import annotations

from typing import Annotated

from pincompute.api import validation_rules
from pincompute.api.kinds.workload_kind import WorkloadKind
from pincompute.api.meta import GROUP, VERSION, Object, Resource, doc
from pincompute.api.shards import Shard
from pincompute.api.workloads import PinAppSpec, WorkloadStatus


class PinBatchSpec(PinAppSpec):
    team: Annotated[str, doc("Whose it is.")] = ""


class PinBatch(Object):
    """Replicas of a team."""

    spec: Annotated[PinBatchSpec, doc("What should run.")]
    status: Annotated[WorkloadStatus, doc("What runs.")] = WorkloadStatus()


class PinBatchShard(Shard):
    """A PinBatch's part in one member cluster."""


PINBATCH = WorkloadKind(
    Resource(GROUP, VERSION, "PinBatch", "pinbatches", True, PinBatch),
    Resource(GROUP, VERSION, "PinBatchShard", "pinbatchshards", True, PinBatchShard),
    word="batch",
    plural="batches",
    short="pb",
    shard_short="pbs",
    scalable=True,
    rules={"spec.update": validation_rules.UPDATE},
)

"""Keeps the shard's PodDisruptionBudget: what others may evict follows the shard's budget.

The budget keeps as many replicas as the mix asks for, less those that may be missing for evictions. The API server refuses a
drain that is not allotted yet, and the drain retries; the shard reports what the drain waits for, and the budget follows.
Pods that do not serve may always be evicted.
"""

from __future__ import annotations

from typing import Any

from pincompute.api.builtin import PODDISRUPTIONBUDGETS, PodDisruptionBudget
from pincompute.api.labels import LOCAL, MANAGED_BY, PINCOMPUTE, SHARD_UID
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.api.shards import Shard
from pincompute.domain import shard_pods
from pincompute.engine.plan import Create, Ref, Replace, update
from pincompute.operator.replicas.shard_status import Count


def key(shard: Shard, resource: Resource[Any]) -> Key:
    """Returns the budget's key; shards of different kinds may have the same name."""
    return Key(shard.metadata.namespace, f"{shard_pods.workload_kind(resource).lower()}-{shard.metadata.name}")


def decide(
    shard: Shard, resource: Resource[Any], present: PodDisruptionBudget | None, count: Count, *, busy: bool
) -> tuple[Create | Replace, ...]:
    """Returns the write that makes it so. A shard of which nothing serves yet has nothing to keep."""
    least = max(0, count.total - shard.spec.budget.unavailable)
    ref, why = Ref(LOCAL, PODDISRUPTIONBUDGETS, key(shard, resource)), f"{least} replicas must stay here"
    if present is None:
        serves = count.ready and not busy
        return (Create(ref, _manifest(shard, resource, least), why),) if serves else ()
    if _keeps(present, shard.metadata.uid, least):
        return ()
    return (update(ref, present.metadata, _manifest(shard, resource, least), why),)


def _keeps(present: PodDisruptionBudget, uid: str, least: int) -> bool:
    selector = present.spec.selector
    return present.spec.min_available == least and selector is not None and selector.match_labels == {SHARD_UID: uid}


def _manifest(shard: Shard, resource: Resource[Any], least: int) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "labels": {MANAGED_BY: PINCOMPUTE, SHARD_UID: shard.metadata.uid},
            "ownerReferences": [shard_pods.owner(resource, shard)],
        },
        "spec": {
            "minAvailable": least,
            "selector": {"matchLabels": {SHARD_UID: shard.metadata.uid}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }

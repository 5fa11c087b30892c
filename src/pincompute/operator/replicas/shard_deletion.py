"""Lets a deleted shard go when its pods are gone: the API server proves it, not an empty cache (S-006, S-010).

In a namespace that is no project's, the shard keeps its finalizer and waits, because the platform ends no pods there. It goes
when the federation adopts the namespace, as after an upgrade, when an administrator makes the namespace the project's again, or
when somebody else ends the pods.
"""

from __future__ import annotations

from collections.abc import Sequence

from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import LOCAL, PODS_FINALIZER, SHARD_UID
from pincompute.api.shards import Shard
from pincompute.engine.plan import Confirm, ConfirmSet, Delete, Patch, Plan, Ref, plan


def decide(ref: Ref, shard: Shard, pods: Sequence[Pod], marked: frozenset[str], *, in_project: bool) -> Plan:
    metadata = shard.metadata
    if PODS_FINALIZER not in metadata.finalizers:
        return plan(why="the shard is being deleted by others; its pods follow it as its dependents")
    running = [pod for pod in pods if not pod.deleting]
    if running and not in_project:
        return plan(why=f"waits: the namespace is not that of a project, and {len(running)} pods of the shard run there")
    if running:
        return plan((Confirm(ref, metadata.uid, metadata.generation),), tuple(_delete(pod) for pod in running))
    if pods:
        return plan(why=f"waits for {len(pods)} pods to end")
    rest = [finalizer for finalizer in metadata.finalizers if finalizer != PODS_FINALIZER]
    return plan(
        (ConfirmSet(LOCAL, PODS, metadata.namespace, SHARD_UID, metadata.uid, marked),),
        (Patch(ref, {"metadata": {"finalizers": rest}}, metadata.uid, metadata.resource_version, "its pods are gone"),),
    )


def _delete(pod: Pod) -> Delete:
    """Deletes the pod, pinned by its uid alone: whatever became of it, it has to go."""
    return Delete(Ref(LOCAL, PODS, pod.key), pod.metadata.uid, "its shard is being deleted")

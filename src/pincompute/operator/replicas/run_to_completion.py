"""Handles units that run to completion: a pod that ended by itself is the result and does not run again (S-162).

A pod that an eviction or the loss of its node took away has not ended, and is replaced. The shard's status keeps the end, so
that it outlives the pod. Another revision runs again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pincompute.api import conditions, kinds
from pincompute.api.builtin import Pod
from pincompute.api.labels import REVISION
from pincompute.api.meta import Manifest, Resource
from pincompute.api.shards import Shard, Share
from pincompute.api.workloads import Ended
from pincompute.domain import shard_pods

DEADLINE = "DeadlineExceeded"  # what kubelet says of a pod that reached activeDeadlineSeconds


def find(resource: Resource[Any], shard: Shard, those: Iterable[Pod], now: datetime) -> Ended | None:
    """Returns how the present revision of the unit ended; None while it has not, and for services."""
    if kinds.of_resource(resource).scalable:
        return None
    shares = {share.revision: share for share in shard.spec.mix}
    told = shard.status.ended
    if told is not None and told.revision in shares:
        return told
    for pod in those:
        share = shares.get(pod.metadata.labels.get(REVISION, ""))
        if share is not None and not pod.deleting and _has_ended(pod, share):
            return _ended(pod, share.revision, now)
    return None


def _has_ended(pod: Pod, share: Share) -> bool:
    if not shard_pods.is_finished(pod) or conditions.is_true(pod.status.conditions, "DisruptionTarget"):
        return False
    if pod.status.reason == DEADLINE:
        return True
    spec: Manifest = share.template.get("spec") or {}
    return spec.get("restartPolicy", "Always") != "Always" and not pod.status.reason


def _ended(pod: Pod, revision: str, now: datetime) -> Ended:
    if pod.status.phase == "Succeeded":
        return Ended(revision=revision, phase="Succeeded", reason="Completed", message="its containers have ended well", at=now)
    if pod.status.reason == DEADLINE:
        message = "it reached activeDeadline; raise it, or restart the unit to run it again"
        return Ended(revision=revision, phase="Failed", reason=DEADLINE, message=message, at=now)
    codes = [
        f"container {status.name} ended with exit code {status.state.terminated.exit_code}"
        for status in pod.status.container_statuses
        if status.state and status.state.terminated and status.state.terminated.exit_code
    ]
    message = f"{'; '.join(codes) or 'a container failed'}; look at its logs, and restart the unit to run it again"
    return Ended(revision=revision, phase="Failed", reason="ContainerFailed", message=message, at=now)

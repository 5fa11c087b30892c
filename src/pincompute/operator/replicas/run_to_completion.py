"""Handles units that run to completion: a pod that ended by itself is the result and does not run again (S-162).

A pod that an eviction or the loss of its node took away has not ended, and is replaced. The shard's status keeps the end, so
that it outlives the pod. Another revision runs again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from pincompute.api import conditions, kinds
from pincompute.api.builtin import ContainerStateTerminated, ContainerStatus, Pod
from pincompute.api.labels import OF_PLATFORM, REVISION
from pincompute.api.meta import Manifest, Resource
from pincompute.api.shards import Shard, Share
from pincompute.api.workloads import Ended, EndedContainer
from pincompute.domain import container_failure, shard_pods

LONGEST_MESSAGE = 1024  # characters of a termination log that the status keeps
REMEDY = "look at its logs, and restart the unit to run it again"
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
    containers = tuple(_containers(pod))
    at = max((c.finished_at for c in containers if c.finished_at is not None), default=now)
    if pod.status.phase == "Succeeded":
        reason, message = "Completed", "its containers have ended well"
    elif pod.status.reason == DEADLINE:
        reason, message = DEADLINE, "it reached activeDeadline; raise it, or restart the unit to run it again"
    else:
        reason, message = "ContainerFailed", f"{_failures(pod) or 'a container failed'}; {REMEDY}"
    phase = "Succeeded" if pod.status.phase == "Succeeded" else "Failed"
    return Ended(revision=revision, phase=phase, reason=reason, message=message, at=at, containers=containers)


def _containers(pod: Pod) -> Iterator[EndedContainer]:
    """Yields how each container of the user ended, the mains first; one that never ran has no end."""
    for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
        if (end := _end(status)) is not None and not status.name.startswith(OF_PLATFORM):
            yield EndedContainer(
                name=status.name,
                exit_code=end.exit_code,
                reason=end.reason,
                message=end.message[:LONGEST_MESSAGE],
                started_at=end.started_at,
                finished_at=end.finished_at,
            )


def _failures(pod: Pod) -> str:
    """Returns which containers failed and how, in the words that a crash has. A sidecar is asked to end after the mains, so its
    exit code says nothing of the work.
    """
    sidecars = {c.name for c in pod.spec.init_containers if c.restart_policy == "Always"}
    every = (*pod.status.container_statuses, *pod.status.init_container_statuses)
    ends = ((status.name, _end(status)) for status in every if status.name not in sidecars)
    failed = ((name, end) for name, end in ends if end is not None and end.exit_code)
    return "; ".join(container_failure.ended(f"container {name}", end, again="").message for name, end in failed)


def _end(status: ContainerStatus) -> ContainerStateTerminated | None:
    return status.state.terminated if status.state is not None else None

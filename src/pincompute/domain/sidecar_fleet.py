"""Decides which pods of a member are asked to take another version of a sidecar, and counts the pods by version.

A pod is asked, and takes the version when the disruption account of its workload allows it, because a sidecar that restarts
makes its pod unready for a moment. A pod that differs from the version in more than the image is skipped and reported, or
asked to be replaced, as the sidecar says (S-160). So is a pod that neither names the sidecar nor is selected any more: it is
replaced by one without it where the sidecar says so, and where the sidecar is being deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pincompute.api import sidecars
from pincompute.api.builtin import Pod
from pincompute.api.labels import APP
from pincompute.api.meta import Key
from pincompute.api.sidecars import PinSidecarShard, PinSidecarShardSpec, PinSidecarShardStatus, VersionStatus
from pincompute.domain import container_failure, shard_pods, sidecar_injection
from pincompute.domain.sidecar_injection import WITHDRAWN, Injected

FAILING = frozenset({*container_failure.IMAGE, *container_failure.START, "CrashLoopBackOff"})


@dataclass(frozen=True, slots=True)
class FleetPod:
    """A pod that has the sidecar. `differs` from the target in more than the image. `leaves`: it is to be replaced by one
    without the sidecar. `start_due`: seconds until the container of its last update is late; None while no start is waited for.
    `failure`: why the sidecar cannot start, or has crashed; empty where neither is so.
    """

    pod: Pod
    injected: Injected
    differs: bool
    leaves: bool
    ending: bool
    start_due: float | None
    failure: str = ""

    @property
    def late(self) -> bool:
        return self.start_due is not None and self.start_due <= 0

    @property
    def pending(self) -> bool:
        """Whether its last update is under way."""
        return self.ending and not self.late

    @property
    def name(self) -> str:
        return self.pod.metadata.name


def pods_of(shard: PinSidecarShard, pods: Iterable[Pod], now: datetime) -> tuple[FleetPod, ...]:
    """Returns the pods that have the sidecar and live, in a fixed order."""
    name, target = shard.metadata.name, sidecars.of_revision(shard, shard.spec.target)
    made: list[FleetPod] = []
    for pod in sorted(pods, key=lambda pod: pod.key):
        injected = sidecar_injection.recorded(pod).get(name)
        if injected is None or not shard_pods.is_live(pod):
            continue
        differs = target is not None and injected.shape != target.shape
        ending = sidecar_injection.ends_still(pod, name, injected)
        due = sidecar_injection.start_due(pod, name, now) if ending else None
        leaves = _withdraws(shard.spec) and not sidecar_injection.is_chosen(shard, pod)
        found = FleetPod(pod, injected, differs, leaves, ending, due)
        made.append(replace(found, failure=_failure(found, name)))
    return tuple(made)


def requests(spec: PinSidecarShardSpec, pods: Sequence[FleetPod]) -> Mapping[str, str]:
    """Returns, by the uid of the pod, which version it is to be asked for now; empty to take a request back."""
    leaving = [each for each in pods if each.leaves and each.injected.wanted != WITHDRAWN]
    left = _versions_wanted(spec, [each for each in pods if not each.leaves])
    return {each.pod.metadata.uid: WITHDRAWN for each in leaving} | left


def _withdraws(spec: PinSidecarShardSpec) -> bool:
    return spec.ending or (spec.other_changes == "Replace" and not spec.paused)


def _versions_wanted(spec: PinSidecarShardSpec, pods: Sequence[FleetPod]) -> dict[str, str]:
    kept = sum(each.injected.revision == spec.target for each in pods)
    others = [each for each in pods if each.injected.revision != spec.target]
    asked = [each for each in others if each.injected.wanted == spec.target]
    stale = (each for each in pods if each.injected.wanted and not (_is_asked(spec, each) and not spec.paused))
    back = {each.pod.metadata.uid: "" for each in stale}
    if spec.paused:
        return back
    room = spec.updated - kept - len(asked)
    if room < 0:
        return back | {each.pod.metadata.uid: "" for each in _in_turn(asked)[room:]}
    waiting = (each for each in others if not _skipped(spec, each) and not _is_asked(spec, each))
    ready = [each for each in waiting if not each.pending]  # the last update of the others is not consistent yet
    return back | {each.pod.metadata.uid: spec.target for each in _in_turn(ready)[:room]}


def _is_asked(spec: PinSidecarShardSpec, pod: FleetPod) -> bool:
    return pod.injected.wanted == spec.target != pod.injected.revision


def wake_after(pods: Sequence[FleetPod]) -> float | None:
    """Returns the seconds until the first start that is waited for is late; None when none is."""
    return min((each.start_due for each in pods if each.start_due is not None and each.start_due > 0), default=None)


def _skipped(spec: PinSidecarShardSpec, pod: FleetPod) -> bool:
    if pod.injected.revision == spec.target:
        return False
    return pod.leaves or (pod.differs and spec.other_changes != "Replace")


def _in_turn(pods: Iterable[FleetPod]) -> list[FleetPod]:
    """Returns the pods in the order of their turns: those in which the sidecar fails first, which have nothing to lose, then
    those that serve, and the first replica of every workload before the second of any.
    """
    return sorted(pods, key=_turn)


def _turn(each: FleetPod) -> tuple[bool, bool, int, Key]:
    return not each.failure, shard_pods.ready_since(each.pod) is None, shard_pods.ordinal(each.pod), each.pod.key


def status(shard: PinSidecarShard, pods: Sequence[FleetPod]) -> PinSidecarShardStatus:
    """Returns the figures of the member."""
    revisions = sorted({each.injected.revision for each in pods})
    users = sorted({f"{p.pod.metadata.namespace}/{p.pod.metadata.labels.get(APP, p.name)}" for p in pods})
    return PinSidecarShardStatus(
        observed_generation=shard.metadata.generation,
        pods=len(pods),
        asked=sum(bool(each.injected.wanted) for each in pods),
        skipped=sum(_skipped(shard.spec, each) for each in pods),
        versions=tuple(_row(shard, revision, pods) for revision in revisions),
        users=tuple(users[: sidecars.MOST_USERS]),
    )


def _row(shard: PinSidecarShard, revision: str, pods: Sequence[FleetPod]) -> VersionStatus:
    mine = [each for each in pods if each.injected.revision == revision]
    name = shard.metadata.name
    found = [sidecar_injection.status_of(each.pod, name) for each in mine]
    failures = [each.failure for each in mine if each.failure]
    return VersionStatus(
        revision=revision,
        pods=len(mine),
        ready=sum(status is not None and status.ready and not each.pending for status, each in zip(found, mine, strict=True)),
        unplaced=sum(not each.pod.spec.node_name for each in mine),
        failing=len(failures),
        restarts=sum(status.restart_count for status in found if status is not None),
        message=min(failures, default=""),
    )


def _failure(pod: FleetPod, sidecar: str) -> str:
    """Returns why the sidecar of a pod cannot start or has crashed; empty where it runs, is starting, or waits for a registry
    or a node, which no other version would help.
    """
    found = sidecar_injection.status_of(pod.pod, sidecar)
    if found is None or found.state is None or pod.pending:
        return ""
    if pod.late:
        return f"{sidecar} does not start: its former container has ended, and none has started since"
    if found.state.terminated is not None:
        return container_failure.ended(sidecar, found.state.terminated, again="pin logs").message
    waiting = found.state.waiting
    if waiting is None or waiting.reason not in FAILING:
        return ""
    name = sidecars.container_name(sidecar)
    image = next((c.image for c in pod.pod.spec.init_containers if c.name == name), "")
    if waiting.reason in container_failure.IMAGE:
        if container_failure.is_of_another_image(image, waiting.message):
            return ""
        found_image = container_failure.image_pull(sidecar, image, waiting.reason, waiting.message)
        return found_image.message if found_image.final else ""
    if waiting.reason in container_failure.START:
        return container_failure.start(sidecar, waiting.reason, waiting.message).message
    last = found.last_state.terminated if found.last_state is not None else None
    return container_failure.ended(sidecar, last, again="pin logs").message if last is not None else f"{sidecar} crashes"

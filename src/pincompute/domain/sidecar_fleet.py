"""Decides which pods of a member are asked to take another version of a sidecar, and counts the pods by version.

A pod is asked, and takes the version when the disruption account of its workload allows it, because a sidecar that restarts
makes its pod unready for a moment. A pod that differs from the version in more than the image is skipped and reported, or
asked to be replaced, as the sidecar says (S-160). So is a pod that neither names the sidecar nor is selected any more: it is
replaced by one without it where the sidecar says so, and where the sidecar is being deleted. A pod in which the sidecar runs is
asked to take another image only when its node has that image (S-158).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pincompute.api import sidecars
from pincompute.api.builtin import ContainerStateWaiting, ContainerStatus, Pod
from pincompute.api.labels import APP
from pincompute.api.meta import Key
from pincompute.api.sidecars import PinSidecarShard, PinSidecarShardSpec, PinSidecarShardStatus, VersionStatus
from pincompute.domain import container_failure, shard_pods, sidecar_injection
from pincompute.domain.container_failure import ContainerFailure
from pincompute.domain.sidecar_injection import WITHDRAWN, Injected

FAILING = frozenset({*container_failure.IMAGE, *container_failure.START, "CrashLoopBackOff"})


@dataclass(frozen=True, slots=True)
class FleetPod:
    """A pod that has the sidecar. `differs` from the target in more than the image. `leaves`: it is to be replaced by one
    without the sidecar. `start_due`: seconds until the container of its last update is late; None while no start is waited for.
    `status` is what the kubelet reports of the sidecar's container. `failure`: why it cannot start, or has crashed; empty where
    neither is so.
    """

    pod: Pod
    injected: Injected
    differs: bool
    leaves: bool
    ending: bool
    start_due: float | None
    status: ContainerStatus | None
    failure: str = ""

    @property
    def late(self) -> bool:
        return self.start_due is not None and self.start_due <= 0

    @property
    def pending(self) -> bool:
        """Whether its last update is under way."""
        return self.ending and not self.late

    @property
    def ready(self) -> bool:
        return self.status is not None and self.status.ready and not self.pending

    @property
    def runs(self) -> bool:
        return self.status is not None and self.status.state is not None and self.status.state.running is not None

    @property
    def name(self) -> str:
        return self.pod.metadata.name

    @property
    def uid(self) -> str:
        return self.pod.metadata.uid


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
        found = FleetPod(pod, injected, differs, leaves, ending, due, sidecar_injection.status_of(pod, name))
        made.append(replace(found, failure=_failure(found, name)))
    return tuple(made)


def requests(spec: PinSidecarShardSpec, pods: Sequence[FleetPod], awaiting_image: Collection[str] = ()) -> Mapping[str, str]:
    """Returns, by the uid of the pod, which version it is to be asked for now; empty to take a request back.

    Pods with these uids are not asked yet: they are `awaiting_image`.
    """
    leaving = [each for each in pods if each.leaves and each.injected.wanted != WITHDRAWN]
    left = _versions_wanted(spec, [each for each in pods if not each.leaves], awaiting_image)
    return {each.uid: WITHDRAWN for each in leaving} | left


def image_changes(spec: PinSidecarShardSpec, pods: Sequence[FleetPod]) -> list[FleetPod]:
    """Returns the pods that take the target's image in place as soon as they can, and whose sidecar runs: it must not end
    before the image is on the node.
    """
    stay = [each for each in pods if not each.leaves]
    return [each for each in (*_asked(spec, stay), *_next_in_turn(spec, stay)) if each.runs and not each.differs]


def _withdraws(spec: PinSidecarShardSpec) -> bool:
    return spec.ending or (spec.other_changes == "Replace" and not spec.paused)


def _versions_wanted(spec: PinSidecarShardSpec, pods: Sequence[FleetPod], awaiting_image: Collection[str]) -> dict[str, str]:
    stale = (each for each in pods if each.injected.wanted and not (_is_asked(spec, each) and not spec.paused))
    back = {each.uid: "" for each in stale}
    room = _room(spec, pods)
    if room < 0 and not spec.paused:
        return back | {each.uid: "" for each in _in_turn(_asked(spec, pods))[room:]}
    return back | {each.uid: spec.target for each in _next_in_turn(spec, pods) if each.uid not in awaiting_image}


def _room(spec: PinSidecarShardSpec, pods: Sequence[FleetPod]) -> int:
    """Returns how many more pods may be asked to take the target; below zero if too many are."""
    kept = sum(each.injected.revision == spec.target for each in pods)
    return spec.updated - kept - len(_asked(spec, pods))


def _next_in_turn(spec: PinSidecarShardSpec, pods: Sequence[FleetPod]) -> list[FleetPod]:
    """Returns the pods that may be asked now to take the target, as many as there is room for."""
    others = (each for each in pods if each.injected.revision != spec.target)
    waiting = (each for each in others if not _skipped(spec, each) and not _is_asked(spec, each))
    ready = [each for each in waiting if not each.pending]  # the last update of the others is not consistent yet
    return [] if spec.paused else _in_turn(ready)[: max(0, _room(spec, pods))]


def _asked(spec: PinSidecarShardSpec, pods: Sequence[FleetPod]) -> list[FleetPod]:
    return [each for each in pods if _is_asked(spec, each) and not spec.paused]


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


@dataclass(frozen=True, slots=True)
class TargetImage:
    """How the image of the target comes to the nodes: how many pods are `awaiting` it, how many nodes are `pulling` it, and the
    pods that fail to pull it. `pulled`: some node has it.
    """

    awaiting: int = 0
    pulling: int = 0
    failing: tuple[Pod, ...] = ()
    pulled: bool = False


def status(shard: PinSidecarShard, pods: Sequence[FleetPod], image: TargetImage = TargetImage()) -> PinSidecarShardStatus:
    """Returns the figures of the member."""
    awaited = {shard.spec.target} if image.awaiting else set[str]()
    revisions = sorted({each.injected.revision for each in pods} | awaited)
    users = sorted({f"{p.pod.metadata.namespace}/{p.pod.metadata.labels.get(APP, p.name)}" for p in pods})
    return PinSidecarShardStatus(
        observed_generation=shard.metadata.generation,
        pods=len(pods),
        asked=sum(bool(each.injected.wanted) for each in pods),
        skipped=sum(_skipped(shard.spec, each) for each in pods),
        versions=tuple(_row(shard, revision, pods, image) for revision in revisions),
        users=tuple(users[: sidecars.MOST_USERS]),
    )


def _row(shard: PinSidecarShard, revision: str, pods: Sequence[FleetPod], image: TargetImage) -> VersionStatus:
    mine = [each for each in pods if each.injected.revision == revision]
    name = shard.metadata.name
    awaited = image if revision == shard.spec.target else TargetImage()
    pulls = _version_failures(name, awaited)
    final = [each.message for each in pulls if each.final and not each.needs_login]
    failures = [each.failure for each in mine if each.failure] + final
    return VersionStatus(
        revision=revision,
        pods=len(mine),
        ready=sum(each.ready for each in mine),
        unplaced=sum(not each.pod.spec.node_name for each in mine),
        awaiting_image=awaited.awaiting,
        pulling=awaited.pulling,
        failing=len(failures),
        restarts=sum(each.status.restart_count for each in mine if each.status is not None),
        message=min(failures or [each.message for each in pulls], default=""),
    )


def _failure(pod: FleetPod, sidecar: str) -> str:
    """Returns why the sidecar of a pod cannot start or has crashed; empty where it runs, is starting, or waits for a registry
    or a node, which no other version would help.
    """
    found = pod.status
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
        pull = _pull_failure(sidecar, image, waiting)
        return pull.message if pull is not None and pull.final else ""
    if waiting.reason in container_failure.START:
        return container_failure.start(sidecar, waiting.reason, waiting.message).message
    last = found.last_state.terminated if found.last_state is not None else None
    return container_failure.ended(sidecar, last, again="pin logs").message if last is not None else f"{sidecar} crashes"


def _version_failures(sidecar: str, image: TargetImage) -> list[ContainerFailure]:
    """Returns the failures to pull that say something about the version. One project's lack of a login does not where another
    pulls the image, and before that it may still be the only one: so it fails no step at once.
    """
    found = [failure for pull in image.failing for failure in _pull_failures(sidecar, pull)]
    return [failure for failure in found if not (image.pulled and failure.needs_login)]


def _pull_failures(sidecar: str, pull: Pod) -> list[ContainerFailure]:
    """Returns what a pod that pulls the image of a sidecar reports."""
    image = next((container.image for container in pull.spec.containers), "")
    states = (status.state for status in pull.status.container_statuses)
    waiting = (state.waiting for state in states if state is not None and state.waiting is not None)
    found = (_pull_failure(sidecar, image, each) for each in waiting if each.reason in container_failure.IMAGE)
    return [failure for failure in found if failure is not None]


def _pull_failure(sidecar: str, image: str, waiting: ContainerStateWaiting) -> ContainerFailure | None:
    """Returns why the image cannot be pulled; None where the kubelet's message is about a former one."""
    if container_failure.is_of_another_image(image, waiting.message):
        return None
    return container_failure.image_pull(sidecar, image, waiting.reason, waiting.message)

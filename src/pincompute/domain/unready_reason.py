"""Finds why replicas are not ready, in sentences that say what to do, and whether waiting helps.

Of all reasons the most telling is first: a container that fails tells more than a pod that waits for a node, and that more than
one that is still starting. Pods with the same reason are one reason. A reason is **final** when the replica cannot start as it
is: somebody has to change the workload or what it needs. Everything else may heal by itself.

A container that crashes again and again runs for a moment between two crashes. Its reason stays the same then, and the replica
does not count as ready before it has run for a while.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from math import inf

import msgspec

from pincompute.api import conditions, labels
from pincompute.api.builtin import ContainerStateTerminated, ContainerStatus, Pod
from pincompute.api.meta import Manifest
from pincompute.api.workloads import UnreadyCause
from pincompute.domain import (
    container_failure,
    container_restart,
    in_place_update,
    namespace_quotas,
    pod_resize,
    pod_template_text,
    scheduling_verdict,
    storage_eviction,
    traffic_gate,
)
from pincompute.domain.container_failure import OUT_OF_MEMORY, ContainerFailure, short

PATIENCE = 30.0  # seconds a running container may be unready before its probe is named: three periods of a default probe
MOUNTED = 20.0  # seconds in which the kubelet mounts the secrets and configs of a pod
REGISTRY_PATIENCE = 30.0  # seconds in which a registry that cannot be reached may come back: at least two pulls
STEADY = 10.0  # seconds a container must have run after a crash before its replica counts as ready again
SHORT_RUN = 60.0  # seconds; a container that ended sooner may be in a crash loop
FIRST_BACK_OFF = "10s"  # the kubelet waits so long before the second restart, and twice as long before each further one
LONGEST_CYCLE = SHORT_RUN + 300.0  # seconds from crash to crash in a loop: the longest back-off and a short run
ASKED_TO_END = (0, 137, 143)  # exit codes of a container that the kubelet ended
MOST_CAUSES = 4  # reasons in a status
_BACK_OFF = re.compile(r"back-off (?P<delay>\w+) ")
_POD = re.compile(r'^pods "[^"]*" is forbidden: ')  # names differ from one attempt to the next
NO_PROJECT = "the namespace is not a project's"


class Rank(IntEnum):
    """Lower tells more."""

    REFUSED = 0
    FAILING = 1
    ENDED = 2
    UNSCHEDULABLE = 3
    UNREADY = 4
    STARTING = 5


@dataclass(frozen=True, slots=True)
class UnreadyReason:
    """`replicas` have this reason, all of one revision. `wake_after`: seconds until time alone makes it another."""

    rank: Rank
    reason: str
    message: str
    final: bool = False
    lasting: bool = False
    revision: str = ""
    replicas: int = 1
    wake_after: float | None = None

    @property
    def cause(self) -> UnreadyCause:
        return UnreadyCause(
            reason=self.reason,
            message=self.message,
            replicas=self.replicas,
            revision=self.revision,
            final=self.final,
            lasting=self.lasting,
        )


STARTING = UnreadyReason(Rank.STARTING, "Starting", "replicas are starting")
BY_GATE = "ReadinessGatesNotReady"  # the kubelet's reason
OUT_OF_TRAFFIC = UnreadyReason(Rank.STARTING, "InPlaceRestart", f"replicas are {traffic_gate.OUT}")


@dataclass(frozen=True, slots=True)
class UnreadyPods:
    """The pods of a shard, the names of those that are not ready, and the template of each revision."""

    pods: Sequence[Pod]
    unready: AbstractSet[str]
    templates: Mapping[str, Manifest] = field(default_factory=dict[str, Manifest])


def find(of: UnreadyPods, now: datetime, refused: str = "") -> list[UnreadyReason]:
    """Returns the reasons, most telling first. `refused` is why the API server takes no more pods."""
    found = [_of(pod, of.templates, now) for pod in of.pods if pod.metadata.name in of.unready]
    if refused:
        message = f"more replicas are refused: {short(_POD.sub('', refused))}; {_remedy(refused)}"
        found.append(UnreadyReason(Rank.REFUSED, "PodsRefused", message, refused != NO_PROJECT))
    return sorted(_folded(found), key=lambda r: (r.rank, -r.replicas, r.reason, r.message))


DIGEST_UNKNOWN = "its node does not tell the image digest of a container that must restart"
_KEPT_DIGEST = (
    "their nodes have not reported the image digest of a container that must restart, and update.inPlace is Require, so "
    "these replicas keep their revision: wait until the nodes report it, name the image by its digest, or allow new "
    "pods with Prefer"
)


def blocked_updates(replicas: Mapping[str, int]) -> list[UnreadyReason]:
    """Returns why replicas keep their revision where no new pods are allowed; `replicas` tells how many by obstacle."""
    return [
        UnreadyReason(Rank.UNREADY, "ImageDigestUnknown", _KEPT_DIGEST, replicas=number)
        if obstacle == DIGEST_UNKNOWN
        else UnreadyReason(
            Rank.UNREADY,
            "ResizeNeedsNewPod",
            f"replicas cannot get the new resources in place, because {obstacle}, and update.inPlace is Require, so they keep "
            "their revision: ask for other resources, or allow new pods with Prefer",
            replicas=number,
        )
        for obstacle, number in sorted(replicas.items())
    ]


def resizes(pods: Iterable[Pod], *, replaces: bool) -> list[UnreadyReason]:
    """Returns why pods do not have their new resources yet. `replaces`: the operator makes other pods in the end."""
    return _folded(
        _of_resize(pod, found, replaces=replaces) for pod in pods if (found := pod_resize.reported_obstacle(pod)) is not None
    )


def _of_resize(pod: Pod, found: pod_resize.Obstacle, *, replaces: bool) -> UnreadyReason:
    kept = "goes on with the former resources"
    if not replaces:
        kept += ", because update.inPlace is Require: ask for other resources, make room, or allow new pods with Prefer"
    elif found.final:
        kept += " until a new one replaces it"
    else:
        kept += f", and a new one replaces it unless that changes within {pod_resize.RESIZE_TIMEOUT.seconds // 60} minutes"
    message = f"the node cannot give a running replica its new resources: {short(found.message)}; the replica {kept}"
    return UnreadyReason(Rank.UNREADY, found.reason, message, revision=pod.metadata.labels.get(labels.REVISION, ""))


def causes(found: Iterable[UnreadyReason]) -> tuple[UnreadyCause, ...]:
    """Returns those that belong into a status: what is only starting is no trouble."""
    return tuple(reason.cause for reason in found if reason.rank is not Rank.STARTING)[:MOST_CAUSES]


def _folded(found: Iterable[UnreadyReason]) -> list[UnreadyReason]:
    same: dict[UnreadyReason, list[UnreadyReason]] = {}
    for reason in found:
        same.setdefault(replace(reason, wake_after=None), []).append(reason)
    return [
        replace(reason, replicas=len(those), wake_after=min((r.wake_after for r in those if r.wake_after), default=None))
        for reason, those in same.items()
    ]


def _remedy(refused: str) -> str:
    if f"exceeded quota: {namespace_quotas.PODS_QUOTA}" in refused:
        return (
            f"the quota is at least {namespace_quotas.HEADROOM} times the project's limits and counts every pod in this "
            "cluster: remove what else runs in the project there, or an administrator raises the limits with pin admin limits"
        )
    if "exceeded quota" in refused:
        return "raise the quota or ask for less"
    if refused == NO_PROJECT:
        return "an administrator looks at the Ready condition of the Project"
    return "remove these fields" if "violates PodSecurity" in refused else "correct what it names"


def _of(pod: Pod, templates: Mapping[str, Manifest], now: datetime) -> UnreadyReason:
    revision = pod.metadata.labels.get(labels.REVISION, "")
    found = None if _is_stale(pod) else next(_candidates(pod, templates.get(revision, {}), now), None)
    return replace(found or STARTING, revision=revision)


def _is_stale(pod: Pod) -> bool:
    """Returns whether the kubelet still reports about what the pod was before its last change."""
    observed = pod.status.observed_generation
    return bool(observed) and observed < pod.metadata.generation


def _candidates(pod: Pod, template: Manifest, now: datetime) -> Iterator[UnreadyReason]:
    if pod.status.phase in ("Failed", "Succeeded"):
        yield _ended(pod)
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    for status in statuses:
        yield from _failing(pod, status, template, now)
    yield from _unscheduled(pod, template)
    yield from _unmounted(pod, statuses, template, now)
    for status in pod.status.init_container_statuses:
        yield from _endless(pod, status, now)
    for status in statuses:
        yield from _unready(pod, status, template, now)
    yield from _cut_off(pod)


def _ended(pod: Pod) -> UnreadyReason:
    why = pod.status.message or next(_exits(pod), "its containers have ended")
    reason = pod.status.reason or pod.status.phase
    if beyond := storage_eviction.why(pod.status.message, [container.name for container in pod.spec.containers]):
        remedy = storage_eviction.remedy(pod.status.message)
        return UnreadyReason(Rank.ENDED, reason, f"a replica was evicted: {beyond}: {remedy}; it is replaced")
    word = "was evicted" if reason == "Evicted" else "ended"
    return UnreadyReason(Rank.ENDED, reason, f"a replica {word}: {short(why)}; it is replaced")


def _exits(pod: Pod) -> Iterator[str]:
    for status in pod.status.container_statuses:
        if status.state and status.state.terminated:
            yield container_failure.ended(
                _named(pod, status.name), status.state.terminated, _last_run(pod, status.name)
            ).message


def _named(pod: Pod, container: str) -> str:
    """Returns the container's name with what it is."""
    init = next((c for c in pod.spec.init_containers if c.name == container), None)
    if init is None:
        return f"container {container}"
    return f"sidecar {container}" if init.restart_policy == "Always" else f"init container {container}"


def _last_run(pod: Pod, container: str) -> str:
    app = pod.metadata.labels.get(labels.APP, "NAME")
    name = f"unit/{app}" if _is_unit(pod) else app
    only = len(pod.spec.containers) == 1 and container == pod.spec.containers[0].name
    return f"`pin logs {name} --previous`" if only else f"`pin logs {name} --previous --container {container}`"


def _image(pod: Pod, status: ContainerStatus) -> str:
    """Returns the one it should run: while a container restarts in place its status still names the former."""
    containers = (*pod.spec.containers, *pod.spec.init_containers)
    return next((c.image for c in containers if c.name == status.name and c.image), status.image)


def _memory_limit(pod: Pod, container: str) -> str:
    every = (*pod.spec.containers, *pod.spec.init_containers)
    return next((str(c.resources.limits.get("memory", "")) for c in every if c.name == container), "")


def _failing(pod: Pod, status: ContainerStatus, template: Manifest, now: datetime) -> Iterator[UnreadyReason]:
    waiting = status.state.waiting if status.state else None
    name = _named(pod, status.name)
    if waiting is not None and waiting.reason in container_failure.IMAGE:
        image = _image(pod, status)
        if not container_failure.is_of_another_image(image, waiting.message):
            failure = container_failure.image_pull(name, image, waiting.reason, waiting.message)
            yield _pull(pod, _for_user(status, failure), now)
    elif waiting is not None and waiting.reason in container_failure.START:
        yield _failure(_for_user(status, container_failure.start(name, waiting.reason, waiting.message)))
    elif (crash := _crash(pod, status, now)) is not None and not _has_done_its_work(pod, crash, template):
        failure = _of_crash(pod, status, crash, template)
        lasts = crash.reason == container_failure.START_ERROR or _is_loop(pod, status, crash, now)
        yield _failure(_for_user(status, replace(failure, final=failure.final and lasts)))


def _for_user(status: ContainerStatus, failure: ContainerFailure) -> ContainerFailure:
    """Returns the failure with a remedy that users have: a sidecar of the platform is not theirs to correct."""
    if not status.name.startswith(labels.OF_PLATFORM):
        return failure
    name = status.name.removeprefix(labels.OF_PLATFORM)
    return replace(failure, remedy=f"sidecar {name} is the platform's: ask an administrator to correct it")


def _pull(pod: Pod, failure: ContainerFailure, now: datetime) -> UnreadyReason:
    """Returns the reason. A registry that cannot be reached for a moment is no trouble; one that stays so is a lasting one."""
    found, since = _failure(failure), _down_since(pod)
    if failure.reason != container_failure.NO_REGISTRY or since is None:
        return found
    left = REGISTRY_PATIENCE - _age(since, now)
    return replace(found, lasting=left <= 0, wake_after=left if left > 0 else None)


def _down_since(pod: Pod) -> datetime | None:
    """Returns since when a container of the pod is down: since the pod was started, or an update in place stopped one."""
    ready = conditions.find(pod.status.conditions, "ContainersReady")
    stopped = ready.last_transition_time if ready is not None and ready.status == "False" else None
    return max((at for at in (pod.status.start_time, stopped) if at is not None), default=None)


def _of_crash(pod: Pod, status: ContainerStatus, crash: ContainerStateTerminated, template: Manifest) -> ContainerFailure:
    name, again = _named(pod, status.name), _last_run(pod, status.name)
    checks = pod_template_text.killing_checks(template, status.name, _length(crash))
    if checks and crash.reason != OUT_OF_MEMORY and crash.exit_code in ASKED_TO_END:
        return container_failure.killed(name, crash, checks, again)
    failure = container_failure.ended(name, crash, again, _memory_limit(pod, status.name))
    return replace(failure, remedy=container_failure.UNIT_REMEDY) if _is_unit(pod) and not crash.exit_code else failure


def _has_done_its_work(pod: Pod, crash: ContainerStateTerminated, template: Manifest) -> bool:
    """Returns whether the container of a unit ended well and is not started again: its pod has not been summed up yet."""
    spec: Manifest = template.get("spec") or {}
    return _is_unit(pod) and not crash.exit_code and spec.get("restartPolicy", "Always") != "Always"


def _is_unit(pod: Pod) -> bool:
    return pod.metadata.labels.get(labels.WORKLOAD, "PinApp") != "PinApp"


def _failure(failure: ContainerFailure) -> UnreadyReason:
    return UnreadyReason(Rank.FAILING, failure.reason, failure.sentence, failure.final)


def _crash(pod: Pod, status: ContainerStatus, now: datetime) -> ContainerStateTerminated | None:
    """Returns how it ended when it is down now, or runs again only since a moment."""
    state, last = status.state, status.last_state.terminated if status.last_state else None
    if state is None or (status.ready and not _unsteady(pod, status, now)):
        return None
    if state.terminated is not None:
        init = any(c.name == status.name for c in pod.spec.init_containers)
        return None if init and not state.terminated.exit_code else _unless_asked(pod, status, state.terminated)
    if last is None:
        return None
    if state.running is not None and not (_is_short(last) and _age(state.running.started_at, now) < SHORT_RUN):
        return None
    return _unless_asked(pod, status, last)


def _unless_asked(pod: Pod, status: ContainerStatus, how: ContainerStateTerminated) -> ContainerStateTerminated | None:
    """Returns nothing for a container that the platform ended: by an update in place, or because somebody asked."""
    text = pod.metadata.annotations.get(labels.IN_PLACE, "")
    replaced = msgspec.json.decode(text, type=dict[str, in_place_update.Replaced]) if text else {}
    old = replaced.get(status.name)
    restarted = container_restart.recorded(pod).get(status.name)
    resized = pod_resize.recorded(pod).restarting.get(status.name)
    asked = (
        (old is not None and old.id in (how.container_id, status.container_id))
        or (resized is not None and resized in (how.container_id, status.container_id))
        or (restarted is not None and bool(restarted.request))
    )
    return None if asked else how


def _is_loop(pod: Pod, status: ContainerStatus, crash: ContainerStateTerminated, now: datetime) -> bool:
    """Returns whether it ended soon several times in a row. Who runs for days and ends once more may run for days again.

    The kubelet tells of the last two runs, and doubles its back-off after each short one. While a container runs, all that is
    left is the mean over the life of the pod.
    """
    state, last = status.state, status.last_state.terminated if status.last_state else None
    if not status.restart_count or not _is_short(crash) or state is None:
        return False
    if state.terminated is not None and last is not None:
        return _is_short(last)
    backed_off = _BACK_OFF.search(state.waiting.message) if state.waiting is not None else None
    if backed_off is not None and backed_off["delay"] != FIRST_BACK_OFF:
        return True
    ended = status.restart_count + (state.running is None)
    return ended > 1 and _age(pod.status.start_time, now) / ended < LONGEST_CYCLE


def _is_short(run: ContainerStateTerminated) -> bool:
    return _length(run) < SHORT_RUN


def _length(run: ContainerStateTerminated) -> float:
    """Returns how many seconds it ran; endless when nobody knows."""
    return _age(run.started_at, run.finished_at) if run.started_at and run.finished_at else inf


def _age(since: datetime | None, now: datetime) -> float:
    return (now - since).total_seconds() if since is not None else SHORT_RUN


def is_starting(pod: Pod, now: datetime) -> bool:
    """Returns whether a container of the pod runs for the first time, and so shortly that its checks need not pass yet."""
    for status in pod.status.container_statuses:
        running = status.state.running if status.state else None
        if running is not None and not status.ready and not status.restart_count and _age(running.started_at, now) < PATIENCE:
            return True
    return False


def has_run_unready(pod: Pod, now: datetime) -> bool:
    """Returns whether a container has run for as long as its checks may take to pass, and is not ready."""
    return any(
        not status.ready
        and status.state is not None
        and status.state.running is not None
        and _age(status.state.running.started_at, now) >= PATIENCE
        for status in pod.status.container_statuses
    )


def steady_after(pod: Pod, now: datetime) -> float:
    """Returns the seconds until a pod that is ready can be trusted: 0, unless a container or sidecar of the user crashed a
    moment ago. The fleet of a sidecar of the platform judges its health.
    """
    sidecars = (status for status in pod.status.init_container_statuses if not status.name.startswith(labels.OF_PLATFORM))
    return max((_unsteady(pod, status, now) for status in (*pod.status.container_statuses, *sidecars)), default=0.0)


def _unsteady(pod: Pod, status: ContainerStatus, now: datetime) -> float:
    running, last = status.state and status.state.running, status.last_state and status.last_state.terminated
    if (
        not running
        or not last
        or not status.restart_count
        or not _is_short(last)
        or last.exit_code == container_failure.CUT_OFF
    ):
        return 0.0
    left = STEADY - _age(running.started_at, now)
    return left if left > 0 and _unless_asked(pod, status, last) is not None else 0.0


def _unscheduled(pod: Pod, template: Manifest) -> Iterator[UnreadyReason]:
    verdict = scheduling_verdict.of(pod)
    if verdict is not None:
        text = f"no node takes it: {short(verdict.text)}; {verdict.remedy(template)}"
        yield UnreadyReason(Rank.UNSCHEDULABLE, verdict.kind, text, verdict.is_final)


def _unmounted(pod: Pod, statuses: Sequence[ContainerStatus], template: Manifest, now: datetime) -> Iterator[UnreadyReason]:
    """Its node mounts its volumes since long: secrets or configs may be missing. What pulls an image has them mounted.

    Not final: the pod does not tell what is missing, and a network that is late looks the same.
    """
    mounted = conditions.find(pod.status.conditions, "PodReadyToStartContainers")
    if mounted is None or mounted.status != "False":
        return
    if not pod.spec.node_name or pod.status.start_time is None or not statuses:
        return
    if any(s.state is None or s.state.waiting is None or s.state.waiting.reason not in _NOT_MADE for s in statuses):
        return
    sources = tuple(pod_template_text.volume_sources(template))
    if not sources:
        return
    left = MOUNTED - _age(pod.status.start_time, now)
    if left > 0:
        yield replace(STARTING, wake_after=left)
        return
    text = f"its volumes are not mounted yet: {', '.join(sources)}: may not exist in the project, or lack a key"
    remedy = "`pin explain` shows what is missing: create it, or correct its name"
    yield UnreadyReason(Rank.UNREADY, "FailedMount", f"{text}; {remedy}")


_NOT_MADE = ("ContainerCreating", "PodInitializing")


def _endless(pod: Pod, status: ContainerStatus, now: datetime) -> Iterator[UnreadyReason]:
    """An init container that runs on keeps the others waiting."""
    running = status.state.running if status.state else None
    if running is None or not _named(pod, status.name).startswith("init"):
        return
    left = PATIENCE - _age(running.started_at, now)
    if left > 0:
        yield replace(STARTING, wake_after=left)
        return
    text = f"init container {status.name} still runs, and the other containers start when it has ended"
    yield UnreadyReason(Rank.UNREADY, "InitContainerRuns", f"{text}; let it end, or make it a sidecar (`sidecar: true`)")


def _unready(pod: Pod, status: ContainerStatus, template: Manifest, now: datetime) -> Iterator[UnreadyReason]:
    running = status.state.running if status.state else None
    if running is None or running.started_at is None or status.ready or _named(pod, status.name).startswith("init"):
        return
    left = PATIENCE - _age(running.started_at, now)
    if left > 0:
        yield replace(STARTING, wake_after=left)
        return
    name = _named(pod, status.name)
    text = f"{name} runs, but its health check fails{pod_template_text.check(template, status.name)}"
    remedy = "check its port and path"
    yield UnreadyReason(Rank.UNREADY, "ProbeFailing", f"{text}; {remedy}")


def _cut_off(pod: Pod) -> Iterator[UnreadyReason]:
    """All containers are ready, the pod is not: its node does not report, or a readiness gate is closed."""
    ready = conditions.find(pod.status.conditions, "Ready")
    by_gate = ready is None or ready.reason in ("", BY_GATE)  # and not because its node is lost
    if traffic_gate.is_out(pod) and by_gate:
        yield OUT_OF_TRAFFIC
        return
    if traffic_gate.is_new(pod) and by_gate:
        yield STARTING
        return
    statuses = pod.status.container_statuses
    if ready is None or not pod.spec.node_name or not statuses or not all(s.ready for s in statuses):
        return
    why = short(ready.message) or ready.reason
    if not why:  # the kubelet has not summed up yet
        yield STARTING
        return
    if ready.reason == "NodeNotReady" or ready.status == "Unknown" or "Node" in why:
        text = (
            f"node {pod.spec.node_name} does not answer, so nobody knows how its replicas are; they count again when it is back"
        )
        yield UnreadyReason(Rank.UNREADY, "NodeNotReady", text)
        return
    yield UnreadyReason(Rank.UNREADY, ready.reason or "NotReady", f"on node {pod.spec.node_name}: {why}")

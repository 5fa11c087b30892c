"""Finds why a pod is not ready, in one sentence that says what to do about it.

Of all unready pods the most telling one is reported: a container that fails tells more than a pod that waits for a node, and
that more than one that is still starting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum

from pincompute.api import conditions
from pincompute.api.builtin import ContainerStateTerminated, ContainerStatus, Pod

PATIENCE = 30.0  # seconds a running container may be unready before its probe is named: three periods of a default probe
CUT_OFF = 255  # exit code of a container whose end nobody saw
ROOT_REMEDY = "give the image a USER that is a number and not 0, or set securityContext.runAsUser in the template"
NO_PROJECT = "the namespace is not a project's"
LONGEST = 400  # characters of a message from elsewhere

_IMAGE = ("ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "RegistryUnavailable", "InvalidImageName")
_CONFIGURATION = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


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
    """`pod` is empty where its name says nothing; `wake_after`: seconds until time alone makes it another trouble."""

    rank: Rank
    reason: str
    message: str
    pod: str = ""
    wake_after: float | None = None


STARTING = UnreadyReason(Rank.STARTING, "Starting", "pods are starting")


def find(pods: Sequence[Pod], unready: AbstractSet[str], now: datetime, refused: str = "") -> list[UnreadyReason]:
    """The troubles of the pods that are named, most telling first. `refused` is why the API server takes no more pods."""
    troubles = [_of(pod, now) for pod in pods if pod.metadata.name in unready]
    if refused:
        troubles.append(
            UnreadyReason(Rank.REFUSED, "PodsRefused", f"more pods are refused: {_short(refused)}; {_remedy(refused)}")
        )
    return sorted(troubles, key=lambda t: (t.rank, t.pod, t.reason))


def _remedy(refused: str) -> str:
    if "exceeded quota" in refused:
        return "raise the quota or ask for less"
    if refused == NO_PROJECT:
        return "an administrator looks at the Ready condition of the Project"
    return "remove these fields from the template" if "violates PodSecurity" in refused else "correct the template"


def _of(pod: Pod, now: datetime) -> UnreadyReason:
    found = next(_candidates(pod, now), None)
    return found or STARTING


def _candidates(pod: Pod, now: datetime) -> Iterator[UnreadyReason]:
    name = pod.metadata.name
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    if pod.status.phase in ("Failed", "Succeeded"):
        yield _ended(pod)
    for status in statuses:
        yield from _failing(name, status, _image(pod, status))
    yield from _unscheduled(pod)
    for status in statuses:
        yield from _unready(name, status, now)
    yield from _cut_off(pod)


def _ended(pod: Pod) -> UnreadyReason:
    why = pod.status.message or next(_exits(pod), "its containers have ended")
    return UnreadyReason(
        Rank.ENDED, pod.status.reason or pod.status.phase, f"pod ended: {_short(why)}; it is replaced", pod.metadata.name
    )


def _exits(pod: Pod) -> Iterator[str]:
    for status in pod.status.container_statuses:
        if status.state and status.state.terminated:
            yield f"container {status.name} ended with {_exit(status.state.terminated)}"


def _image(pod: Pod, status: ContainerStatus) -> str:
    """The one it should run: while a container restarts in place its status still names the former."""
    containers = (*pod.spec.containers, *pod.spec.init_containers)
    return next((c.image for c in containers if c.name == status.name and c.image), status.image)


def _failing(pod: str, status: ContainerStatus, image: str) -> Iterator[UnreadyReason]:
    waiting = status.state.waiting if status.state else None
    if waiting is not None and waiting.reason in _IMAGE:
        text = f"cannot pull image {image} of container {status.name}: {_short(waiting.message) or waiting.reason}"
        yield UnreadyReason(Rank.FAILING, waiting.reason, f"{text}; check the image's name and tag, and the registry", pod)
    elif waiting is not None and waiting.reason in _CONFIGURATION:
        remedy = ROOT_REMEDY if "runAsNonRoot" in waiting.message else "correct the template or what it refers to"
        text = f"container {status.name} cannot be made: {_short(waiting.message)}; {remedy}"
        yield UnreadyReason(Rank.FAILING, waiting.reason, text, pod)
    elif (ended := _last_exit(status)) is not None and not status.ready:
        reason = waiting.reason if waiting is not None and waiting.reason else "ContainerEnded"
        yield UnreadyReason(Rank.FAILING, reason, _crash(status, ended), pod)


def _last_exit(status: ContainerStatus) -> ContainerStateTerminated | None:
    """How it ended when it is down now; one that runs again may still get ready."""
    if status.state is None or status.state.running is not None:
        return None
    if status.state.terminated is not None:
        return status.state.terminated if status.state.terminated.exit_code else None
    return status.last_state.terminated if status.last_state else None


def _crash(status: ContainerStatus, ended: ContainerStateTerminated) -> str:
    if ended.exit_code == CUT_OFF and ended.reason == "Unknown":
        return f"container {status.name} ended with its node, which restarted; it starts again, and there is nothing to do"
    remedy = "raise its memory limit" if ended.reason == "OOMKilled" else "look at the logs of its last run"
    return f"container {status.name} ended with {_exit(ended)}, restarts: {status.restart_count}; {remedy}"


def _exit(ended: ContainerStateTerminated) -> str:
    details = ": ".join(part for part in (ended.reason, _short(ended.message)) if part)
    return f"exit code {ended.exit_code}" + (f" ({details})" if details else "")


def _unscheduled(pod: Pod) -> Iterator[UnreadyReason]:
    scheduled = conditions.find(pod.status.conditions, "PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        verdict = scheduled.message.partition(". ")[0]  # what follows tells of preemption
        cordoned = "were unschedulable" in verdict
        remedy = "uncordon a node, or add nodes" if cordoned else "ask for less, or add nodes"
        text = f"no node takes it: {_short(verdict)}; {remedy}"
        yield UnreadyReason(Rank.UNSCHEDULABLE, scheduled.reason or "Unschedulable", text, pod.metadata.name)


def _unready(pod: str, status: ContainerStatus, now: datetime) -> Iterator[UnreadyReason]:
    running = status.state.running if status.state else None
    if running is None or running.started_at is None or status.ready:
        return
    left = PATIENCE - (now - running.started_at).total_seconds()
    if left > 0:
        yield replace(STARTING, wake_after=left)
        return
    text = f"container {status.name} runs but its probe fails; check the probe's path and port, and the container's logs"
    yield UnreadyReason(Rank.UNREADY, "ProbeFailing", text, pod)


def _cut_off(pod: Pod) -> Iterator[UnreadyReason]:
    """All containers are ready, the pod is not: its node does not report, or a readiness gate is closed."""
    ready = conditions.find(pod.status.conditions, "Ready")
    statuses = pod.status.container_statuses
    if ready is None or not pod.spec.node_name or not statuses or not all(s.ready for s in statuses):
        return
    why = _short(ready.message) or ready.reason
    if not why:  # the kubelet has not summed up yet
        yield STARTING
        return
    yield UnreadyReason(Rank.UNREADY, ready.reason or "NotReady", f"on node {pod.spec.node_name}: {why}", pod.metadata.name)


def _short(text: str) -> str:
    """One line of bounded length, without the final full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"

"""Injects sidecars into the pods of a member, and records on each pod which version of each sidecar it has.

A sidecar's container is a native one (`initContainers` with `restartPolicy: Always`): it starts before the containers of the
user and ends after them (M-93). It is no part of the template, so neither another version nor another selector makes a revision
of any workload.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from pincompute.api import labels, sidecars
from pincompute.api.builtin import ContainerStatus, Pod
from pincompute.api.meta import Manifest, Struct
from pincompute.api.sidecars import PinSidecarShard, SidecarSelector, SidecarVersion

WITHDRAWN = "withdrawn"  # the wanted version of a pod that is to be replaced by one without the sidecar
START_WITHIN = 30.0  # seconds after the end of a sidecar's container in which the next one starts


class Ending(Struct):
    """A container that an update in place ends: its id and its image."""

    id: str
    image: str


class Injected(Struct):
    """One sidecar of a pod: the version it has, the version it is asked to take, and the container that has to end first."""

    revision: str
    shape: str
    wanted: str = ""
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The sidecars of one pod with their versions, and why it cannot be made, if its template names one that it cannot have."""

    versions: Mapping[str, SidecarVersion]
    missing: str = ""


def choose(template: Manifest, project: str, pod_labels: Mapping[str, str], shards: Iterable[PinSidecarShard]) -> Chosen:
    """Returns the sidecars of a pod that is made of this template: those that it names, then those that select it."""
    known = {shard.metadata.name: shard for shard in sorted(shards, key=lambda shard: shard.metadata.name)}
    named = sidecars.named_by(template)
    kept_from = {name for name, shard in known.items() if not sidecars.allows(shard.spec.allowed_projects, project)}
    selecting = [name for name, shard in known.items() if name not in named and _is_selected(shard, project, pod_labels)]
    born = {name: born_as(known[name]) for name in (*named, *selecting) if name in known and name not in kept_from}
    versions = {name: version for name, version in born.items() if version is not None}
    return Chosen(versions, next((_lacking(name, project, kept_from) for name in named if name not in versions), ""))


def _lacking(name: str, project: str, kept_from: Collection[str]) -> str:
    if name in kept_from:
        return sidecars.forbidden(name, project)
    return f"sidecar {name} is not there yet: wait, or ask an administrator whether it exists"


def is_chosen(shard: PinSidecarShard, pod: Pod) -> bool:
    """Returns whether a pod like this one would get the sidecar now, or names it, so that no other could replace it."""
    name, meta = shard.metadata.name, pod.metadata
    named = sidecars.named_by({"metadata": {"annotations": meta.annotations}})
    return name in named or _is_selected(shard, meta.namespace, meta.labels)


def _is_selected(shard: PinSidecarShard, project: str, pod_labels: Mapping[str, str]) -> bool:
    return sidecars.allows(shard.spec.allowed_projects, project) and selects(shard.spec.selector, project, pod_labels)


def selects(selector: SidecarSelector | None, project: str, pod_labels: Mapping[str, str]) -> bool:
    """Returns whether pods with these labels get the sidecar without naming it. An empty selector selects none."""
    if selector is None or not selects_in(selector, project):
        return False
    return all(pod_labels.get(key) == value for key, value in selector.match_labels.items())


def selects_in(selector: SidecarSelector, project: str) -> bool:
    """Returns whether the selector selects pods of the project, with some labels or any."""
    if not selector.projects:
        return bool(selector.match_labels)
    return project in selector.projects or "*" in selector.projects


def born_as(shard: PinSidecarShard) -> SidecarVersion | None:
    """Returns the version that new pods of the member get."""
    return sidecars.of_revision(shard, shard.spec.birth)


def inject(spec: Manifest, versions: Mapping[str, SidecarVersion]) -> Manifest:
    """Returns the pod spec with these sidecars before the init containers of the user, and with the folders they share."""
    if not versions:
        return spec
    containers = [container(name, version) for name, version in versions.items()]
    volumes = [_volume(name, shared) for name, version in versions.items() for shared in version.container.shared]
    made = {**spec, "initContainers": [*containers, *(spec.get("initContainers") or ())]}
    return {**made, "volumes": [*(spec.get("volumes") or ()), *volumes]} if volumes else made


def container(sidecar: str, version: SidecarVersion) -> Manifest:
    """Returns the sidecar's container as a pod has it."""
    given = version.container
    env = [{"name": name, "value": value} for name, value in sorted(given.env.items())]
    env += [{"name": n, "valueFrom": {"fieldRef": {"fieldPath": path}}} for n, path in sorted(given.pod_fields.items())]
    parts: Manifest = {
        "command": list(given.command),
        "args": list(given.args),
        "env": env,
        "readinessProbe": _probe(version),
        "volumeMounts": [{"name": sidecars.volume_name(sidecar, s.name), "mountPath": s.mount_path} for s in given.shared],
        "securityContext": {"runAsUser": given.run_as_user} if given.run_as_user is not None else {},
    }
    return {
        "name": sidecars.container_name(sidecar),
        "image": given.image,
        "restartPolicy": "Always",
        "resources": {"requests": {"cpu": given.cpu, "memory": given.memory}, "limits": {"memory": given.memory}},
        **{name: part for name, part in parts.items() if part},
    }


def _probe(version: SidecarVersion) -> Manifest:
    health = version.container.health
    if health is None:
        return {}
    return {"httpGet": {"path": health.path, "port": health.port}, "periodSeconds": health.period_seconds}


def _volume(sidecar: str, shared: sidecars.SharedVolume) -> Manifest:
    medium = {"medium": "Memory"} if shared.memory else {}
    return {
        "name": sidecars.volume_name(sidecar, shared.name),
        "emptyDir": {"sizeLimit": shared.size_limit, **medium},
    }


def annotation(injected: Mapping[str, Injected]) -> dict[str, str]:
    """Returns the annotation that records these sidecars; none for a pod without any."""
    return {labels.INJECTED: msgspec.json.encode(dict(injected)).decode()} if injected else {}


def born(versions: Mapping[str, SidecarVersion]) -> dict[str, Injected]:
    """Returns the record of a pod that is made with these versions."""
    return {name: Injected(revision=version.revision, shape=version.shape) for name, version in versions.items()}


def recorded(pod: Pod) -> dict[str, Injected]:
    """Returns the sidecars of a pod; none when somebody else wrote the annotation in another form."""
    text = pod.metadata.annotations.get(labels.INJECTED)
    try:
        return msgspec.json.decode(text, type=dict[str, Injected]) if text else {}
    except (msgspec.MsgspecError, RecursionError):
        return {}


def status_of(pod: Pod, sidecar: str) -> ContainerStatus | None:
    """Returns what the kubelet reports of a sidecar's container."""
    name = sidecars.container_name(sidecar)
    return next((status for status in pod.status.init_container_statuses if status.name == name), None)


def is_pending(pod: Pod, now: datetime) -> bool:
    """Returns whether an update of a sidecar is still to end a container, or to start the next one in time."""
    return any(ends_still(pod, name, each) and not is_late(pod, name, now) for name, each in recorded(pod).items())


def ends_still(pod: Pod, sidecar: str, injected: Injected) -> bool:
    """Returns whether the former container of this sidecar is still the last one. Without an id, readiness alone decides."""
    status = status_of(pod, sidecar)
    return injected.ending is not None and status is not None and status.container_id == injected.ending.id != ""


def is_late(pod: Pod, sidecar: str, now: datetime) -> bool:
    """Returns whether the last container of this sidecar ended so long ago that the next one cannot start."""
    due = start_due(pod, sidecar, now)
    return due is not None and due <= 0


def start_due(pod: Pod, sidecar: str, now: datetime) -> float | None:
    """Returns the seconds until the next container is late; None while one runs.

    The kubelet says of an init container that ended with exit code 0 that it has ended, whatever keeps the next one from
    starting (`convertToAPIContainerStatuses`), so nothing else tells of an image that cannot start.
    """
    status = status_of(pod, sidecar)
    ended = status.state.terminated if status is not None and status.state is not None else None
    if ended is None or ended.finished_at is None:
        return None
    return START_WITHIN - (now - ended.finished_at).total_seconds()


def ask(pod: Pod, sidecar: str, revision: str) -> Manifest:
    """Returns the patch that asks for a version, or, with an empty one, takes the request back."""
    record = recorded(pod)
    record[sidecar] = msgspec.structs.replace(record[sidecar], wanted=revision)
    return {"metadata": {"annotations": annotation(record)}}


def asked(pod: Pod) -> dict[str, Injected]:
    """Returns the sidecars of a pod that are asked to take another version."""
    return {name: each for name, each in recorded(pod).items() if each.wanted}


def update(pod: Pod, shards: Sequence[PinSidecarShard]) -> Manifest:
    """Returns the patch with which the pod takes, in place, the versions that it is asked to take.

    A request for a version that the member no longer knows, or that differs in more than the image, is taken back (S-160).
    """
    known = {shard.metadata.name: shard for shard in shards}
    record = recorded(pod)
    images: dict[str, str] = {}
    for name, each in asked(pod).items():
        version = _wanted(known.get(name), each)
        if version is None or version.shape != each.shape:
            record[name] = msgspec.structs.replace(each, wanted="")
            continue
        images[name] = version.container.image
        ending = _ending(pod, name, each, version.container.image)
        record[name] = Injected(revision=version.revision, shape=version.shape, ending=ending)
    containers = [{"name": sidecars.container_name(name), "image": image} for name, image in images.items()]
    spec: Manifest = {"spec": {"initContainers": containers}} if containers else {}
    return {"metadata": {"annotations": annotation(record)}, **spec}


def _ending(pod: Pod, sidecar: str, injected: Injected, image: str) -> Ending | None:
    """Returns the container that has to end. One that goes back to the image that it still runs has nothing to wait for."""
    if injected.ending is not None and ends_still(pod, sidecar, injected):
        return injected.ending if injected.ending.image != image else None
    status, name = status_of(pod, sidecar), sidecars.container_name(sidecar)
    present = next((c.image for c in pod.spec.init_containers if c.name == name), "")
    return Ending(id=status.container_id if status is not None else "", image=present) if present != image else None


def must_be_replaced(pod: Pod, shards: Sequence[PinSidecarShard]) -> bool:
    """Returns whether the pod is asked to take a version that only another pod can have."""
    known = {shard.metadata.name: shard for shard in shards}
    versions = [(each, _wanted(known.get(name), each)) for name, each in asked(pod).items()]
    return any(each.wanted == WITHDRAWN or (version is not None and version.shape != each.shape) for each, version in versions)


def _wanted(shard: PinSidecarShard | None, injected: Injected) -> SidecarVersion | None:
    """Returns the version that the sidecar is asked to take; None where the member does not know it."""
    return sidecars.of_revision(shard, injected.wanted) if shard is not None else None

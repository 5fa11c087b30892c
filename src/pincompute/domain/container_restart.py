"""Restarts one container on request by a patch of its pod; the pod and its other containers stay.

Kubernetes 1.36 has no such operation. But a kubelet replaces exactly those containers whose image has another name, so the
container gets another name of the very image that it runs: the same repository with the digest. It ends in the orderly way,
with its grace period, and needs neither a shell nor a signal handler. The pod records the request together with the name that
the template uses, so that a later update does not take the new name for a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from pincompute.api import image_reference, labels
from pincompute.api.builtin import Container, Pod
from pincompute.api.meta import Manifest, Struct


class Restarted(Struct):
    """The record of one restarted container: the image as the template names it, as it is named now, and who asked when and
    why, with the id of the container that ends. An update that restarted it has no `request`.
    """

    image: str
    alias: str
    by: str = ""
    why: str = ""
    request: str = ""
    ended_id: str = ""


@dataclass(frozen=True, slots=True)
class Impossible:
    """Why the container cannot be restarted alone, and what to do instead."""

    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ContainerRestart:
    """Who asked for a restart and why, with the id by which a repetition is known."""

    container: str
    by: str
    why: str
    id: str


def decide(pod: Pod, request: ContainerRestart) -> Manifest | Impossible:
    """Returns a strategic merge patch of the pod, empty when this request was carried out before."""
    if request.container.startswith(labels.OF_PLATFORM):
        return Impossible(f"container {request.container} is the platform's", "restart the replica instead")
    before = recorded(pod)
    done = before.get(request.container)
    if done is not None and done.request == request.id:
        return {}
    found = _find(pod, request.container)
    if found is None:
        names = ", ".join(c.name for c in (*pod.spec.containers, *_sidecars(pod)))
        return Impossible(f"there is no container {request.container} in the replica", f"choose one of {names}")
    where, container = found
    alias = other_name(pod, container)
    if not alias:
        why = f"container {request.container} runs an image whose digest its node does not tell, or does not run yet"
        return Impossible(why, "restart the replica instead")
    entry = Restarted(
        image=image(container, done),
        alias=alias,
        by=request.by,
        why=request.why,
        request=request.id,
        ended_id=_ids(pod).get(request.container, ""),
    )
    record = msgspec.json.encode({**before, request.container: entry}).decode()
    return {
        "metadata": {"annotations": {labels.RESTARTS: record}},
        "spec": {where: [{"name": request.container, "image": alias}]},
    }


def is_pending(pod: Pod) -> bool:
    """Returns whether a container still runs that a request ends."""
    ids = _ids(pod)
    asked = {name: made for name, made in recorded(pod).items() if made.ended_id and made.ended_id == ids.get(name)}
    return any(c.name in asked and c.image == asked[c.name].alias for c in (*pod.spec.containers, *_sidecars(pod)))


def other_name(pod: Pod, container: Container) -> str:
    """Returns another name of the image that the container runs; empty where its node reports no digest."""
    digest = _digest(pod, container)
    return _alias(container.image, digest) if digest else ""


def recorded(pod: Pod) -> Mapping[str, Restarted]:
    text = pod.metadata.annotations.get(labels.RESTARTS)
    return msgspec.json.decode(text, type=dict[str, Restarted]) if text else {}


def image(container: Container, restarted: Restarted | None) -> str:
    """Returns the image as the template names it."""
    return restarted.image if restarted is not None and restarted.alias == container.image else container.image


def _find(pod: Pod, name: str) -> tuple[str, Container] | None:
    for where, containers in (("containers", pod.spec.containers), ("initContainers", _sidecars(pod))):
        for container in containers:
            if container.name == name:
                return where, container
    return None


def _ids(pod: Pod) -> dict[str, str]:
    return {c.name: c.container_id for c in (*pod.status.container_statuses, *pod.status.init_container_statuses)}


def _sidecars(pod: Pod) -> tuple[Container, ...]:
    return tuple(c for c in pod.spec.init_containers if c.restart_policy == "Always")


def _digest(pod: Pod, container: Container) -> str:
    """Returns the digest of the running image; empty where the image came from no registry."""
    if digest := image_reference.split(container.image).digest:
        return digest
    statuses = (*pod.status.container_statuses, *pod.status.init_container_statuses)
    image_id = next((status.image_id for status in statuses if status.name == container.name), "")
    return image_reference.split(image_id).digest


def _alias(present: str, digest: str) -> str:
    """Returns another name of the same image; repeated requests alternate between two names."""
    written = image_reference.split(present)
    tagged, plain = f"{written.name}:{written.tag or image_reference.LATEST}@{digest}", f"{written.name}@{digest}"
    return plain if present == tagged else tagged

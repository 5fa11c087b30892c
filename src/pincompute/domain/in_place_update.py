"""Updates pods in place: only containers whose image changed restart; name, node and volumes stay (S-150).

Where amounts of CPU or memory change as well, the images wait in the pod's record until the resize is accepted (`pod_resize`).

The pod records what changes, container by container, with the id of the container that has to end. The update is done when
none of those ids runs any more and the pod is ready: judged by what runs, never by what the spec says (S-153). A container
that is set back to the image that it still runs has nothing to wait for, so a rollback in the middle of an update never hangs
(S-154, S-155).

A container also restarts, by another name of its image, when its environment refers to a label or annotation that changes, all
containers that refer to it together (S-157), and when the template asks for its restart (S-166).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from pincompute.api import labels, template_hash
from pincompute.api.builtin import Container, Pod
from pincompute.api.meta import Manifest, Struct
from pincompute.domain import container_restart, pod_resize, shard_pods
from pincompute.domain.shard_pods import PodMetadata

_REFERENCE = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class Replaced(Struct):
    """A container that an update ends: its id (empty where nothing reports ids) and the image it runs."""

    id: str
    image: str


def patch(pod: Pod, template: Manifest, carried: PodMetadata) -> Manifest:
    """Returns a strategic merge patch that turns the pod into one of this template. Both must have the same shape."""
    wanted = template_hash.images(template)
    changed = changed_images(pod, template)
    renamed = {
        c.name: name
        for c in restarting(pod, template, carried)
        if c.name not in changed and (name := container_restart.other_name(pod, c))
    }
    record = _record(pod, wanted, changed, renamed)
    notes: dict[str, str | None] = {**_change(pod.metadata.annotations, carried.annotations, _stale(pod, "annotations"))}
    notes[labels.IN_PLACE] = msgspec.json.encode(record).decode() if record else None
    if labels.IN_PLACE not in pod.metadata.annotations and not record:
        del notes[labels.IN_PLACE]
    begun = {name: image for name, image in pod_resize.held_images(pod).items() if name in record and not record[name].image}
    images = begun | changed | renamed
    resize = pod_resize.record(pod, template)
    held = pod_resize.differs(pod, resize)
    notes |= pod_resize.annotation(pod, msgspec.structs.replace(resize, held_images=images if held else {}))
    metadata = {
        "labels": _change(pod.metadata.labels, carried.labels, _stale(pod, "labels")),
        "annotations": notes | _renamed(pod, wanted, renamed),
    }
    if held or not images:
        return {"metadata": _filled(metadata)}
    spec = {
        field: [{"name": c.name, "image": images[c.name]} for c in containers if c.name in images]
        for field, containers in (("containers", pod.spec.containers), ("initContainers", pod.spec.init_containers))
    }
    return {"metadata": _filled(metadata), "spec": _filled(spec)}


def held_images_patch(pod: Pod) -> Manifest:
    """Returns the strategic merge patch of images that waited for a resize; empty while the node has not accepted the amounts.

    The same write records anew which containers end, because they may have restarted while their images waited, and takes the
    images out of the record, so that no later change of an image is taken for one that still waits.
    """
    held = pod_resize.held_images(pod)
    if not held or not pod_resize.is_accepted(pod):
        return {}
    ids, before, present = _ids(pod), _recorded(pod), _images(pod)
    ending = {name: Replaced(ids.get(name, ""), before[name].image if name in before else present[name]) for name in held}
    notes = {labels.IN_PLACE: msgspec.json.encode({**before, **ending}).decode()}
    notes |= pod_resize.annotation(pod, msgspec.structs.replace(pod_resize.recorded(pod), held_images={}))
    body = pod_resize.in_containers(pod, {name: {"image": image} for name, image in held.items()})
    return {"metadata": {"annotations": notes}, **body}


def changed_images(pod: Pod, template: Manifest) -> dict[str, str]:
    """Returns the images, by container, that the template brings to the pod."""
    present = _images(pod)
    return {name: image for name, image in template_hash.images(template).items() if present.get(name) != image}


def is_possible(pod: Pod, template: Manifest, carried: PodMetadata) -> bool:
    """Returns whether a pod of the template's shape can take it in place: the node tells what the containers to restart run."""
    return all(container_restart.other_name(pod, container) for container in restarting(pod, template, carried))


def restarting(pod: Pod, template: Manifest, carried: PodMetadata) -> tuple[Container, ...]:
    """Returns the containers of the template that have started and that it restarts whatever their image."""
    asked, before = restarts_asked(carried.annotations), restarts_asked(pod.metadata.annotations)
    again = {name for name, at in asked.items() if at > before.get(name, "")}
    again |= {name for name, where, key in _references(template) if _changes(pod, carried, where, key)}
    ids, own = _ids(pod), template_hash.images(template)  # a container that the platform injected is in no template
    return tuple(c for c in _replaceable(pod) if c.name in again and c.name in own and ids.get(c.name))


def restarts_asked(annotations: Mapping[str, str]) -> dict[str, str]:
    """Returns when a template last asked for the restart of each container; nothing where somebody wrote another form."""
    text = annotations.get(labels.CONTAINERS_RESTARTED_AT)
    try:
        return msgspec.json.decode(text, type=dict[str, str]) if text else {}
    except (msgspec.MsgspecError, RecursionError):
        return {}


def _references(template: Manifest) -> Iterator[tuple[str, str, str]]:
    """Yields the containers whose environment refers to a label or annotation, each with its kind and key."""
    for where, container in template_hash.containers(template):
        for variable in container.get("env") or () if template_hash.is_replaceable(where, container) else ():
            source: Manifest = variable.get("valueFrom") or {}
            field: Manifest = source.get("fieldRef") or {}
            if found := _REFERENCE.fullmatch(field.get("fieldPath", "")):
                yield container["name"], found[1], found[2]


def _changes(pod: Pod, carried: PodMetadata, where: str, key: str) -> bool:
    """Returns whether the label or annotation gets another value; what others wrote on the pod, as its node's zone, stays."""
    present: dict[str, str] = getattr(pod.metadata, where)
    wanted: dict[str, str] = getattr(carried, where)
    if key in wanted or key in _stale(pod, where):
        return present.get(key, "") != wanted.get(key, "")
    return False


def _renamed(pod: Pod, wanted: Mapping[str, str], renamed: Mapping[str, str]) -> dict[str, str | None]:
    """Returns the note of containers that run under another name of their image, as a requested restart leaves it."""
    if not renamed:
        return {}
    entries = {name: container_restart.Restarted(image=wanted[name], alias=alias) for name, alias in renamed.items()}
    return {labels.RESTARTS: msgspec.json.encode({**container_restart.recorded(pod), **entries}).decode()}


def is_pending(pod: Pod) -> bool:
    """Returns whether a container that has to end still runs. Without ids to compare, readiness alone decides.

    One whose image waits for a resize serves on: nothing has told it to end.
    """
    record = _recorded(pod)
    if not record:
        return False
    ids, held = _ids(pod), pod_resize.held_images(pod)
    return any(old.id and ids.get(name) == old.id for name, old in record.items() if name not in held)


def _record(pod: Pod, wanted: Mapping[str, str], changed: Mapping[str, str], renamed: Mapping[str, str]) -> dict[str, Replaced]:
    """Returns the containers to wait for: those that change now, and those that an earlier update has not ended yet.

    One that restarts with its image has no image in the record, because it never goes back to what it runs.
    """
    ids, images, before = _ids(pod), _images(pod), _recorded(pod)
    record: dict[str, Replaced] = {}
    for name, image in wanted.items():
        old = before.get(name)
        still_runs = old is not None and ids.get(name) == old.id
        if name in renamed:
            record[name] = Replaced(id=ids[name], image="")
        elif old is not None and still_runs and old.image != image:
            record[name] = old
        elif name in changed and not still_runs:
            record[name] = Replaced(id=ids.get(name, ""), image=images.get(name, ""))
    return record


def _recorded(pod: Pod) -> dict[str, Replaced]:
    text = pod.metadata.annotations.get(labels.IN_PLACE)
    return msgspec.json.decode(text, type=dict[str, Replaced]) if text else {}


def _images(pod: Pod) -> dict[str, str]:
    """Returns images by container; another name of the same image, which a requested restart gave it, is no other image."""
    renamed = container_restart.recorded(pod)
    return {c.name: container_restart.image(c, renamed.get(c.name)) for c in _replaceable(pod)}


def _replaceable(pod: Pod) -> tuple[Container, ...]:
    """Returns the containers that run for as long as the pod: a plain init container has ended long ago."""
    return (*pod.spec.containers, *(c for c in pod.spec.init_containers if c.restart_policy == "Always"))


def _ids(pod: Pod) -> dict[str, str]:
    return {c.name: c.container_id for c in (*pod.status.container_statuses, *pod.status.init_container_statuses)}


def _stale(pod: Pod, what: str) -> tuple[str, ...]:
    """Returns keys that the former template brought; what others wrote on the pod stays."""
    return tuple(shard_pods.template_keys(pod).get(what, ())) + ((labels.TEMPLATE_KEYS,) if what == "annotations" else ())


def _change(present: Mapping[str, str], wanted: Mapping[str, str], stale: tuple[str, ...]) -> dict[str, str | None]:
    """Returns the merge patch of a map: what is new or different, and null for what must go."""
    gone: dict[str, str | None] = {key: None for key in stale if key in present and key not in wanted}
    return gone | {key: value for key, value in wanted.items() if present.get(key) != value}


def _filled(parts: Manifest) -> Manifest:
    return {name: part for name, part in parts.items() if part}

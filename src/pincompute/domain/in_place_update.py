"""Updates pods in place: only containers whose image changed restart; name, node and volumes stay (S-150).

The pod records what changes, container by container, with the id of the container that has to end. The update is done when
none of those ids runs any more and the pod is ready: judged by what runs, never by what the spec says (S-153). A container
that is set back to the image that it still runs has nothing to wait for, so a rollback in the middle of an update never hangs
(S-154, S-155).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pincompute.api import labels, template_hash
from pincompute.api.builtin import Pod
from pincompute.api.meta import Manifest, Struct
from pincompute.domain import container_restart, shard_pods
from pincompute.domain.shard_pods import Marks


class Replaced(Struct):
    """A container that an update ends: its id (empty where nothing reports ids) and the image it runs."""

    id: str
    image: str


def patch(pod: Pod, template: Manifest, marks: Marks) -> Manifest:
    """Returns a strategic merge patch that turns the pod into one of this template. Both must have the same shape."""
    wanted = template_hash.images(template)
    present = _images(pod)
    changed = {name: image for name, image in wanted.items() if present.get(name) != image}
    record = _record(pod, wanted, changed)
    notes: dict[str, str | None] = {**_change(pod.metadata.annotations, marks.annotations, _stale(pod, "annotations"))}
    notes[labels.IN_PLACE] = msgspec.json.encode(record).decode() if record else None
    if labels.IN_PLACE not in pod.metadata.annotations and not record:
        del notes[labels.IN_PLACE]
    metadata = {"labels": _change(pod.metadata.labels, marks.labels, _stale(pod, "labels")), "annotations": notes}
    spec = {
        field: [{"name": c.name, "image": changed[c.name]} for c in containers if c.name in changed]
        for field, containers in (("containers", pod.spec.containers), ("initContainers", pod.spec.init_containers))
    }
    return {"metadata": _filled(metadata), "spec": _filled(spec)} if changed else {"metadata": _filled(metadata)}


def is_pending(pod: Pod) -> bool:
    """Returns whether a container that has to end still runs. Without ids to compare, readiness alone decides."""
    record = _recorded(pod)
    if not record:
        return False
    ids = _ids(pod)
    return any(old.id and ids.get(name) == old.id for name, old in record.items())


def _record(pod: Pod, wanted: Mapping[str, str], changed: Mapping[str, str]) -> dict[str, Replaced]:
    """Returns the containers to wait for: those that change now, and those that an earlier update has not ended yet."""
    ids, images, before = _ids(pod), _images(pod), _recorded(pod)
    record: dict[str, Replaced] = {}
    for name, image in wanted.items():
        old = before.get(name)
        still_runs = old is not None and ids.get(name) == old.id
        if old is not None and still_runs and old.image != image:
            record[name] = old
        elif name in changed and not still_runs:
            record[name] = Replaced(id=ids.get(name, ""), image=images.get(name, ""))
    return record


def _recorded(pod: Pod) -> dict[str, Replaced]:
    text = pod.metadata.annotations.get(labels.IN_PLACE)
    return msgspec.json.decode(text, type=dict[str, Replaced]) if text else {}


def _images(pod: Pod) -> dict[str, str]:
    """Returns images by container; another name of the same image, which a requested restart gave it, is no other image."""
    sidecars = [c for c in pod.spec.init_containers if c.restart_policy == "Always"]
    renamed = container_restart.recorded(pod)
    return {c.name: container_restart.image(c, renamed.get(c.name)) for c in (*pod.spec.containers, *sidecars)}


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

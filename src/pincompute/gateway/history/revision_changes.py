"""Describes in words what changed from one revision to the next. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pincompute.api import template_hash
from pincompute.api.meta import Manifest
from pincompute.domain import image_pinning
from pincompute.store.records import RevisionRecord

_LISTS = ("initContainers", "containers")
SWITCHED = ("paused", "resumed", "stopped", "started")
_WORDS = {"tier": "tier", "placement": "placement", "update": "how updates happen"}


def between(before: RevisionRecord, after: RevisionRecord) -> tuple[str, ...]:
    """Phrases such as `replicas from 3 to 6`, `image of web from hello:1 to hello:2`, the most telling first."""
    return tuple(_all(before.spec, after.spec))


def contents(revision: RevisionRecord) -> str:
    """`3 replicas of hello:1`, for one that has no predecessor."""
    images = ", ".join(dict.fromkeys(_short(image) for image in _images(revision.spec).values() if image))
    replicas = revision.spec.get("replicas", 1)
    count = "1 replica" if replicas == 1 else f"{replicas} replicas"
    return f"{count} of {images}" if images else count


def _all(before: Manifest, after: Manifest) -> Iterator[str]:
    if before.get("replicas", 1) != after.get("replicas", 1):
        yield f"replicas from {before.get('replicas', 1)} to {after.get('replicas', 1)}"
    yield from _of_images(_images(before), _images(after))
    yield from _of_containers(_containers(before), _containers(after))
    for field, words in _WORDS.items():
        if before.get(field) != after.get(field):
            yield _from_to(words, before.get(field), after.get(field))
    for field, on, off in (("paused", "paused", "resumed"), ("stopped", "stopped", "started")):
        if bool(before.get(field)) != bool(after.get(field)):
            yield on if after.get(field) else off
    if before.get("rollout") != after.get("rollout"):
        yield _of_rollout(before.get("rollout") or {}, after.get("rollout") or {})
    if _rest(before) != _rest(after):
        yield "the pod template"


def _of_rollout(before: Manifest, after: Manifest) -> str:
    revision = after.get("revision", "")
    if after.get("aborted"):
        return f"rollout of {revision} aborted"
    if after.get("approvedSteps", 0):
        return f"step {after['approvedSteps']} of the rollout of {revision} approved"
    return f"rollout of {revision} begun anew" if after.get("attempt", 0) != before.get("attempt", 0) else "the rollout"


def _of_images(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    for name, image in after.items():
        if name not in before:
            yield f"container {name} added"
        elif before[name] != image:
            yield _of_image(name, _short(before[name]), _short(image))
    yield from (f"container {name} removed" for name in before if name not in after)


def _of_image(container: str, before: str, after: str) -> str:
    """A tag that was pushed again leads to other content under the same name."""
    if before == after:
        return f"content of image {after} of {container}"
    return f"image of {container} from {before} to {after}"


def _of_containers(before: dict[str, Manifest], after: dict[str, Manifest]) -> Iterator[str]:
    for name, container in after.items():
        old = before.get(name)
        if old is None:
            continue
        fields = sorted(f for f in {*old, *container} - {"image"} if old.get(f) != container.get(f))
        if fields:
            yield f"{', '.join(fields)} of {name}"


def _from_to(words: str, old: Any, new: Any) -> str:
    return f"{words} from {old} to {new}" if isinstance(old, str) and isinstance(new, str) else words


def _containers(spec: Manifest) -> dict[str, Manifest]:
    return {container.get("name", ""): container for _, container in template_hash.containers(spec.get("template") or {})}


def _images(spec: Manifest) -> dict[str, str]:
    return {name: container.get("image", "") for name, container in _containers(spec).items()}


def _rest(spec: Manifest) -> Manifest:
    """The template without its containers."""
    template: Manifest = spec.get("template") or {}
    pod: Manifest = template.get("spec") or {}
    return {**template, "spec": {name: value for name, value in pod.items() if name not in _LISTS}}


def _short(image: str) -> str:
    """Without the registry, which is the same everywhere, and without the digest where there is a tag."""
    last = image.rpartition("/")[2]
    name = image_pinning.unpinned(last)
    return name if ":" in name else last

"""Describes in words what changed from one revision to the next, with the fields' names in the simple form. Pure.

Of variables the names are told and never the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pincompute.api import labels, template_hash
from pincompute.api.meta import Manifest
from pincompute.domain import image_pinning, in_place_update
from pincompute.gateway.model import field_tables
from pincompute.gateway.model.workload_forms import UNIT_TABLE
from pincompute.store.records import RevisionRecord

_LISTS = ("initContainers", "containers")
RESTARTED = "restarted"
SWITCHED = ("paused", "resumed", "stopped", "started", RESTARTED)
_CONTAINER_WORDS = {each.resource[0]: each.simple[0] for each in field_tables.CONTAINER.fields}
_POD_WORDS = {each.resource[2]: each.simple[0] for each in UNIT_TABLE.fields if each.resource[:2] == ("template", "spec")}
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
    yield from _of_template(before.get("template") or {}, after.get("template") or {})


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
        fields = {f for f in {*old, *container} - {"image"} if old.get(f) != container.get(f)}
        if "env" in fields and (variables := tuple(_of_variables(_variables(old), _variables(container)))):
            yield f"env of {name}: {', '.join(variables)}"
            fields.discard("env")
        if fields:
            yield f"{', '.join(sorted({_CONTAINER_WORDS.get(f, f) for f in fields}))} of {name}"


def _of_variables(before: dict[str, Manifest], after: dict[str, Manifest]) -> Iterator[str]:
    if changed := sorted(name for name, entry in after.items() if before.get(name) != entry):
        yield f"{' and '.join(changed)} set"
    if gone := sorted(before.keys() - after.keys()):
        yield f"{' and '.join(gone)} removed"


def _variables(container: Manifest) -> dict[str, Manifest]:
    entries: list[Manifest] = container.get("env") or []
    return {str(entry.get("name", "")): entry for entry in entries}


def _of_template(before: Manifest, after: Manifest) -> Iterator[str]:
    """Yields what changed besides the containers."""
    old, new = _annotations(before), _annotations(after)
    if old.get(labels.RESTARTED_AT) != new.get(labels.RESTARTED_AT):
        yield RESTARTED
    asked, done = in_place_update.restarts_asked(new), in_place_update.restarts_asked(old)
    yield from (f"restart of {name}" for name in sorted(asked) if asked[name] != done.get(name))
    was, now = _pod(before), _pod(after)
    fields = {f for f in {*was, *now} - {*_LISTS} if was.get(f) != now.get(f)}
    words = sorted(_POD_WORDS.get(f, f"advanced.template.spec.{f}") for f in fields)
    if old.get(labels.SIDECARS) != new.get(labels.SIDECARS):
        words.append("sidecars")
    if _metadata(before) != _metadata(after):
        words.append("advanced.template.metadata")
    if words:
        yield ", ".join(words)


def _pod(template: Manifest) -> Manifest:
    return template.get("spec") or {}


def _annotations(template: Manifest) -> dict[str, Any]:
    metadata: Manifest = template.get("metadata") or {}
    return metadata.get("annotations") or {}


def _metadata(template: Manifest) -> Manifest:
    """The labels and annotations of replicas that have no field of their own."""
    metadata: Manifest = template.get("metadata") or {}
    own = (labels.RESTARTED_AT, labels.CONTAINERS_RESTARTED_AT, labels.SIDECARS)
    annotations = {name: text for name, text in _annotations(template).items() if name not in own}
    given = {**metadata, "annotations": annotations}
    return {name: part for name, part in given.items() if part}


def _from_to(words: str, old: Any, new: Any) -> str:
    return f"{words} from {old} to {new}" if isinstance(old, str) and isinstance(new, str) else words


def _containers(spec: Manifest) -> dict[str, Manifest]:
    return {container.get("name", ""): container for _, container in template_hash.containers(spec.get("template") or {})}


def _images(spec: Manifest) -> dict[str, str]:
    return {name: container.get("image", "") for name, container in _containers(spec).items()}


def _short(image: str) -> str:
    """Without the registry, which is the same everywhere, and without the digest where there is a tag."""
    last = image.rpartition("/")[2]
    name = image_pinning.unpinned(last)
    return name if ":" in name else last

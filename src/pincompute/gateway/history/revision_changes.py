"""Describes in words what changed from one revision to the next, with the fields' names in the simple form. Pure.

Of variables the names are told and never the values. Variables and mounts that `secrets` and `files` of app.yaml stand for are
told as these fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pincompute.api import labels, template_hash
from pincompute.api.meta import Manifest
from pincompute.api.settings import ENTRY
from pincompute.api.workloads import HookMoment, UpdateHook
from pincompute.domain import image_pinning, in_place_update
from pincompute.gateway.model import container_settings, field_mapping, field_tables
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.model.workload_forms import UNIT_TABLE
from pincompute.store.records import RevisionRecord

_LISTS = ("initContainers", "containers")
RESTARTED = "restarted"
SWITCHED = ("paused", "resumed", "stopped", "started", RESTARTED)
_CONTAINER_WORDS = {each.resource[0]: each.simple[0] for each in field_tables.CONTAINER.fields}
_POD_WORDS = {each.resource[2]: each.simple[0] for each in UNIT_TABLE.fields if each.resource[:2] == ("template", "spec")}
_SPEC_FIELDS = ("tier", "historyLimit")
_SPEC_OBJECTS = {"placement": "advanced.placement", "update": "update", "disruption": "disruption"}
"""Objects in the spec, and as what their fields stand in app.yaml; `zones` stands by itself."""
_ZONES = ("placement", "zones")
_HOOKS = "update.hooks"


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
    was, now = _simple(before), _simple(after)
    yield from _of_containers(_containers(before), _containers(after), _by_name(was), _by_name(now))
    yield from _of_fields(before, after)
    for field, on, off in (("paused", "paused", "resumed"), ("stopped", "stopped", "started")):
        if bool(before.get(field)) != bool(after.get(field)):
            yield on if after.get(field) else off
    if before.get("rollout") != after.get("rollout"):
        yield _of_rollout(before.get("rollout") or {}, after.get("rollout") or {})
    volumes = (was.get("volumes") or []) != (now.get("volumes") or []) or _all_files(was) == _all_files(now)
    yield from _of_template(before.get("template") or {}, after.get("template") or {}, volumes=volumes)


def _of_fields(before: Manifest, after: Manifest) -> Iterator[str]:
    """Yields phrases such as `tier` and `update.inPlace from Prefer to Require`."""
    for field in _SPEC_FIELDS:
        if before.get(field) != after.get(field):
            yield _from_to(field, before.get(field), after.get(field))
    for field, words in _SPEC_OBJECTS.items():
        old: Manifest = before.get(field) or {}
        new: Manifest = after.get(field) or {}
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                word = "zones" if (field, name) == _ZONES else f"{words}.{name}"
                yield from _of_field(word, old.get(name), new.get(name))


def _of_field(words: str, old: Any, new: Any) -> Iterator[str]:
    told = tuple(_of_hooks(_hooks(old), _hooks(new))) if words == _HOOKS else ()
    yield from told or (_from_to(words, old, new),)


def _of_hooks(before: dict[str, int], after: dict[str, int]) -> Iterator[str]:
    """Yields phrases such as `hook gate before each step added`; none when only the order changed."""
    yield from (f"{hook} added" for hook in after if hook not in before)
    yield from (f"{hook} removed" for hook in before if hook not in after)
    for hook, seconds in after.items():
        if (former := before.get(hook, seconds)) != seconds:
            yield f"timeoutSeconds of {hook} from {former} to {seconds}"


def _hooks(given: Any) -> dict[str, int]:
    """Returns the timeouts of hooks by what they are called."""
    hooks = msgspec.convert(given or [], tuple[UpdateHook, ...])
    moments: dict[HookMoment, str] = {"BeforeStep": "before", "AfterStep": "after"}
    return {f"hook {hook.name} {moments[hook.when]} each step": hook.timeout_seconds for hook in hooks}


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


def _of_containers(
    before: dict[str, Manifest], after: dict[str, Manifest], was: dict[str, Data], now: dict[str, Data]
) -> Iterator[str]:
    """Takes the containers of the spec, which have all fields, and of the simple form, which has `files`."""
    for name, container in after.items():
        old = before.get(name)
        if old is None:
            continue
        fields = {f for f in {*old, *container} - {"image"} if old.get(f) != container.get(f)}
        simple, earlier = now.get(name, {}), was.get(name, {})
        told = (
            *_of_entries(f"env of {name}", _variables(old), _variables(container)),
            *_of_entries(f"secrets of {name}", _secrets(old), _secrets(container)),
        )
        files = tuple(_of_entries(f"files of {name}", earlier.get("files") or {}, simple.get("files") or {}))
        if told:
            fields.discard("env")
        if files and (earlier.get("mounts") or []) == (simple.get("mounts") or []):
            fields.discard("volumeMounts")
        yield from (*told, *files)
        if fields:
            yield f"{', '.join(sorted({_CONTAINER_WORDS.get(f, f) for f in fields}))} of {name}"


def _of_entries(words: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yields `env of web: LEVEL set, OLD removed`."""
    changed = sorted(name for name, entry in after.items() if before.get(name) != entry)
    gone = sorted(before.keys() - after.keys())
    done = [f"{' and '.join(names)} {word}" for names, word in ((changed, "set"), (gone, "removed")) if names]
    if done:
        yield f"{words}: {', '.join(done)}"


def _variables(container: Manifest) -> dict[str, Manifest]:
    """Returns the variables by name, but those that `secrets` sets."""
    entries: list[Manifest] = container.get("env") or []
    return {str(entry.get("name", "")): entry for entry in entries if not _secret(entry)}


def _secrets(container: Manifest) -> dict[str, str]:
    """Returns the secrets that `secrets` would name, with the variable that each sets."""
    entries: list[Manifest] = container.get("env") or []
    return {secret: str(entry["name"]) for entry in entries if (secret := _secret(entry))}


def _secret(variable: Manifest) -> str:
    """Returns the secret whose entry in `secrets` sets this very variable; empty for another variable."""
    whence: Manifest = variable.get("valueFrom") or {}
    source: Manifest = whence.get("secretKeyRef") or {}
    name = str(source.get("name", ""))
    same = source == {"name": name, "key": ENTRY} and variable.get("name") == container_settings.variable_name(name)
    return name if same else ""


def _simple(spec: Manifest) -> Data:
    """Returns containers and volumes in the simple form, with `files`."""
    simple, _ = field_mapping.simplify(field_tables.WORKLOAD, {"template": {"spec": _pod(spec.get("template") or {})}})
    return container_settings.fold(simple)


def _by_name(simple: Data) -> dict[str, Data]:
    parts: list[list[Data]] = [simple.get(part) or [] for part in container_settings.PARTS]
    return {container["name"]: container for containers in parts for container in containers}


def _all_files(simple: Data) -> dict[str, Data]:
    return {name: container.get("files") or {} for name, container in _by_name(simple).items()}


def _of_template(before: Manifest, after: Manifest, *, volumes: bool) -> Iterator[str]:
    """Yields what changed besides the containers. `volumes`: they changed, and not only for files."""
    old, new = _annotations(before), _annotations(after)
    if old.get(labels.RESTARTED_AT) != new.get(labels.RESTARTED_AT):
        yield RESTARTED
    asked, done = in_place_update.restarts_asked(new), in_place_update.restarts_asked(old)
    yield from (f"restart of {name}" for name in sorted(asked) if asked[name] != done.get(name))
    was, now = _pod(before), _pod(after)
    fields = {f for f in {*was, *now} - {*_LISTS} if was.get(f) != now.get(f)}
    fields -= set[str]() if volumes else {"volumes"}
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

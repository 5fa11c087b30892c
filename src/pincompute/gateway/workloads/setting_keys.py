"""Refuses a template that names a file or key which its secret or config does not have, in the version that it would get.

A replica with such a variable or volume never starts. One that mounts such a key as a file starts, and finds an empty folder.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from pincompute.api import near_names, object_validation, template_settings
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest
from pincompute.api.settings import CONFIG, DOCKER_CONFIG, ENTRY, SETTINGS, PinSecret, Setting, is_kept, stored_name
from pincompute.api.template_settings import NamedKey, Reference
from pincompute.gateway import problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.model import field_mapping
from pincompute.gateway.problems import FieldError
from pincompute.kube import api_errors, write_requests

MOST_READ = 20  # configs whose files are read for one write
SHOWN = 5  # keys that a problem lists
_LONGEST = 253  # characters of a key that a problem shows; none has more


@dataclass(frozen=True, slots=True)
class KeyQuestion:
    """The keys that a write of `project` brings: those in its spec `after` the write and not in the one `before`.

    `locate` gives a field as the user wrote it.
    """

    project: str
    after: Manifest
    before: Manifest | None = None
    locate: Callable[[str], str] = str

    def keys(self) -> tuple[NamedKey, ...]:
        """Returns those that must be there."""
        present = {(each.reference, each.key) for each in _named(self.before)}
        wanted = (each for each in _named(self.after) if each.reference.required)
        return tuple(each for each in wanted if (each.reference, each.key) not in present)


async def check(reads: CacheReads, asked: KeyQuestion) -> None:
    """Raises Problem with every key that is missing. What nobody can read is not missing."""
    wanted = asked.keys()
    if missing := list(_missing(wanted, await _known(reads, asked.project, wanted), asked.locate)):
        raise problems.invalid(*missing)


async def absent_files(reads: CacheReads, project: str, template: Manifest) -> tuple[str, ...]:
    """Returns which files containers mount that are not there, in sentences. A write with kubectl is not refused, and a kubelet
    says nothing of it.
    """
    named = KeyQuestion(project, {"template": template}).keys()
    wanted = [each for each in named if each.path[3:4] == ("volumeMounts",)]
    try:
        known = await _known(reads, project, wanted)
    except (api_errors.KubeError, problems.Problem):
        return ()
    return tuple(
        f"A container finds an empty folder where it mounts a file: {each.message}." for each in _missing(wanted, known, str)
    )


async def _known(reads: CacheReads, project: str, wanted: Collection[NamedKey]) -> dict[Reference, Collection[str]]:
    """Returns the keys of what is named, as far as somebody can read them."""
    known: dict[Reference, Collection[str]] = {}
    for ref in list(dict.fromkeys(each.reference for each in wanted))[:MOST_READ]:
        found = await _keys(reads, project, ref)
        if found is not None:
            known[ref] = found
    return known


def _named(spec: Manifest | None) -> tuple[NamedKey, ...]:
    template = (spec or {}).get("template")
    return tuple(template_settings.named_keys(cast("Manifest", template))) if isinstance(template, dict) else ()


async def _keys(reads: CacheReads, project: str, ref: Reference) -> Collection[str] | None:
    """Returns the keys of the version that the reference means; None where they are not known."""
    kind = next(each for each in SETTINGS if each.word == ref.word)
    setting: Setting | None = reads.get(kind.resource, project, ref.name)
    if setting is None:
        return None
    if isinstance(setting, PinSecret):
        return (DOCKER_CONFIG,) if setting.spec.type == "dockerconfigjson" else (ENTRY,)
    number = ref.version or setting.spec.version
    if not is_kept(setting, number):
        return None
    try:
        client, key = reads.clusters.client(HOST), Key(project, stored_name(ref.name, number))
        stored = await write_requests.content(client, CONFIG.carrier, key)
    except api_errors.Forbidden:  # the project is still being prepared
        return None
    return None if stored is None else {*(stored.get("data") or {}), *(stored.get("binaryData") or {})}


def _missing(
    wanted: Collection[NamedKey], known: Mapping[Reference, Collection[str]], locate: Callable[[str], str]
) -> Iterator[FieldError]:
    suggested = 0
    for each in wanted:
        keys = known.get(each.reference)
        if keys is None or each.key in keys:
            continue
        near = object_validation.nearest(each.key, keys) if suggested < near_names.SUGGESTED else ""
        suggested += 1
        field = locate(f"spec.template.{field_mapping.text(each.path)}")
        expected = f"a key of {each.reference}"
        yield FieldError(field, expected, f"{each.reference} has no {_thing(each)}{_remedy(each.reference, near, keys)}")


def _thing(each: NamedKey) -> str:
    return f"{'file' if each.reference.word == CONFIG.word else 'key'} {each.key[:_LONGEST]}"


def _remedy(ref: Reference, near: str, keys: Collection[str]) -> str:
    if ref.word != CONFIG.word:
        return f": it has one, {next(iter(keys))}; write that"
    listed = sorted(keys)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    has = f"it has {', '.join(listed[:SHOWN])}{more}" if listed else "it has none"
    add = f"`pin config set {ref.name} --file PATH` with all its files"
    return f"; did you mean {near}? Or set it again with that file: {add}" if near else f": {has}; correct the name, or {add}"

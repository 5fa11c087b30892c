"""Finds the secrets and configs that a pod template refers to, and writes references to fixed versions. It is pure.

A template names `db-password`, whose value changes in place, or one version of it, `db-password.7`, which never changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeAlias, cast

import msgspec

from pincompute.api.identity_memo import remembered
from pincompute.api.image_ownership import images
from pincompute.api.image_reference import host_of
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.api.settings import CONFIG, ROOT_CERTIFICATES, SECRET, SETTINGS, Setting, stored_name

_NUMBER = re.compile("[1-9][0-9]{0,8}")
_RESOURCES: Mapping[str, Resource[Any]] = {kind.word: kind.resource for kind in SETTINGS}
_encode = msgspec.json.Encoder().encode
_FIELDS = (b'"secret', b'"configMap', b'"imagePullSecrets"')
"""How the fields begin in which a template names a setting, as JSON."""

Path: TypeAlias = tuple[str | int, ...]
Find: TypeAlias = Callable[[Resource[Any], Key], Setting | None]


class Reference(NamedTuple):
    """A setting by the word of its kind and its name. `version` is 0 for the one in use; `required`: no pod starts without."""

    word: str
    name: str
    version: int = 0
    required: bool = True

    @property
    def stored(self) -> str:
        """Returns the name that the template holds."""
        return stored_name(self.name, self.version) if self.version else self.name

    def __str__(self) -> str:
        return f"version {self.version} of {self.word} {self.name}" if self.version else f"{self.word} {self.name}"


class Place(NamedTuple):
    """Where a template names a setting: the path of the name, and the object that holds it under `key`."""

    path: Path
    word: str
    holder: Manifest
    key: str

    @property
    def name(self) -> str:
        return str(self.holder[self.key])

    @property
    def reference(self) -> Reference:
        return parse(self.word, self.name, required=not self.holder.get("optional"))


class NamedKey(NamedTuple):
    """Where a template names one key of a setting: as a variable, as an item of a volume, or as the one file of a mount."""

    path: Path
    reference: Reference
    key: str


def parse(word: str, name: str, *, required: bool = True) -> Reference:
    plain, dot, number = name.rpartition(".")
    if dot and _NUMBER.fullmatch(number):
        return Reference(word, plain, int(number), required)
    return Reference(word, name, 0, required)


@remembered
def references(template: Manifest) -> frozenset[Reference]:
    """Returns what the template refers to. It never raises: whatever has another shape refers to nothing."""
    if not _may_refer(template):
        return frozenset()
    found = (place.reference for place in places(template))
    return frozenset(ref for ref in found if ref != (CONFIG.word, ROOT_CERTIFICATES, 0, ref.required))


def _may_refer(template: Manifest) -> bool:
    """Returns whether a field of the template may name a setting. Most templates have none, and a look at the text is fast."""
    text = _encode(template)
    return any(field in text for field in _FIELDS)


def in_use(template: Manifest, namespace: str, find: Find) -> Iterator[Reference]:
    """Yields what the template names without a version, each with the version in use, in order."""
    for ref in sorted(references(template)):
        setting = find(_RESOURCES[ref.word], Key(namespace, ref.name))
        if not ref.version and setting is not None and setting.spec.version:
            yield ref._replace(version=setting.spec.version)


def places(template: Manifest) -> Iterator[Place]:
    """Yields where the template names settings."""
    spec = _object(template.get("spec"))
    for part in ("initContainers", "containers"):
        for number, container in _items(spec.get(part)):
            if "env" in container or "envFrom" in container:
                yield from _in_container(("spec", part, number), container)
    for number, volume in _items(spec.get("volumes")):
        yield from _in_volume(("spec", "volumes", number), volume)
    for number, pull in _items(spec.get("imagePullSecrets")):
        yield from _named(("spec", "imagePullSecrets", number), SECRET.word, pull, "name")


def named_keys(template: Manifest) -> Iterator[NamedKey]:
    """Yields where the template names keys of settings; those that need not exist have a reference that is not required."""
    whole: dict[Path, Place] = {}  # volumes that hold all keys of a setting
    for place in places(template):
        if place.path[3:4] == ("env",) and isinstance(place.holder.get("key"), str):
            yield NamedKey((*place.path[:-1], "key"), place.reference, place.holder["key"])
        for number, item in _named_items(place):
            yield NamedKey((*place.path[:-1], "items", number, "key"), place.reference, item["key"])
        if place.path[1] == "volumes" and "projected" not in place.path and not place.holder.get("items"):
            whole[place.path[:3]] = place
    if whole:
        yield from _mounted_keys(_object(template.get("spec")), whole)


def _named_items(place: Place) -> Iterator[tuple[int, Manifest]]:
    return ((number, item) for number, item in _items(place.holder.get("items")) if isinstance(item.get("key"), str))


def _mounted_keys(spec: Manifest, whole: Mapping[Path, Place]) -> Iterator[NamedKey]:
    """Yields the mounts that show one file of a volume. A path that varies with the replica is not judged."""
    volumes = {each.get("name"): ("spec", "volumes", number) for number, each in _items(spec.get("volumes"))}
    for part in ("initContainers", "containers"):
        for number, container in _items(spec.get(part)):
            for at, mount in _items(container.get("volumeMounts")):
                place, key = whole.get(volumes.get(mount.get("name"), ())), mount.get("subPath")
                if place is not None and isinstance(key, str) and (plain := str(PurePosixPath(key))) != ".":
                    yield NamedKey(("spec", part, number, "volumeMounts", at, "subPath"), place.reference, plain)


@remembered
def registries(template: Manifest) -> frozenset[str]:
    """Returns the hosts of the registries that the template's images are pulled from, also those of image volumes."""
    return frozenset(host_of(image) for _, image in images(_object(template.get("spec"))))


def _in_container(path: Path, container: Manifest) -> Iterator[Place]:
    for number, variable in _items(container.get("env")):
        if "valueFrom" in variable:
            source = _object(variable["valueFrom"])
            for field, word in (("secretKeyRef", SECRET.word), ("configMapKeyRef", CONFIG.word)):
                yield from _named((*path, "env", number, "valueFrom", field), word, source.get(field), "name")
    for number, source in _items(container.get("envFrom")):
        for field, word in (("secretRef", SECRET.word), ("configMapRef", CONFIG.word)):
            yield from _named((*path, "envFrom", number, field), word, source.get(field), "name")


def _in_volume(path: Path, volume: Manifest) -> Iterator[Place]:
    yield from _named((*path, "secret"), SECRET.word, volume.get("secret"), "secretName")
    yield from _named((*path, "configMap"), CONFIG.word, volume.get("configMap"), "name")
    for number, source in _items(_object(volume.get("projected")).get("sources")):
        for field, word in (("secret", SECRET.word), ("configMap", CONFIG.word)):
            yield from _named((*path, "projected", "sources", number, field), word, source.get(field), "name")


def _named(path: Path, word: str, holder: Any, key: str) -> Iterator[Place]:
    known = _object(holder)
    if isinstance(known.get(key), str) and known[key]:
        yield Place((*path, key), word, known, key)


def _object(value: Any) -> Manifest:
    return cast("Manifest", value) if isinstance(value, dict) else {}


def _items(value: Any) -> Iterator[tuple[int, Manifest]]:
    items = cast("Iterable[Any]", value) if isinstance(value, list | tuple) else ()
    return ((number, cast("Manifest", item)) for number, item in enumerate(items) if isinstance(item, dict))


def renamed(template: Manifest, rename: Callable[[Place], str]) -> Manifest:
    """Returns the template with other names in it. What does not change is shared with the given one."""
    changes = {place.path: name for place in places(template) if (name := rename(place)) != place.name}
    return cast("Manifest", _changed(template, changes)) if changes else template


def _changed(value: Any, changes: Mapping[Path, str]) -> Any:
    if () in changes:
        return changes[()]
    below: dict[str | int, dict[Path, str]] = {}
    for path, name in changes.items():
        below.setdefault(path[0], {})[path[1:]] = name
    if isinstance(value, dict):
        known = cast("Manifest", value)
        return {key: _changed(part, below[key]) if key in below else part for key, part in known.items()}
    return [_changed(part, below[n]) if n in below else part for n, part in enumerate(cast("list[Any]", value))]

"""Names the fields of a pod template that no running pod can take: a change of one of them needs new pods (S-151)."""

from __future__ import annotations

from collections.abc import Iterator

from pincompute.api import template_hash
from pincompute.api.meta import Manifest
from pincompute.api.template_defaults import CONTAINER_LISTS
from pincompute.api.template_hash import QUALITY

TEMPLATE = "spec.template"


def replacing_fields(before: Manifest, after: Manifest) -> tuple[str, ...]:
    """Returns the fields that differ and that no update in place can change, by their place in the resource.

    Empty where replicas of one template become replicas of the other in place. Raises InvalidQuantityError.
    """
    old, new = template_hash.fixed_part(before), template_hash.fixed_part(after)
    found = [*_fields(old, new)]
    if old["spec"].get(QUALITY) != new["spec"].get(QUALITY):
        found += _resized(template_hash.normalise(before), template_hash.normalise(after))
    return tuple(dict.fromkeys(found))


def _resized(before: Manifest, after: Manifest) -> Iterator[str]:
    """Yields the resources that differ: together they give the pod another quality of service."""
    for where in CONTAINER_LISTS:
        old = {container["name"]: container for container in before["spec"].get(where) or ()}
        for place, container in enumerate(after["spec"].get(where) or ()):
            if container["name"] in old and old[container["name"]].get("resources") != container.get("resources"):
                yield f"{TEMPLATE}.spec.{where}[{place}].resources"


def _fields(before: Manifest, after: Manifest) -> Iterator[str]:
    for name in _changed(_part(before, "metadata"), _part(after, "metadata")):
        yield f"{TEMPLATE}.metadata.{'annotations' if '/' in name else name}{f'[{name}]' if '/' in name else ''}"
    old, new = _part(before, "spec"), _part(after, "spec")
    for name in _changed(old, new):
        where = f"{TEMPLATE}.spec.{name}"
        if name == QUALITY:
            continue
        if name in CONTAINER_LISTS:
            yield from _of_containers(where, old.get(name) or [], new.get(name) or [])
        else:
            yield where


def _of_containers(where: str, before: list[Manifest], after: list[Manifest]) -> Iterator[str]:
    """Yields the fields of containers; the list itself where containers come, go or change their order."""
    if [container["name"] for container in before] != [container["name"] for container in after]:
        yield where
        return
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        yield from (f"{where}[{place}].{name}" for name in _changed(old, new))


def _changed(before: Manifest, after: Manifest) -> list[str]:
    return [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]


def _part(template: Manifest, name: str) -> Manifest:
    return template.get(name) or {}

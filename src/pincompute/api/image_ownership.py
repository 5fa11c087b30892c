"""Determines which project owns an image of the region's registry, and which images the pods of a project may not run.

A repository PROJECT/NAME belongs to the project. A repository without a project, such as `hello`, and those below `pincompute/`
belong to the platform, and every project may run them. Images of other registries belong to no project. Their registry needs a
name of the public DNS, because a node that connects to it for a user must not connect to itself or to its neighbours.

Nodes pull whatever a pod names, and keep it for the next pod, so the name is judged before the pod exists: by the API server
of each member when a pod is written, and at the host, with the field and the remedy, when a workload is. Both judge the
same patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from pincompute.api import image_reference
from pincompute.api.image_reference import ImageReference
from pincompute.api.meta import Manifest

REGISTRY = "registry.internal"
"""How manifests name the region's registry, whatever its address is."""

PLATFORM = "pincompute"
_ID_PROBLEM = "an image must not be named by its id"
_ID_REMEDY = f"write its name, for example {REGISTRY}/hello:1"
_FOREIGN_PROBLEM = "the image belongs to another project"
_FOREIGN_REMEDY = "name an image of this project or of the platform"
_FOREIGN = f"'{_FOREIGN_PROBLEM}: {_FOREIGN_REMEDY}'"
_HOST_PROBLEM = "the registry of an image must have a DNS name with a dot, and not be an IP address or localhost"
_HOST_REMEDY = "name the registry, for example registry.example.com:5000/hello:1"
_SHAPE_PROBLEM = "is not the name of an image, which has the form [HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST]"
_SHAPE_REMEDY = f"write a path of lower-case letters and digits, without . and .., for example {REGISTRY}/hello:1"
_SPELLING_PROBLEM = f"nodes know the registry of the region as {REGISTRY} alone"
_SPELLING_REMEDY = "write it in lower case and without a port"
_SHOWN = 120  # characters of a name in a message
_FEW, _PLAIN = 10, 255  # images and characters of a name that a single expression may judge
_OF_REGION = "^(?i:" + REGISTRY.replace(".", "[.]") + ")(:[0-9]+)?/"  # in whatever spelling
_OF_PROJECT = f"{_OF_REGION}[^@]*/"  # or the platform's own
_OF_OURS = f"{_OF_REGION}{PLATFORM}/"


class ForeignImage(NamedTuple):
    """An image that a pod of the project may not run. `field` is below the pod's spec."""

    field: str
    problem: str
    remedy: str


def project_of(repository: str) -> str:
    """The project that a repository belongs to; empty for a repository of the platform."""
    project, slash, _ = repository.partition("/")
    return project if slash and project != PLATFORM else ""


def foreign_images(pod: Manifest, project: str | None) -> Iterator[ForeignImage]:
    """Every image in a pod's spec that the project may not run. What is not of the right type is passed over.

    Where the project is not known, every project's images are its own.
    """
    for path, image in images(pod):
        if found := _fault(image, project):
            field = f"{path[0]}[{path[1]}].{'.'.join(str(part) for part in path[2:])}"
            yield ForeignImage(field, *found)


def _fault(image: str, project: str | None) -> tuple[str, str] | None:
    if image_reference.is_id(image):
        return _ID_PROBLEM, _ID_REMEDY
    if not image_reference.has_public_host(image):
        return _HOST_PROBLEM, _HOST_REMEDY
    parsed = image_reference.parse(image)
    if parsed is None:
        return f'"{image[:_SHOWN]}" {_SHAPE_PROBLEM}', _SHAPE_REMEDY
    if not is_of_region(parsed):
        return None
    if project is not None and project_of(parsed.path) not in ("", project):
        return _FOREIGN_PROBLEM, _FOREIGN_REMEDY
    return (_SPELLING_PROBLEM, _SPELLING_REMEDY) if parsed.domain != REGISTRY else None


def is_nameable(image: str) -> bool:
    """Whether pods of some project may name it."""
    return _fault(image, None) is None


def nameable(image: str) -> str:
    """`is_nameable` in CEL. `image` is the CEL of the image."""
    return " && ".join(f"!{cel}" for cel, said in _faults(image) if said != _FOREIGN)


def is_of_project(image: str) -> bool:
    """Whether the image's repository is a project's, so that its developers write to it."""
    return re.search(_OF_PROJECT, image) is not None and re.search(_OF_OURS, image) is None


def is_of_project_cel(image: str) -> str:
    """`is_of_project` in CEL. `image` is the CEL of the image."""
    return f"({image}.matches('{_OF_PROJECT}') && !{image}.matches('{_OF_OURS}'))"


def is_of_region(image: ImageReference) -> bool:
    """Whether the region's registry is meant, in whatever spelling."""
    return image.domain.lower().partition(":")[0] == REGISTRY


def images(pod: Manifest) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every image in a pod's spec, with its path there. What is not of the right type is passed over."""
    for lists, names in _LISTS.items():
        items: Any = pod.get(lists)
        for index, item in enumerate(cast("list[Any]", items) if isinstance(items, list) else []):
            image: Any = item
            for name in names:
                image = cast("Manifest", image).get(name) if isinstance(image, dict) else None
            if isinstance(image, str):
                yield (lists, index, *names), image


_LISTS = {
    "containers": ("image",),
    "initContainers": ("image",),
    "ephemeralContainers": ("image",),
    "volumes": ("image", "reference"),
}
"""By list of a pod's spec, the way to the image in one of its elements."""


def variables(pod: str, lists: tuple[str, ...] = tuple(_LISTS)) -> list[Manifest]:
    """CEL for an admission policy: the variable `foreign` has one line for each image that the namespace may not run.

    `pod` is the CEL of a pod's spec, such as `object.spec`. `lists` are those that its schema has.
    """
    lines = " + ".join(_lines(pod, name, _LISTS[name]) for name in lists)
    return [{"name": "foreign", "expression": f"({lines}).join('; ')"}]


def plainly_holds(pod: str, lists: tuple[str, ...] = tuple(_LISTS)) -> str:
    """CEL, for a match condition: true only where `foreign` is empty, at a bounded cost."""
    return " && ".join(_all_own(pod, name, _LISTS[name]) for name in lists)


def _all_own(pod: str, name: str, path: tuple[str, ...]) -> str:
    image = f"e.{'.'.join(path)}"
    absent = " || ".join(f"!has(e.{'.'.join(path[: end + 1])})" for end in range(len(path)))
    own = f"{image}.size() <= {_PLAIN} && !({' || '.join(dict(_faults(image)))})"
    images = f"{pod}.{name}"
    return f"(!has({images}) || {images}.size() <= {_FEW} && {images}.all(e, {absent} || {own}))"


def _lines(pod: str, name: str, path: tuple[str, ...]) -> str:
    given = " && ".join(f"has(e.{'.'.join(path[: end + 1])})" for end in range(len(path)))
    image = f"e.{'.'.join(path)}"
    field = f"'{pod.removeprefix('object.')}.{name}[' + string(n) + '].{'.'.join(path)}: '"
    faults = dict(_faults(image))
    words = " : ".join((*(f"{cel} ? {said}" for cel, said in faults.items()), "''"))
    return f"{pod}.?{name}.orValue([]).transformList(n, e, {given} && ({' || '.join(faults)}), {field} + ({words}))"


def _faults(image: str) -> Iterator[tuple[str, str]]:
    """`_fault` in CEL: each condition, and the words for it, in the same order."""

    def matches(pattern: str) -> str:
        return f"{image}.matches('{pattern}')"

    public = f"{matches(f'^{image_reference.DNS_DOMAIN}/')} && !{matches(image_reference.LOCALHOST)}"
    allowed = f"{matches(image_reference.REFERENCE)} && {matches(image_reference.BOUNDED)}"
    own = f"{image}.matches('{_OF_REGION}({PLATFORM}|' + request.namespace + ')/')"
    yield matches(image_reference.ID), f"'{_ID_PROBLEM}: {_ID_REMEDY}'"
    yield f"({matches(image_reference.DOMAIN)} && !({public}))", f"'{_HOST_PROBLEM}: {_HOST_REMEDY}'"
    shown = f"({image}.size() > {_SHOWN} ? {image}.substring(0, {_SHOWN}) : {image})"
    yield f"!({allowed})", f"""'"' + {shown} + '" {_SHAPE_PROBLEM}: {_SHAPE_REMEDY}'"""
    yield f"({matches(f'{_OF_REGION}.*/')} && !{own})", _FOREIGN
    yield f"({matches(_OF_REGION)} && !{image}.startsWith('{REGISTRY}/'))", f"'{_SPELLING_PROBLEM}: {_SPELLING_REMEDY}'"


VALIDATION: Manifest = {
    "expression": "variables.foreign == ''",
    "messageExpression": "variables.foreign.size() > 4000 ? variables.foreign.substring(0, 4000) : variables.foreign",
    "reason": "Invalid",
}
"""Refuses an object for the lines in the policy's variable `foreign`."""

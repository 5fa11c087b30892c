"""Determines which project owns an image of the region's registry, and which images the pods of a project may not run.

A repository PROJECT/NAME belongs to the project. A repository without a project, such as `hello`, and those below `pincompute/`
belong to the platform, and every project may run them. Images of other registries belong to no project. Their registry needs a
name of the public DNS, because a node that connects to it for a user must not connect to itself or to its neighbours.

Nodes pull whatever a pod names, and keep it for the next pod, so the name is judged before the pod exists: by the API server
of each member when a pod is written, and at the host, with the field and the remedy, when a workload is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from pincompute.api.meta import Manifest

REGISTRY = "registry.internal"
"""How manifests name the region's registry, whatever its address is."""

PLATFORM = "pincompute"
_ID = "sha256:"  # a container runtime takes it for the beginning of an image's id, and runs any image that the node holds
_ID_PROBLEM = "an image must not be named by its id"
_ID_REMEDY = f"write its name, for example {REGISTRY}/hello:1"
_FOREIGN_PROBLEM = "the image belongs to another project"
_FOREIGN_REMEDY = "name an image of this project or of the platform"
_HOST_PROBLEM = "the registry of an image must have a DNS name with a dot, and not be an IP address or localhost"
_HOST_REMEDY = "name the registry, for example registry.example.com:5000/hello:1"
_HOST = "^([^/]*|[a-z0-9_-]+/.*|([A-Za-z0-9_-]+[.])+[A-Za-z][A-Za-z0-9_-]*(:[0-9]+)?/.*)$"  # none, a plain path, or a DNS name
_LOCALHOST = "^([^/]*[.])?[lL][oO][cC][aA][lL][hH][oO][sS][tT][:/]"


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
        field = f"{path[0]}[{path[1]}].{'.'.join(str(part) for part in path[2:])}"
        registry, _, repository = image.partition("/")
        if image.startswith(_ID):
            yield ForeignImage(field, _ID_PROBLEM, _ID_REMEDY)
        elif project is not None and registry == REGISTRY and project_of(repository) not in ("", project):
            yield ForeignImage(field, _FOREIGN_PROBLEM, _FOREIGN_REMEDY)
        elif re.fullmatch(_HOST, image) is None or re.search(_LOCALHOST, image) is not None:
            yield ForeignImage(field, _HOST_PROBLEM, _HOST_REMEDY)


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


def _lines(pod: str, name: str, path: tuple[str, ...]) -> str:
    given = " && ".join(f"has(e.{'.'.join(path[: end + 1])})" for end in range(len(path)))
    image = f"e.{'.'.join(path)}"
    by_id = f"{image}.startsWith('{_ID}')"
    registry = REGISTRY.replace(".", "[.]")
    others = (
        f"({image}.startsWith('{REGISTRY}/') && {image}.matches('^{registry}/.*/') && "
        f"!{image}.matches('^{registry}/({PLATFORM}|' + request.namespace + ')/'))"
    )
    unnamed = f"(!{image}.matches('{_HOST}') || {image}.matches('{_LOCALHOST}'))"
    foreign = f"({by_id} || {others} || {unnamed})"
    field = f"'{pod.removeprefix('object.')}.{name}[' + string(n) + '].{'.'.join(path)}: '"
    words = (
        f"({by_id} ? '{_ID_PROBLEM}: {_ID_REMEDY}' : {others} ? '{_FOREIGN_PROBLEM}: {_FOREIGN_REMEDY}' : "
        f"'{_HOST_PROBLEM}: {_HOST_REMEDY}')"
    )
    return f"{pod}.?{name}.orValue([]).transformList(n, e, {given} && {foreign}, {field} + {words})"


VALIDATION: Manifest = {
    "expression": "variables.foreign == ''",
    "messageExpression": "variables.foreign.size() > 4000 ? variables.foreign.substring(0, 4000) : variables.foreign",
    "reason": "Invalid",
}
"""Refuses an object for the lines in the policy's variable `foreign`."""

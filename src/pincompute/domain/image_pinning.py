"""Decides which images of a workload are pinned to digests when the workload is written, and what becomes of their names.

A tag may be pushed again, so a name with a tag alone would give two replicas different programs. The stored name is
`NAME:TAG@DIGEST`: nodes pull the digest, and people read the tag. Only images of the region's registry are pinned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from pincompute.api import image_reference
from pincompute.api.image_ownership import REGISTRY, images, is_of_region
from pincompute.api.image_reference import ImageReference
from pincompute.api.meta import Manifest

Path: TypeAlias = tuple[str | int, ...]
_POD = ("template", "spec")


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image in a spec. `before` is what the same container has now; empty where it is new."""

    path: Path
    image: str
    reference: ImageReference
    before: str = ""

    @property
    def repository(self) -> str:
        """`shop/web`"""
        return self.reference.path

    @property
    def version(self) -> str:
        """What the registry is asked for: the digest where the name has one, or else the tag."""
        return self.reference.version

    @property
    def field(self) -> str:
        """Below the object, such as `spec.template.spec.containers[0].image`."""
        return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)


@dataclass(frozen=True, slots=True)
class Digest:
    """The registry has the image."""

    value: str


@dataclass(frozen=True, slots=True)
class NoImage:
    """The registry has no such image."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The registry did not say, or nobody asked."""


Resolution: TypeAlias = Digest | NoImage | Unresolved


def unpinned(image: str) -> str:
    """The name without its digest, as people write it."""
    return image.partition("@")[0]


def to_resolve(after: Manifest, before: Manifest | None, *, whole: bool) -> tuple[NamedImage, ...]:
    """The images of the spec `after` about which the registry is asked.

    A `whole` document asks for what its tags point to now. A patch asks only for the images that it changes, so that a scale
    never brings another program.
    """
    found = _of_registry(after, before or {})
    return tuple(each for each in found if each.image != each.before or (whole and "@" not in each.image))


def pinned(after: Manifest, images_of: tuple[NamedImage, ...], resolutions: Mapping[str, Resolution]) -> Manifest:
    """The spec with every tag pinned. What nobody knows keeps the digest that it had, or stays without one."""
    made = after
    for each in images_of:
        name = _name(each, resolutions.get(each.image, Unresolved()))
        if name != each.image:
            made = _put(made, each.path, name)
    return made


def absent(images_of: tuple[NamedImage, ...], resolutions: Mapping[str, Resolution]) -> tuple[NamedImage, ...]:
    return tuple(each for each in images_of if isinstance(resolutions.get(each.image), NoImage))


def warning(images_of: tuple[NamedImage, ...], resolutions: Mapping[str, Resolution]) -> str:
    """Says which images could not be resolved; empty where all were."""
    unknown = dict.fromkeys(each for each in images_of if isinstance(resolutions.get(each.image), Unresolved))
    kept = ", ".join(dict.fromkeys(each.image for each in unknown if unpinned(each.before) == each.image))
    loose = ", ".join(dict.fromkeys(each.image for each in unknown if unpinned(each.before) != each.image))
    said = [f"{kept} keeps its present content"] if kept else []
    said += [f"{loose} is not checked, and replicas run what the tag points to when a node pulls it"] if loose else []
    return f"the image registry does not answer: {'; '.join(said)}" if said else ""


def without_registry(after: Manifest, before: Manifest) -> tuple[str, ...]:
    """Says where nodes pull an image from that names no registry: hardly ever from the region's, as its writer may think."""
    had = {image for _, _, image in _images(before)}
    loose = dict.fromkeys(i for _, _, i in _images(after) if i not in had and not image_reference.split_domain(i)[0])
    if not loose:
        return ()
    meant = ((image, image_reference.split(image)) for image in loose)
    said = ", ".join(f"{image} means {found.full_name}{found.suffix}" for image, found in meant)
    return (f"{said}: name the registry for another one, as in {REGISTRY}/PROJECT/NAME:TAG",)


def _name(each: NamedImage, resolution: Resolution) -> str:
    if "@" in each.image:
        return each.image
    if isinstance(resolution, Digest):
        return f"{each.image}@{resolution.value}"
    return each.before if unpinned(each.before) == each.image else each.image


def _of_registry(spec: Manifest, before: Manifest) -> Iterator[NamedImage]:
    had = {(path[0], name): image for path, name, image in _images(before)}
    for path, name, image in _images(spec):
        reference = image_reference.parse(image)  # validation refuses what has no form of a reference
        if reference is not None and is_of_region(reference):
            yield NamedImage((*_POD, *path), image, reference, had.get((path[0], name), ""))


def _images(spec: Manifest) -> Iterator[tuple[Path, str, str]]:
    """Path below the pod's spec, name of the container or volume, image."""
    pod: Any = spec
    for part in _POD:
        pod = cast("Manifest", pod).get(part) if isinstance(pod, dict) else None
    for path, image in images(cast("Manifest", pod)) if isinstance(pod, dict) else ():
        yield path, cast("Any", pod)[path[0]][path[1]].get("name", ""), image


def _put(value: Any, path: Path, image: str) -> Any:
    """A copy with the image at the path."""
    if not path:
        return image
    first, *rest = path
    copy: Any = list(cast("list[Any]", value)) if isinstance(value, list) else dict(cast("Manifest", value))
    copy[first] = _put(copy[first], tuple(rest), image)
    return copy

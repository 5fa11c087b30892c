"""Builds the platform's own images from folders with an `image.yaml`, and pushes them to the region's registry.

The SDK builds them, as it builds those of users. An image is known by its source: it is pushed under the tag
`source-<hash of everything it is made from>` first, and the tag the caller asked for is pointed there. A second build of the
same source therefore finds its result and does nothing.

Whoever has the registry's key can push such a tag. So the images of programs with access to nodes are taken by the digest that
this machine recorded when it made them (`ensure`, `renew`), whatever the registry says.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from pincompute_sdk.images import image_name
from pincompute_sdk.images.build import image_recipe
from pincompute_sdk.images.build.recipe_image import RecipeImage
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_name import ImageName
from pincompute_sdk.images.registry_client import RegistryClient

from pincompute.region import atomic_files


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A pushed image. `built` is false when it was there already."""

    reference: str
    digest: str
    built: bool


def build(directory: Path, tag: str, registry: RegistryClient) -> BuiltImage:
    """Make the image of `directory`, push it and point `tag` ("hello:1") to it. Raises ImageError."""
    name = parse_tag(tag)
    return _build(_image(directory, name), name, registry)


def ensure(directory: Path, tag: str, registry: RegistryClient, record: Path, say: Callable[[str], None]) -> BuiltImage:
    """The image of this source that this machine made and the registry has, whatever versions the packages in its base have by
    now. Without one, it is built on the base that this machine keeps; only without that, a base is made, and `say` is told.

    `record` is a file with the digests of all that was made. Raises ImageError.
    """
    name = parse_tag(tag)
    image = _image(directory, name)
    digest = _made(record).get(_source(image, name), "")
    if digest and registry.digest(ImageName(name.repository, digest=digest)) == digest:
        return BuiltImage(name.reference, digest, _point(name, digest, registry))
    return _make(RecipeImage(directory, image.recipe, say=say, kept_base=True), name, registry, record)


def renew(directory: Path, tag: str, registry: RegistryClient, record: Path) -> BuiltImage:
    """The same on the newest packages."""
    name = parse_tag(tag)
    return _make(_image(directory, name), name, registry, record)


def _make(image: RecipeImage, name: ImageName, registry: RegistryClient, record: Path) -> BuiltImage:
    before, source = _made(record), _source(image, name)
    digest = _push(image, name, registry)
    if before.get(source) != digest:
        atomic_files.write(record, msgspec.json.format(msgspec.json.encode({**before, source: digest})))
    return BuiltImage(name.reference, digest, before.get(source) != digest)


def _made(record: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(record.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _source(image: RecipeImage, name: ImageName) -> str:
    return f"{name.repository} {image.source_hash()}"


def parse_tag(tag: str) -> ImageName:
    """The name of "hello:1". Raises ImageError."""
    name = image_name.parse(tag)
    if not name.tag or name.digest:
        raise ImageError(f"tag {tag!r} has no version", remedy="write a lower-case name and a version, such as hello:1")
    return name


def _image(directory: Path, name: ImageName) -> RecipeImage:
    return RecipeImage(directory, image_recipe.configured(image_recipe.read(directory), name.tag))


def _build(image: RecipeImage, name: ImageName, registry: RegistryClient) -> BuiltImage:
    source = name.tagged(f"source-{image.fingerprint()}")
    digest = registry.digest(source)
    built = not digest
    if built:
        digest = _push(image, source, registry)
    return BuiltImage(name.reference, digest, _point(name, digest, registry) or built)


def _point(name: ImageName, digest: str, registry: RegistryClient) -> bool:
    """Points a tag to the image; returns whether it pointed elsewhere."""
    if registry.digest(name) == digest:
        return False
    registry.put_manifest(name, registry.manifest(ImageName(name.repository, digest=digest)))
    return True


def _push(image: RecipeImage, name: ImageName, registry: RegistryClient) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        return registry.push(image.write(Path(scratch)).image(image.recipe.runs_on), name)

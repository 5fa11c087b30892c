"""Builds the platform's own images from folders with an `image.yaml`, and pushes them to the region's registry.

The SDK builds them, as it builds those of users. An image is known by its source: it is pushed under the tag
`source-<hash of everything it is made from>` first, and the tag the caller asked for is pointed there. A second build of the
same source therefore finds its result and does nothing.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from pincompute_sdk.images import image_name
from pincompute_sdk.images.build import image_recipe
from pincompute_sdk.images.build.recipe_image import RecipeImage
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_name import ImageName
from pincompute_sdk.images.registry_client import RegistryClient


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A pushed image. `built` is false when it was there already."""

    reference: str
    digest: str
    built: bool


def build(directory: Path, tag: str, registry: RegistryClient) -> BuiltImage:
    """Make the image of `directory`, push it and point `tag` ("hello:1") to it. Raises ImageError."""
    name = parse_tag(tag)
    image = RecipeImage(directory, image_recipe.configured(image_recipe.read(directory), name.tag))
    source = name.tagged(f"source-{image.fingerprint()}")
    digest, built = registry.digest(source), False
    if not digest:
        digest, built = _push(image, source, registry), True
    if registry.digest(name) != digest:
        registry.put_manifest(name, registry.manifest(source))
        built = True
    return BuiltImage(name.reference, digest, built)


def parse_tag(tag: str) -> ImageName:
    """The name of "hello:1". Raises ImageError."""
    name = image_name.parse(tag)
    if not name.tag or name.digest:
        raise ImageError(f"tag {tag!r} has no version", remedy="write a lower-case name and a version, such as hello:1")
    return name


def _push(image: RecipeImage, name: ImageName, registry: RegistryClient) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        return registry.push(image.write(Path(scratch)).image(image.recipe.runs_on), name)

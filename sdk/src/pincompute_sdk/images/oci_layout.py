"""Reads an OCI image layout: a folder with `index.json`, and every blob of its images in a file that its digest names.

A layout may come from somebody else. No link leads out of its folder, a document has the digest that its name says and a
bounded size, and an index that repeats others takes bounded work.

Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pincompute_sdk.images import image_manifest
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_manifest import INDEXES, Descriptor, ImageConfig, ImageManifest, ManifestBytes, Platform

DEFAULT_PLATFORM = "linux/amd64"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DEEPEST = 4  # indexes in indexes
MOST = 2000  # manifests and indexes that are read of one layout
LARGEST = 16 << 20  # bytes of a manifest, an index or a configuration


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """One image of a layout, for one platform. `name` is what the layout calls it; it may be empty."""

    layout: OciLayout
    manifest: ManifestBytes
    name: str = ""

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """The configuration and the layers, each once."""
        found = self.manifest.decoded
        blobs = (*found.layers, *((found.config,) if found.config else ()))
        return tuple({blob.digest: blob for blob in blobs}.values())

    @property
    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(blob.size for blob in self.blobs)

    @property
    def config(self) -> ImageConfig:
        described = self.manifest.decoded.config
        if described is None:
            raise ImageError(f"the image {self.name} has no configuration".replace("  ", " "), remedy="build the image again")
        return image_manifest.decode(self.layout.read(described.digest), ImageConfig, "the configuration of the image")

    def open(self, digest: str) -> BinaryIO:
        return self.layout.file(digest).open("rb")


@dataclass(frozen=True, slots=True)
class OciLayout:
    """The folder of a layout. Its images may be for several platforms and have several names. `called` is what a user named."""

    root: Path
    called: str = ""

    @property
    def shown(self) -> str:
        """How errors name it: an archive is unpacked into a folder that its user does not know."""
        return self.called or str(self.root)

    def images(self, platform: str = DEFAULT_PLATFORM) -> tuple[LayoutImage, ...]:
        """One image for each name in the layout. Raises ImageError where one is not for the platform."""
        index = image_manifest.decode(self._index(), ImageManifest, f"index.json of {self.shown}")
        named = dict[str, list[Descriptor]]()
        for described in index.manifests:
            named.setdefault(described.name, []).append(described)
        if not named:
            raise ImageError(f"{self.shown} holds no image", remedy="build or save the image again")
        turns = iter(range(MOST))
        return tuple(self._choose(found, name, platform, turns) for name, found in named.items())

    def image(self, platform: str = DEFAULT_PLATFORM) -> LayoutImage:
        """The only image of the layout. Raises ImageError where it holds several, or none for the platform."""
        found = self.images(platform)
        if len({image.manifest.digest for image in found}) > 1:
            names = ", ".join(image.name for image in found)
            raise ImageError(f"{self.shown} holds several images: {names}", remedy="save one image at a time")
        return found[0]

    def file(self, digest: str) -> Path:
        """The file of a blob. Raises ImageError for what is no digest, or is not there."""
        if not _DIGEST.fullmatch(digest):
            raise ImageError(f"{digest[:80]!r} is not a digest", remedy="sha256 digests are expected: build the image again")
        found = self._inside(self.root / "blobs" / "sha256" / digest.removeprefix("sha256:"))
        if not found.is_file():
            raise ImageError(f"{self.shown} lacks the blob {digest}", remedy="save the whole image again, with all layers")
        return found

    def read(self, digest: str) -> bytes:
        """A document. Raises ImageError where its content is another one."""
        content = document(self.file(digest))
        if image_manifest.digest_of(content) != digest:
            raise other_content(digest)
        return content

    def _inside(self, file: Path) -> Path:
        """A link may lead to another file of the layout, and to nothing else of this machine."""
        if not file.resolve().is_relative_to(self.root.resolve()):
            raise ImageError(
                f"{file.relative_to(self.root)} leads out of {self.shown}",
                remedy="do not import a folder that you do not trust",
            )
        return file

    def _index(self) -> bytes:
        try:
            return document(self._inside(self.root / "index.json"))
        except OSError as error:
            remedy = "name the folder of an OCI image layout, which holds index.json and blobs/"
            raise ImageError(f"{self.shown} is no image layout", reason=error.strerror or str(error), remedy=remedy) from error

    def _choose(self, described: list[Descriptor], name: str, platform: str, turns: Iterator[int]) -> LayoutImage:
        """The image for the platform. The configuration of an image says its platform where the index does not."""
        candidates = [found for each in described for found in self._images(each, name, 0, turns)]
        by_platform = dict[str, LayoutImage]()
        for at, image in candidates:
            by_platform.setdefault(str(at), image)
        if platform in by_platform:
            return by_platform[platform]
        called = name or "it"
        raise ImageError(
            f"{called} is not for {platform}, the platform of the region's nodes",
            reason=f"it is for {', '.join(sorted(by_platform)) or 'no platform'}",
            remedy=f"`pin image build` builds for that, or `docker build --platform {platform}`; then save that image",
        )

    def _images(
        self, described: Descriptor, name: str, depth: int, turns: Iterator[int]
    ) -> Iterator[tuple[Platform, LayoutImage]]:
        if next(turns, None) is None:
            raise ImageError(f"{self.shown} has more than {MOST} manifests", remedy="save one image at a time")
        content = self.read(described.digest)
        manifest = ManifestBytes(content, described.media_type)
        decoded = manifest.decoded
        if described.media_type in INDEXES or decoded.manifests:
            if depth < _DEEPEST:
                for each in decoded.manifests:
                    yield from self._images(each, name, depth + 1, turns)
            return
        image = LayoutImage(self, ManifestBytes(content, decoded.media_type or described.media_type), name)
        if described.platform is not None and "unknown" in (described.platform.system, described.platform.architecture):
            return  # an attestation beside the images
        yield described.platform or Platform(image.config.os, image.config.architecture), image


def document(file: Path) -> bytes:
    """The content of a manifest, an index or a configuration. Raises ImageError for what is too large, or OSError."""
    with file.open("rb") as opened:
        content = opened.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ImageError(f"{file.name} has more than {LARGEST >> 20} MiB", remedy="save the image again")
    return content


def other_content(digest: str) -> ImageError:
    return ImageError(f"the content of the blob {digest} has another digest", remedy="save the image again")


def open_layout(root: Path) -> OciLayout:
    """Raises ImageError for a folder that is no layout."""
    if not (root / "index.json").is_file():
        remedy = "name the folder of an OCI image layout, which holds index.json and blobs/"
        raise ImageError(f"{root} is no image layout: it has no index.json", remedy=remedy)
    return OciLayout(root)

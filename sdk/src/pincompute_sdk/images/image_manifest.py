"""Defines the documents of an image: its manifest, an index of several platforms, and its configuration.

Source: https://github.com/opencontainers/image-spec
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

from pincompute_sdk.images.image_errors import ImageError

T = TypeVar("T")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
PLAIN_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = (INDEX, DOCKER_LIST)
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
PLAIN_LAYERS = (PLAIN_LAYER, "application/vnd.docker.image.rootfs.diff.tar")
NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


class Platform(msgspec.Struct, frozen=True, rename={"system": "os"}):
    """An operating system and a processor architecture; `str` gives `linux/amd64`."""

    system: str = ""
    architecture: str = ""

    def __str__(self) -> str:
        return f"{self.system}/{self.architecture}"


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Describes content by its type, digest and size."""

    media_type: str = ""
    digest: str
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """The image's name or tag, which programs write into an index; empty where it has none."""
        said = self.annotations or {}
        return next((said[key] for key in NAME_ANNOTATIONS if said.get(key)), "")


class ImageManifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Names the configuration and the layers of one image, or, as an index, the manifests of several."""

    schema_version: int = 2
    media_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of an image's configuration."""

    os: str = ""
    architecture: str = ""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class ManifestBytes:
    """A manifest or an index as the registry stores it."""

    content: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return digest_of(self.content)

    @property
    def decoded(self) -> ImageManifest:
        return decode(self.content, ImageManifest, "the manifest of the image")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def decode(content: bytes, kind: type[T], what: str) -> T:
    """Raises ImageError that names `what`."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise ImageError(f"{what} cannot be read", reason=str(error), remedy="build or save the image again") from error

"""Parses names of images in the region's registry: `registry.internal/PROJECT/NAME:TAG@DIGEST`, and shorter forms."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

from pincompute_sdk.images.image_errors import ImageError

REGISTRY = "registry.internal"
"""How manifests name the region's registry, whatever its address is."""

_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._/]|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(
    r"(?P<host>[a-zA-Z0-9][^/@]*[.:][^/@]*|localhost)/(?P<rest>.+)"
)  # a registry, as container programs tell one
_EXPECTED = "write NAME:TAG with a lower-case name, for example web:1"


@dataclass(frozen=True, slots=True)
class ImageName:
    """A repository, such as `shop/web`, with a tag, a digest, both or neither."""

    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def reference(self) -> str:
        """What app.yaml says: `registry.internal/shop/web:1`."""
        return f"{REGISTRY}/{self}"

    @property
    def version(self) -> str:
        """What identifies the image in its repository: the digest where it is known, or else the tag."""
        return self.digest or self.tag

    def tagged(self, tag: str) -> Self:
        return replace(self, tag=tag)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


def parse(text: str, project: str = "") -> ImageName:
    """Parses `web:1`, `shop/web:1` or `registry.internal/shop/web@sha256:…`. A name without a folder gets `project`.

    Raises ImageError.
    """
    rest, at, digest = text.removeprefix(f"{REGISTRY}/").partition("@")
    head, slash, last = rest.rpartition("/")
    name, colon, tag = last.partition(":")
    repository = head + slash + name
    if project and not slash and not text.startswith(f"{REGISTRY}/"):
        repository = f"{project}/{name}"
    if other := _HOST.fullmatch(text.removeprefix(f"{REGISTRY}/")):
        last = other["rest"].rpartition("/")[2]
        remedy = f"leave the registry out: write {f'{project}/' if project else ''}{last}"
        raise ImageError(f"{text!r} names the registry {other['host']}, and images go to the region's own", remedy=remedy)
    if not _REPOSITORY.fullmatch(repository) or (colon and not _TAG.fullmatch(tag)) or (at and not _DIGEST.fullmatch(digest)):
        raise ImageError(f"{text!r} is not the name of an image in the region's registry", remedy=_EXPECTED)
    return ImageName(repository, tag, digest)


def shown(image: str) -> str:
    """An image as people read it: with its tag, or else with the beginning of its digest."""
    name, at, digest = image.partition("@")
    return name if ":" in name.rpartition("/")[2] or not at else f"{name}@{short(digest)}"


def short(digest: str) -> str:
    """The beginning of a digest, which is enough for people."""
    return digest.removeprefix("sha256:")[:12]

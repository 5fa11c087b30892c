"""Reads what a manifest in the registry names: configuration, layers, and the images of an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from pincompute.gateway.images.registry_storage import RegistryStorage

REMEMBERED = 32 << 20  # bytes of manifests, of which one may have megabytes


class Descriptor(msgspec.Struct, frozen=True):
    """What a manifest says of a blob or of another manifest: its digest and its size in bytes."""

    digest: str = ""
    size: int = 0


class StoredManifest(msgspec.Struct, frozen=True):
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()

    @property
    def blobs(self) -> Sequence[Descriptor]:
        return (*self.layers, *((self.config,) if self.config else ()))


class _Content(msgspec.Struct, frozen=True):
    """Some programs write null for an empty list."""

    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None
    manifests: tuple[Descriptor, ...] | None = None


def decode(content: bytes) -> StoredManifest:
    """Raises ValueError."""
    try:
        found = msgspec.json.decode(content, type=_Content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return StoredManifest(found.config, found.layers or (), found.manifests or ())


@dataclass(slots=True)
class StoredManifests:
    """Manifests in the registry's folder, for several threads. What is behind a digest never changes, so it is read once."""

    storage: RegistryStorage
    _known: dict[str, StoredManifest] = field(default_factory=dict[str, StoredManifest])
    _size: int = 0

    def read(self, digest: str) -> StoredManifest:
        """One that names nothing where there is none. Raises ValueError for one that cannot be read."""
        known = self._known.get(digest)
        if known is not None:
            return known
        content = self.storage.content(digest)
        if not content:
            return StoredManifest()
        found = decode(content)
        if self._size + len(content) > REMEMBERED:
            self._known.clear()  # in one step, since several threads read
            self._size = 0
        self._size += len(content)
        self._known[digest] = found
        return found

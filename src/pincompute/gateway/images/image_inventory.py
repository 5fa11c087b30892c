"""Lists the images of a project: what the registry holds, and which workloads use each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from pincompute.api.image_ownership import REGISTRY
from pincompute.api.meta import Struct, doc
from pincompute.gateway import problems
from pincompute.gateway.images import unused_images
from pincompute.gateway.images.image_references import ImageReferences
from pincompute.gateway.images.registry_storage import Link, Pushed, RegistryStorage, Released, StoredRepository
from pincompute.gateway.images.stored_manifest import StoredManifest, StoredManifests

REMEMBERED = 20_000  # digests whose size and age are known; content behind a digest never changes


class ImageUser(Struct):
    """What uses an image, and whether it names the image by its digest or by a tag alone."""

    name: Annotated[str, doc("Such as app hello, or app hello, revision v1.")]
    tag: Annotated[str, doc("The tag that nodes pull; empty where it names the digest.")] = ""


class StoredImage(Struct):
    """An image in the region's registry: one content, with all its tags."""

    name: Annotated[str, doc("The repository below the project, such as web.")]
    image: Annotated[str, doc("How app.yaml names the repository: registry.internal/PROJECT/NAME.")]
    digest: Annotated[str, doc("The digest of its content.")]
    tags: Annotated[tuple[str, ...], doc("Tags that point to it; none after another push took them.")] = ()
    size: Annotated[int, doc("Bytes of its blobs; blobs that images share count in each.")] = 0
    created: Annotated[datetime | None, doc("When it was built, as it says itself.")] = None
    pushed: Annotated[datetime | None, doc("When somebody last pushed it; absent where somebody has deleted it since.")] = None
    deleted: Annotated[bool, doc("Somebody deleted it, and it stays because something still uses it.")] = False
    used_by: Annotated[tuple[ImageUser, ...], doc("Workloads that use it, and revisions to which they can go back.")] = ()


@dataclass(frozen=True, slots=True)
class _Facts:
    size: int = 0
    created: datetime | None = None


class _ImageConfig(msgspec.Struct, frozen=True):
    created: datetime | None = None


@dataclass(slots=True)
class ImageInventory:
    """Reads the registry's folder for one list. It remembers size and age of contents, and looks each time what is present."""

    storage: RegistryStorage
    manifests: StoredManifests
    _facts: dict[str, _Facts] = field(default_factory=dict[str, _Facts])

    async def of(self, project: str, name: str, references: ImageReferences) -> tuple[StoredImage, ...]:
        """The images of a project, or of its repository `name`. Raises Problem."""
        require(self.storage)
        try:
            return await asyncio.to_thread(self._read, project, name, references)
        except OSError as failure:
            raise problems.unavailable(f"the folder of the image registry cannot be read: {failure}", 2.0) from None

    def _read(self, project: str, name: str, references: ImageReferences) -> tuple[StoredImage, ...]:
        repositories = (f"{project}/{name}",) if name else self.storage.repositories(project)
        found = (self._of_repository(self.storage.read(each), references.get(each, {})) for each in repositories)
        return tuple(image for images in found for image in images)

    def _of_repository(self, stored: StoredRepository, references: Mapping[str, tuple[str, ...]]) -> Iterator[StoredImage]:
        """Those with tags first. Images of an index stand only for themselves where something names them."""
        tags = tags_of(stored)
        inner = {part for digest in stored.manifests for part in unused_images.parts(self._manifest(digest))}
        untagged = (digest for digest, link in stored.manifests.items() if isinstance(link, Pushed) and digest not in inner)
        shown = {*(digest for digest in stored.manifests if digest in tags or digest in references), *untagged}
        for digest in sorted(
            shown, key=lambda digest: (not tags.get(digest), tags.get(digest, []), _age(stored.manifests[digest]))
        ):
            yield _image(stored, digest, tags.get(digest, ()), self._facts_of(stored, digest), references)

    def _facts_of(self, stored: StoredRepository, digest: str) -> _Facts:
        known = self._facts.get(digest)
        if known is None:
            manifest = self._manifest(digest)
            named = {part.digest for part in (*manifest.blobs, *manifest.manifests)}
            present = named & (stored.layers.keys() | stored.manifests.keys())  # a manifest may say any size of anything
            size = self.storage.size(digest) + sum(map(self.storage.size, present))
            config = manifest.config.digest if manifest.config else ""
            known = _Facts(size, self._created(config) if config in stored.layers else None)
            if len(self._facts) >= REMEMBERED:
                self._facts.clear()  # in one step, since lists are read in several threads
            self._facts[digest] = known
        return known

    def _manifest(self, digest: str) -> StoredManifest:
        """Anybody wrote it, so it may say nothing that can be read."""
        try:
            return self.manifests.read(digest)
        except ValueError:
            return StoredManifest()

    def _created(self, config: str) -> datetime | None:
        try:
            return msgspec.json.decode(self.storage.content(config), type=_ImageConfig).created
        except (ValueError, RecursionError):
            return None


def require(storage: RegistryStorage) -> None:
    """Raises Problem in a region without a registry of its own."""
    if not storage.configured:
        raise problems.wrong_state(
            "this region has no image registry of its own", "look into the registry that your administrators name"
        )


def tags_of(stored: StoredRepository) -> Mapping[str, Sequence[str]]:
    """Returns the tags by digest."""
    found = dict[str, list[str]]()
    for tag, digest in sorted(stored.tags.items()):
        if digest in stored.manifests:
            found.setdefault(digest, []).append(tag)
    return found


def _image(
    stored: StoredRepository, digest: str, tags: Sequence[str], facts: _Facts, references: Mapping[str, tuple[str, ...]]
) -> StoredImage:
    """A workload that names a tag without a digest uses what the tag points to."""
    link = stored.manifests[digest]
    by_digest = (ImageUser(name=who) for who in references.get(digest, ()))
    by_tag = (ImageUser(name=who, tag=tag) for tag in tags for who in references.get(tag, ()))
    return StoredImage(
        name=stored.name.partition("/")[2],
        image=f"{REGISTRY}/{stored.name}",
        digest=digest,
        tags=tuple(tags),
        size=facts.size,
        created=facts.created,
        pushed=datetime.fromtimestamp(link.at, UTC) if isinstance(link, Pushed) else None,
        deleted=isinstance(link, Released),
        used_by=(*by_digest, *by_tag),
    )


def _age(link: Link) -> tuple[bool, float]:
    """Sorts what was pushed last to the end, and what was deleted behind it."""
    return (False, link.at) if isinstance(link, Pushed) else (True, 0.0)

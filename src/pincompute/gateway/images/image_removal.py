"""Deletes tags and images of a project, unless a workload uses them, now or in a revision that it may be rolled back to.

Whoever asks, the gateway judges: the registry itself knows no workloads, so no token allows to delete there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pincompute.api.image_ownership import REGISTRY
from pincompute.gateway import problems
from pincompute.gateway.images import image_inventory, image_leases, unused_images
from pincompute.gateway.images.image_inventory import ImageInventory, ImageUser, StoredImage
from pincompute.gateway.images.image_leases import ImageLeases
from pincompute.gateway.images.image_references import ImageReferences
from pincompute.gateway.images.owner_files import OwnerFiles
from pincompute.gateway.images.registry_storage import RegistryStorage
from pincompute.gateway.images.stored_manifest import StoredManifests
from pincompute.gateway.problems import Problem

Uses: TypeAlias = Callable[[], Awaitable[ImageReferences]]
"""Asks what uses the images of a project."""


@dataclass(frozen=True, slots=True)
class NamedImages:
    """What somebody wants to delete: one tag, one digest, or without both all of a repository."""

    project: str
    name: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.project}/{self.name}"

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True, slots=True)
class RemovalTarget:
    """Some tags of an image alone, or the image (`whole`) with all the tags that it had when it was judged."""

    digest: str
    tags: tuple[str, ...]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class ImageRemoval:
    """`now` is in seconds since the epoch."""

    storage: RegistryStorage
    manifests: StoredManifests
    inventory: ImageInventory
    leases: ImageLeases
    owners: OwnerFiles
    now: Callable[[], float]

    async def remove(self, wanted: NamedImages, references: Uses, *, dry_run: bool) -> tuple[str, ...]:
        """The names of what is deleted. Raises Problem where nothing has the name, or something uses it.

        No write can begin to use an image between the judgement and the deletion.
        """
        image_inventory.require(self.storage)
        if dry_run:
            found = targets(await self.inventory.of(wanted.project, wanted.name, await references()), wanted)
        else:
            found = await self._remove(wanted, references)
        at = f"{REGISTRY}/{wanted.repository}"
        return tuple(name for each in found for name in _names(at, each))

    async def _remove(self, wanted: NamedImages, references: Uses) -> Sequence[RemovalTarget]:
        try:
            async with self.leases.excluded(wanted.project) as leased:
                known = image_leases.with_writes(await references(), leased)
                found = targets(await self.inventory.of(wanted.project, wanted.name, known), wanted)
                used = frozenset(known.get(wanted.repository, {}))
                await asyncio.to_thread(self._delete, wanted, found, used)
                return found
        except (OSError, ValueError) as failure:
            raise problems.unavailable(f"the folder of the image registry cannot be changed: {failure}", 2.0) from None

    def _delete(self, wanted: NamedImages, found: Sequence[RemovalTarget], used: frozenset[str]) -> None:
        """The tags first: an image without them is no longer pulled by name. What other images share stays.

        A push asks which blobs are present before it sends the others. While one may be under way, what it may have found
        stays until the collection.
        """
        repository = wanted.repository
        for each in found:
            for tag in each.tags:
                self.storage.remove_tag(repository, tag, each.digest)
        deleted = frozenset(each.digest for each in found if each.whole)
        freed = unused_images.freed(self.storage.read(repository), deleted, used, self.manifests.read)
        for remove, digest in (
            *((self.storage.remove_manifest, digest) for digest in freed.manifests),
            *((self.storage.remove_layer, digest) for digest in freed.layers),
        ):
            if not remove(repository, digest, lambda _: self.owners.is_pushing(wanted.project, self.now())):
                self.storage.release(repository, digest)


def _names(at: str, target: RemovalTarget) -> Iterator[str]:
    if target.whole:
        yield f"{at}@{target.digest}"
    else:
        yield from (f"{at}:{tag}" for tag in target.tags)


def targets(present: Sequence[StoredImage], wanted: NamedImages) -> Sequence[RemovalTarget]:
    """A tag beside others alone; otherwise whole images. Raises Problem."""
    chosen = _chosen(present, wanted)
    for image in chosen:
        if users := _needing(image, wanted):
            raise _in_use(wanted, users)
    if len(chosen) == 1 and _only_a_name(chosen[0], wanted):
        return (RemovalTarget(chosen[0].digest, (wanted.tag,), whole=False),)
    return tuple(RemovalTarget(image.digest, tuple(image.tags)) for image in chosen)


def _chosen(present: Sequence[StoredImage], wanted: NamedImages) -> Sequence[StoredImage]:
    found = [image for image in present if _is_of(image, wanted)]
    if not found:
        near = ", ".join(tag for image in present for tag in image.tags)
        tags = f"; its tags are {near}" if near else ""
        raise Problem("not-found", f"there is no image {wanted}{tags}", "`pin image list` shows the images of the project")
    return found


def _is_of(image: StoredImage, wanted: NamedImages) -> bool:
    return (not wanted.tag or wanted.tag in image.tags) and (not wanted.digest or wanted.digest == image.digest)


def _needing(image: StoredImage, wanted: NamedImages) -> Sequence[ImageUser]:
    """A tag beside others is only a name: the image stays under the others, and only those need it that name it alone."""
    if _only_a_name(image, wanted):
        return [each for each in image.used_by if each.tag == wanted.tag]
    return image.used_by


def _only_a_name(image: StoredImage, wanted: NamedImages) -> bool:
    return bool(wanted.tag) and not wanted.digest and len(image.tags) > 1


def _in_use(wanted: NamedImages, users: Sequence[ImageUser]) -> Problem:
    named = ", ".join(f"{each.name} by tag {each.tag}" if each.tag else each.name for each in users)
    again = "" if all(not each.tag for each in users) else "deploy it again, which pins its digest, or "
    remedy = f"{again}deploy another image, or delete what uses it; old revisions end with later deploys"
    return problems.wrong_state(f"{wanted} is in use: used by {named}", remedy)

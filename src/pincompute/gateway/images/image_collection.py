"""Collects the garbage of the region's registry while it runs: what no tag, workload or revision of a project uses.

A push under way is never cut. A client asks which blobs are present before it sends the others. So nothing of a project is
removed as long as somebody may hold a token to push to it, or an upload goes on. Contents that no repository names any more are
deleted ten minutes after they were written, and count for the project that removed them until then. One gateway of the machine
does this at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from pincompute.api.image_ownership import project_of
from pincompute.api.labels import HOST
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.images import image_leases, image_references, unused_images
from pincompute.gateway.images.image_leases import ImageLeases
from pincompute.gateway.images.image_references import ImageReferences
from pincompute.gateway.images.owner_files import PUSH, OwnerFiles
from pincompute.gateway.images.registry_storage import RegistryStorage
from pincompute.gateway.images.stored_manifest import StoredManifests
from pincompute.gateway.images.unused_images import Unused
from pincompute.gateway.problems import Problem

log = logging.getLogger(__name__)

UPLOAD = 3600.0  # seconds after the last bytes of an upload in which it may go on
CONTENT = PUSH  # seconds for which a content that no repository names stays: the registry names it moments after it is written


def freed_within(every: float) -> float:
    """Returns the seconds after which what was deleted is freed: a look takes it when no push needs it, another one sets its
    content aside, and the next deletes it.
    """
    return max(CONTENT, PUSH + every) + 2 * every


class ImageCollection:
    """`now` is in seconds since the epoch. `run` looks at all projects again and again, `every` so many seconds."""

    def __init__(
        self,
        reads: CacheReads,
        storage: RegistryStorage,
        owners: OwnerFiles,
        leases: ImageLeases,
        now: Callable[[], float],
        every: float,
    ) -> None:
        self._reads, self._storage, self._owners, self._now, self._every = reads, storage, owners, now, every
        self._leases = leases
        self._manifests = StoredManifests(storage)

    async def run(self) -> None:
        while self._storage.configured:
            await asyncio.sleep(self._every)
            try:
                await self.collect()
            except OSError as failure:
                log.warning("images that nothing uses are not collected now: %s", failure)
            except Exception:  # it must not keep the gateway from its work
                log.exception("images that nothing uses are not collected")

    async def collect(self) -> None:
        """One pass over all projects. Nothing of a project goes while it is not known what its workloads use."""
        with self._storage.locked() as alone:
            if not alone:
                return
            if self._reads.clusters.answers(HOST):
                await self._collect_projects()
            await asyncio.to_thread(self._storage.clear)
            freed = await asyncio.to_thread(self._storage.remove_blobs, self._now() - CONTENT)
            if freed:
                log.info("freed %d bytes of images that nothing uses", freed)

    async def _collect_projects(self) -> None:
        """One project of which something is not known keeps no other from its collection."""
        for project in await asyncio.to_thread(self._storage.projects):
            try:
                if project_of(f"{project}/any"):
                    await self._collect(project)
            except Problem as unknown:
                log.warning("images of project %s that nothing uses are not collected now: %s", project, unknown)

    async def _collect(self, project: str) -> None:
        """Asks the cache first, which costs nobody anything. What seems unused is judged again by what the API server itself
        has, while nobody can begin to use an image.
        """
        known = await image_references.of_project(self._reads, project)
        if not any(await asyncio.to_thread(self._unused, project, known)):
            return
        async with self._leases.excluded(project) as leased:
            used = image_leases.with_writes(await image_references.stored(self._reads, project), leased)
            await asyncio.to_thread(self._remove, project, used)

    def _unused(self, project: str, references: ImageReferences) -> Mapping[str, Unused]:
        """Returns what nothing uses, by repository. Nothing is unused in one that is pushed to or whose manifests nobody can
        read: what such a manifest names is not known.
        """
        now, found = self._now(), dict[str, Unused]()
        if self._owners.is_pushing(project, now):
            return found
        for name in self._storage.repositories(project):
            stored = self._storage.read(name)
            if stored.uploaded > now - UPLOAD:
                continue
            try:
                unused = unused_images.find(stored, references.get(name, {}).keys(), self._manifests.read, now)
            except ValueError as unreadable:
                log.warning("nothing of %s is collected: %s", name, unreadable)
                continue
            if unused != Unused():
                found[name] = unused
        return found

    def _remove(self, project: str, references: ImageReferences) -> None:
        now = self._now()

        def stays(written: float) -> bool:
            return written >= now - PUSH or self._owners.is_pushing(project, self._now())

        for name, unused in self._unused(project, references).items():
            for digest in unused.manifests:
                self._storage.remove_manifest(name, digest, stays)
            for digest in unused.layers:
                self._storage.remove_layer(name, digest, stays)
            for digest in unused.needed_again:
                self._storage.take_back(name, digest)

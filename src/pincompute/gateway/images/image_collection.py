"""Collects the garbage of the region's registry while it runs: what no tag, workload or revision of a project uses.

A push under way is never cut. A client asks which blobs are present before it sends the others. So nothing of a project is
removed as long as somebody may hold a token to push to it, or an upload goes on. Contents that no repository names any more are
deleted ten minutes after they were written, and count for the project that removed them until then. One gateway of the machine
does this at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from pincompute.api.image_ownership import project_of
from pincompute.api.labels import HOST
from pincompute.domain import registry_access
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.images import image_references, unused_images
from pincompute.gateway.images.image_references import ImageReferences
from pincompute.gateway.images.owner_files import OwnerFiles
from pincompute.gateway.images.registry_storage import RegistryStorage
from pincompute.gateway.images.stored_manifest import StoredManifests
from pincompute.gateway.problems import Problem

log = logging.getLogger(__name__)

PUSH = 2.0 * registry_access.LIFETIME  # seconds after a token to push was issued in which a push may be under way
UPLOAD = 3600.0  # seconds after the last bytes of an upload in which it may go on
CONTENT = PUSH  # seconds for which a content that no repository names stays: the registry names it moments after it is written


def freed_within(every: float) -> float:
    """Returns the seconds after which what was removed is freed: one look sets it aside, and the next deletes it."""
    return CONTENT + 2 * every


class ImageCollection:
    """`now` is in seconds since the epoch. `run` looks at all projects again and again, `every` so many seconds."""

    def __init__(
        self, reads: CacheReads, storage: RegistryStorage, owners: OwnerFiles, now: Callable[[], float], every: float
    ) -> None:
        self._reads, self._storage, self._owners, self._now, self._every = reads, storage, owners, now, every
        self._manifests = StoredManifests(storage)

    async def run(self) -> None:
        while self._storage.configured:
            await asyncio.sleep(self._every)
            try:
                await self.collect()
            except (OSError, Problem) as failure:
                log.warning("images that nothing uses are not collected now: %s", failure)
            except Exception:  # it must not keep the gateway from its work
                log.exception("images that nothing uses are not collected")

    async def collect(self) -> None:
        """One pass over all projects. Raises Problem while it is not known what workloads use."""
        with self._storage.locked() as alone:
            if not alone:
                return
            for project in await asyncio.to_thread(self._storage.projects):
                if project_of(f"{project}/any") and self._reads.clusters.answers(HOST):
                    references = await image_references.of_project(self._reads, project)
                    await asyncio.to_thread(self._collect_project, project, references)
            await asyncio.to_thread(self._storage.clear)
            freed = await asyncio.to_thread(self._storage.remove_blobs, self._now() - CONTENT)
            if freed:
                log.info("freed %d bytes of images that nothing uses", freed)

    def _collect_project(self, project: str, references: ImageReferences) -> None:
        for name in self._storage.repositories(project):
            try:
                self._collect(project, name, references.get(name, {}).keys())
            except ValueError as unreadable:
                log.warning("nothing of %s is collected: %s", name, unreadable)

    def _collect(self, project: str, name: str, used: Collection[str]) -> None:
        """Raises ValueError for a manifest that cannot be read: what it names is not known."""
        now, stored = self._now(), self._storage.read(name)
        if stored.uploaded > now - UPLOAD:
            return
        unused = unused_images.find(stored, used, self._manifests.read, now)
        for remove, digest in (
            *((self._storage.remove_manifest, digest) for digest in unused.manifests),
            *((self._storage.remove_layer, digest) for digest in unused.layers),
        ):
            if self._owners.pushed(project) > now - PUSH:
                return
            remove(name, digest, now - PUSH)

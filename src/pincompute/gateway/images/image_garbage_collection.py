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
from dataclasses import dataclass

from pincompute.api.image_ownership import project_of
from pincompute.api.labels import HOST
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.images import image_leases, image_references, owner_files, unused_images
from pincompute.gateway.images.image_leases import ImageLeases
from pincompute.gateway.images.image_references import ImageReferences
from pincompute.gateway.images.owner_files import PUSH, OwnerFiles
from pincompute.gateway.images.registry_storage import RegistryStorage
from pincompute.gateway.images.stored_manifest import StoredManifests
from pincompute.gateway.images.unused_images import Unused
from pincompute.gateway.problems import Problem

log = logging.getLogger(__name__)

UPLOAD = 3600.0  # seconds after the last bytes of an upload in which it may go on
SWEEP = 600.0  # seconds between two looks at everything; in between, at what was pushed to or removed since
CONTENT = PUSH  # seconds for which a content that no repository names stays: the registry names it moments after it is written


@dataclass(frozen=True, slots=True)
class _Garbage:
    """What nothing uses, by repository, and whether some repository could not be judged now."""

    unused: Mapping[str, Unused]
    held_back: bool


def freed_within(every: float) -> float:
    """Returns the seconds after which what was deleted is freed: a look takes it when no push needs it, another one sets its
    content aside, and the next deletes it.
    """
    return max(CONTENT, PUSH + every) + 2 * every


class ImageGarbageCollector:
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
        self._idle = dict[str, float]()  # projects without garbage, and when somebody last got a token to push then
        self._swept = float("-inf")
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
        """One pass over the projects that may have garbage since the last one, and every SWEEP seconds over all.

        Nothing of a project goes while it is not known what its workloads use.
        """
        with self._storage.locked() as alone:
            if not alone:
                return
            sweeps = self._now() >= self._swept + SWEEP
            if sweeps:
                self._swept = self._now()
                self._idle.clear()
            if self._reads.clusters.answers(HOST):
                await self._collect_projects()
            cleared, before = await asyncio.to_thread(self._storage.clear), self._now() - CONTENT
            if not (sweeps or cleared or await asyncio.to_thread(self._storage.may_free, before)):
                return
            if freed := await asyncio.to_thread(self._storage.remove_blobs, before):
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
        pushed = await asyncio.to_thread(self._owners.pushed, project)
        if self._idle.get(project) == pushed or owner_files.may_push(pushed, self._now()):
            return
        known = await image_references.of_project(self._reads, project)
        found = await asyncio.to_thread(self._unused, project, known)
        if not found.unused:
            if not found.held_back:
                self._idle[project] = pushed
            return
        async with self._leases.excluded(project) as leased:
            used = image_leases.with_writes(await image_references.stored(self._reads, project), leased)
            await asyncio.to_thread(self._remove, project, used)

    def _unused(self, project: str, references: ImageReferences) -> _Garbage:
        """Finds what nothing uses. Nothing is unused in a repository that is pushed to or whose manifests nobody can read: what
        such a manifest names is not known.
        """
        now, found, held_back = self._now(), dict[str, Unused](), False
        for name in self._storage.repositories(project):
            stored = self._storage.read(name)
            if stored.uploaded > now - UPLOAD:
                held_back = True
                continue
            try:
                unused = unused_images.find(stored, references.get(name, {}).keys(), self._manifests.read, now)
            except ValueError as unreadable:
                log.warning("nothing of %s is collected: %s", name, unreadable)
                continue
            if unused != Unused():
                found[name] = unused
        return _Garbage(found, held_back)

    def _remove(self, project: str, references: ImageReferences) -> None:
        now = self._now()

        def stays(written: float) -> bool:
            return written >= now - PUSH or self._owners.is_pushing(project, self._now())

        for name, unused in self._unused(project, references).unused.items():
            for digest in unused.manifests:
                self._storage.remove_manifest(name, digest, stays)
            for digest in unused.layers:
                self._storage.remove_layer(name, digest, stays)
            for digest in unused.needed_again:
                self._storage.take_back(name, digest)

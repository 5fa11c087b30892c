"""Keeps the images of a write from deletion until the workload is stored, with a lease for each write.

A write first asks the registry which digest a tag has and then stores it, and in between no workload names the image. So the
write takes a lease on what it will store, looks whether it is still there, and holds the lease until the host has stored the
workload. Who deletes excludes new leases of the project meanwhile, and reads what workloads use after the leases.

The leases are files in the registry's folder, so all gateways of its machine share them. Without a folder nobody deletes.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from pincompute.api.image_ownership import project_of
from pincompute.gateway import problems
from pincompute.gateway.images.image_references import ImageReferences
from pincompute.gateway.images.registry_storage import OWN, RegistryStorage

log = logging.getLogger(__name__)

LONGEST = 300.0  # seconds for which a lease counts: no write takes as long, so its gateway has ended
PATIENCE = 10.0  # seconds for which a write waits while somebody deletes, and who deletes for writes
POLL = 0.05  # seconds between two looks at the lock
WRITE = "a deploy that is under way"
_LOCK = "lock"

Leased: TypeAlias = Mapping[str, Collection[str]]
"""Versions (a digest, or a tag that is not resolved) by repository."""


@dataclass(frozen=True, slots=True)
class ImageLeases:
    """`now` is in seconds since the epoch."""

    storage: RegistryStorage
    now: Callable[[], float] = time.time

    @asynccontextmanager
    async def taken(self, wanted: Iterable[tuple[str, str]]) -> AsyncGenerator[frozenset[tuple[str, str]]]:
        """Leases repositories with versions until the end of the block, and yields those whose digest is gone already."""
        own = frozenset((name, version) for name, version in wanted if project_of(name))
        if not self.storage.configured or not own:
            yield frozenset()
            return
        files = list[Path]()
        try:
            for project in sorted({project_of(name) for name, _ in own}):
                files += await self._lease(project, [pair for pair in own if project_of(pair[0]) == project])
            yield await asyncio.to_thread(self._gone, own)
        finally:
            await asyncio.to_thread(_unlink, files)

    @asynccontextmanager
    async def excluded(self, project: str) -> AsyncGenerator[Leased]:
        """Excludes new leases of the project until the end of the block, and yields what is leased. Raises Problem."""
        folder = self._folder(project)
        with await self._locked(folder, fcntl.LOCK_EX):
            yield await asyncio.to_thread(self._leased, folder)

    async def _lease(self, project: str, own: Iterable[tuple[str, str]]) -> Sequence[Path]:
        """Returns the file of the lease. A disk that is full, for example with images, prevents no deploy."""
        folder = self._folder(project)
        file = folder / secrets.token_hex(16)
        try:
            with await self._locked(folder, fcntl.LOCK_SH):
                await asyncio.to_thread(file.write_text, "\n".join(f"{name} {version}" for name, version in own))
        except OSError as failure:
            log.warning("images of project %s have no lease while a workload is written: %s", project, failure)
        return (file,)

    async def _locked(self, folder: Path, how: int) -> IO[str]:
        """Returns the lock, which whoever closes it releases. No thread waits for it, since its holder may need one."""
        for _ in range(int(PATIENCE / POLL)):
            if (held := await asyncio.to_thread(_lock, folder, how)) is not None:
                return held
            await asyncio.sleep(POLL)
        raise problems.unavailable(f"images of project {folder.name} are deleted just now", 2.0)

    def _leased(self, folder: Path) -> Leased:
        """Forgets the leases of gateways that ended in a write."""
        found = dict[str, set[str]]()
        for file in folder.iterdir():
            if file.name == _LOCK:
                continue
            try:
                if file.stat().st_mtime < self.now() - LONGEST:
                    file.unlink(missing_ok=True)
                    continue
                lines = file.read_text().splitlines()
            except FileNotFoundError:
                continue
            for line in lines:
                name, _, version = line.partition(" ")
                found.setdefault(name, set()).add(version)
        return found

    def _gone(self, own: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        return frozenset(each for each in own if ":" in each[1] and not self.storage.has(*each))

    def _folder(self, project: str) -> Path:
        return self.storage.folder / OWN / "leases" / project


def with_writes(references: ImageReferences, leased: Leased) -> ImageReferences:
    """Counts the writes that hold leases among what uses images."""
    found = {name: dict(used) for name, used in references.items()}
    for name, versions in leased.items():
        used = found.setdefault(name, {})
        for version in versions:
            used[version] = (*used.get(version, ()), WRITE)
    return found


def _lock(folder: Path, how: int) -> IO[str] | None:
    """Returns None while others hold the lock."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = (folder / _LOCK).open("w")
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _unlink(files: Iterable[Path]) -> None:
    """A lease that stays ends by its age."""
    for file in files:
        with suppress(OSError):
            file.unlink()

"""Adds up how many bytes the images of a project take in the region's registry, each content once.

All counts that the registry stores for the project: images with and without a tag, blobs that no image names, started uploads,
and what was deleted until the collection has freed it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pincompute.gateway.images.registry_storage import ImageBytes, RegistryStorage

log = logging.getLogger(__name__)

FRESH = 10.0  # seconds for which a sum counts
PATIENCE = 3.0  # seconds for which a request waits for a sum
REMEMBERED = 50_000  # projects


@dataclass(frozen=True, slots=True)
class _StoredSum:
    value: ImageBytes
    until: float  # when another sum is due


@dataclass(slots=True)
class StoredBytes:
    """`now` is monotonic. `freed_within`: seconds after which what was removed counts no more. A sum that takes longer than a
    request waits goes on, and the next request has it. Until then the last sum counts, however old it is.
    """

    storage: RegistryStorage
    freed_within: float = 0.0
    now: Callable[[], float] = time.monotonic
    _sums: dict[str, _StoredSum] = field(default_factory=dict[str, _StoredSum])
    _under_way: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, "asyncio.Task[None]"])

    async def of(self, project: str) -> ImageBytes | None:
        """Returns the bytes; None where no sum is known yet, because the folder cannot be read, or not in time."""
        known = self._sums.get(project)
        if known is not None and self.now() < known.until:
            return known.value
        if not self.storage.configured:
            return None
        adding = self._under_way.get(project)
        if adding is None:
            adding = self._under_way[project] = asyncio.create_task(self._add_up(project))
            adding.add_done_callback(lambda _: self._under_way.pop(project, None))
        await asyncio.wait((adding,), timeout=PATIENCE)
        found = self._sums.get(project)
        return found.value if found is not None else None

    def outdate(self, project: str) -> None:
        """Asks for another sum, because something of the project was deleted."""
        if (known := self._sums.get(project)) is not None:
            self._sums[project] = _StoredSum(known.value, self.now())

    async def close(self) -> None:
        for task in tuple(self._under_way.values()):
            task.cancel()

    async def _add_up(self, project: str) -> None:
        """A sum outlives failures: who may push must not depend on whether the folder can be read."""
        try:
            value = await asyncio.to_thread(self.storage.stored_bytes, project)
        except OSError as failure:
            log.warning("the images of project %s cannot be added up: %s", project, failure)
            return
        if len(self._sums) >= REMEMBERED:
            self._sums.pop(next(iter(self._sums)))
        self._sums[project] = _StoredSum(value, self.now() + FRESH)

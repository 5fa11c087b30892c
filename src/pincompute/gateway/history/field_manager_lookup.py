"""Looks up which program changed a workload when no annotation on the object says who did.

Only an object that is applied on the server's side still carries the record of field managers. The API server is asked once per
change, after the revision is recorded, so that history does not wait for it. The record that
knows the program then replaces the one that did not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec import MsgspecError
from msgspec.structs import replace

from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Resource
from pincompute.gateway import NAME
from pincompute.kube import field_managers
from pincompute.kube.api_errors import KubeError
from pincompute.kube.cache_views import Unknown
from pincompute.kube.cluster_set import Clusters
from pincompute.store.records import RevisionRecord

log = logging.getLogger(__name__)

WAITING = 1000  # changes that wait for a lookup; the program of more at once stays unknown


@dataclass(slots=True)
class FieldManagerLookup:
    """`record` receives each revision a second time, with the program that wrote it."""

    clusters: Clusters
    record: Callable[[RevisionRecord], None]
    _asked: asyncio.Queue[tuple[Resource[Any], RevisionRecord]] = field(init=False)

    def __post_init__(self) -> None:
        self._asked = asyncio.Queue(WAITING)

    def ask(self, resource: Resource[Any], revision: RevisionRecord) -> None:
        if not self._asked.full():
            self._asked.put_nowait((resource, revision))

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            resource, revision = await self._asked.get()
            try:
                found = await field_managers.of_spec(
                    self.clusters.client(HOST), resource, Key(revision.project, revision.name), revision.generation
                )
            except (KubeError, Unknown, MsgspecError) as error:
                log.debug("the program of a change is not known", extra={"problem": str(error)})
                continue
            if found not in ("", NAME):
                self.record(replace(revision, manager=found))

"""Who changed a workload past the gateway is not known, but with which program: the API server is asked, once a change.

The surprising rule: it is asked after the revision is recorded, so that history waits for nobody; a record that knows more
takes the place of the one that knew less.
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

WAITING = 1000  # changes whose program is still to be asked for; of more at once it stays unknown


@dataclass(slots=True)
class AuthorLookup:
    """`record` takes each revision again, with its program."""

    clusters: Clusters
    record: Callable[[RevisionRecord], None]
    _asked: asyncio.Queue[tuple[Resource[Any], RevisionRecord]] = field(init=False)

    def __post_init__(self) -> None:
        self._asked = asyncio.Queue(WAITING)

    def ask(self, resource: Resource[Any], revision: RevisionRecord) -> None:
        if not self._asked.full():
            self._asked.put_nowait((resource, revision))

    async def run(self) -> None:
        """Until cancelled."""
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

"""Runs the connection to one cluster: its client, its caches, and the probe of whether it answers.

Every part runs independently: a kind that cannot sync stops no other kind (S-011), a cluster that hangs stops no other cluster
(S-014), and everything ends with the one task that runs it (S-015).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pincompute.api.meta import Resource
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import Forbidden, KubeError
from pincompute.kube.cached_writer import CachedWriter
from pincompute.kube.informer import Informer


@dataclass(frozen=True, slots=True)
class Liveness:
    """Times in seconds. A cluster is silent when nothing came from it for `patience`; after a failure it is probed more
    often. Within `start` a process that has just started asks every cluster whether it answers.
    """

    every: float = 5.0
    again: float = 1.0
    deadline: float = 2.5
    patience: float = 10.0
    start: float = 3.0


@dataclass(slots=True)
class ClusterConnection:
    """The connection. It calls `on_contact` when contact is made, lost, or made again."""

    client: ApiClient
    caches: Mapping[Resource[Any], Informer[Any]]
    liveness: Liveness
    on_contact: Callable[[], None]
    writer: CachedWriter = field(init=False)
    trouble: str = field(default="has not answered yet", init=False)  # why the last probe failed; empty when it did not
    asked: bool = field(default=False, init=False)  # the first probe has come to something
    _answered: float = field(default=float("-inf"), init=False)
    _was_reachable: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.writer = CachedWriter(self.client, self.caches)

    @property
    def reachable(self) -> bool:
        """Returns whether something came from the cluster lately: an answer to the probe, or anything on a watch."""
        received_at = max(self._answered, *(cache.last_contact for cache in self.caches.values()), float("-inf"))
        return self.client.clock.monotonic() - received_at <= self.liveness.patience

    async def run(self) -> None:
        """Runs until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._probe(), name=f"probe {self.client.name}")
                for resource, cache in self.caches.items():
                    group.create_task(cache.run(), name=f"watch {resource} of {self.client.name}")
        finally:
            await self.client.close()

    async def _probe(self) -> None:
        while True:
            before = self.trouble
            await self._ask()
            if before and not self.trouble:
                for cache in self.caches.values():
                    cache.nudge()
            if self.reachable != self._was_reachable or not self.asked:
                self._was_reachable, self.asked = self.reachable, True
                self.on_contact()
            await self.client.clock.sleep(self.liveness.again if self.trouble else self.liveness.every)

    async def _ask(self) -> None:
        try:
            await self.client.probe(self.liveness.deadline)
        except Forbidden:
            self.trouble = ""  # it knows us and answers
        except KubeError as error:
            self.trouble = error.message
        else:
            self.trouble = ""
        if not self.trouble:
            self._answered = self.client.clock.monotonic()

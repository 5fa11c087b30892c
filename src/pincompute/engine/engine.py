"""The engine: it runs controllers over the clusters of one process."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from pincompute.engine import reconciler
from pincompute.engine.controller import AnyKey, Controller
from pincompute.engine.external_inputs import ExternalInputs, Pollers
from pincompute.engine.interfaces import ConnectedClusters, Unfenced, WriteLease
from pincompute.engine.metrics import Metrics
from pincompute.engine.worker import OnTrouble, Worker, ignore_trouble


def utcnow() -> datetime:
    return datetime.now(UTC)


class Engine:
    """Runs controllers over the clusters of one process until it is cancelled."""

    def __init__(
        self,
        controllers: Iterable[Controller[Any, Any]],
        clusters: ConnectedClusters,
        lease: WriteLease | None = None,
        *,
        concurrency: int = 16,
        metrics: Metrics | None = None,
        on_trouble: OnTrouble = ignore_trouble,
        now: Callable[[], datetime] = utcnow,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        pollers: Pollers | None = None,
    ) -> None:
        """`concurrency` is how many keys each controller reconciles at the same time; `clock` is monotonic seconds."""
        self.metrics = metrics or Metrics()
        self._clusters = clusters
        self._lease = lease or Unfenced()
        self._concurrency = concurrency
        inputs = ExternalInputs(pollers or {}, clock)
        executor = reconciler.PlanExecutor(clusters, self._lease)
        self._workers = [
            Worker(controller, clusters, executor, self.metrics, on_trouble, now, clock, rng or random.Random(), inputs)  # noqa: S311 - jitter
            for controller in controllers
        ]
        for worker in self._workers:
            worker.listen()

    async def run(self) -> None:
        """Reconciles keys while the lease is held; caches keep filling the queues while it is not."""
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                for n in range(self._concurrency):
                    group.create_task(worker.run(self._lease, group), name=f"{worker.card.name}-{n}")

    @property
    def idle(self) -> bool:
        """Returns whether no key is ready or being reconciled, and no contact events are being gathered."""
        return all(worker.idle for worker in self._workers)

    def enqueue(self, controller: str, key: AnyKey) -> None:
        """Queues a key from outside, as an event would."""
        for worker in self._workers:
            if worker.card.name == controller:
                worker.queue.add(key)

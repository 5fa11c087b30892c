"""Runs a server process from start to orderly end: clusters, engine, lease and health port.

SIGTERM and SIGINT end it: the engine stops reconciling, the process releases its lease so that a successor need not wait, and
connections close.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pincompute.api.labels import SYSTEM_NAMESPACE
from pincompute.api.meta import Key
from pincompute.engine import health_endpoints, input_pollers
from pincompute.engine.controller import Controller
from pincompute.engine.engine import Engine
from pincompute.engine.input_pollers import HttpEndpoint
from pincompute.engine.metrics import Metrics
from pincompute.engine.worker import OnTrouble, ignore_trouble
from pincompute.kube.cache_views import Unknown
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.kube.leader_election import LeaderElection, identity

log = logging.getLogger(__name__)

Alongside = Callable[[Clusters], Awaitable[None]]
"""Something of the process's own that runs beside the engine for as long as it does."""


async def nothing_alongside(_clusters: Clusters) -> None:
    return


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """Runs one process. `home` names the cluster (labels.HOST or labels.LOCAL) that holds the lease and must be synced to be
    ready. `prometheus` answers the metric queries of its controllers, `notifications` takes their events, and `hooks` are those
    that they may call, by name.
    """

    name: str
    home: str
    config: ClusterConfig
    port: int
    controllers: Iterable[Controller[Any, Any]]
    alongside: Alongside = nothing_alongside
    on_trouble: OnTrouble = ignore_trouble
    prometheus: HttpEndpoint | None = None
    notifications: HttpEndpoint | None = None
    hooks: Mapping[str, HttpEndpoint] = field(default_factory=dict[str, HttpEndpoint])

    async def run(self, clusters: Clusters) -> None:
        """Runs until it is stopped. `clusters` already knows what to watch beyond what the cards declare."""
        metrics = Metrics()
        stop = stopping()
        async with clusters, input_pollers.over_http(self.prometheus, self.notifications, self.hooks) as asked:
            lease = _DeferredLease(clusters, self.home, Key(SYSTEM_NAMESPACE, self.name))
            engine = Engine(self.controllers, clusters, lease, metrics=metrics, on_trouble=self.on_trouble, pollers=asked)
            await clusters.add(self.home, self.config)
            lease.connect()
            async with (
                health_endpoints.serve(metrics.registry, self.port, lambda: _missing(clusters, self.home)),
                asyncio.TaskGroup() as group,
            ):
                tasks = [group.create_task(part) for part in (lease.run(), engine.run(), _await(self.alongside(clusters)))]
                log.info("started", extra={"what": self.name, "pid": os.getpid()})
                await stop.wait()
                log.info("stopping", extra={"what": self.name})
                for task in tasks:
                    task.cancel()


async def _await(something: Awaitable[None]) -> None:
    await something


class _DeferredLease:
    """Defers the lease: the engine is built before the cluster of the lease is connected, because listeners must be there
    first.
    """

    def __init__(self, clusters: Clusters, home: str, key: Key) -> None:
        self._clusters, self._home, self._key = clusters, home, key
        self._lease: LeaderElection | None = None

    def connect(self) -> None:
        client = self._clusters.client(self._home)
        self._lease = LeaderElection(client, self._key, identity(), on_acquired=self._clusters.doubt)

    def remaining(self) -> float:
        return self._lease.remaining() if self._lease else 0.0

    async def held(self) -> None:
        assert self._lease is not None  # noqa: S101 - the engine runs after connect()
        await self._lease.held()

    async def run(self) -> None:
        assert self._lease is not None  # noqa: S101
        await self._lease.run()


def stopping() -> asyncio.Event:
    """Returns an event that is set when the process is asked to end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _missing(clusters: Clusters, home: str) -> tuple[str, ...]:
    try:
        clusters.client(home)
    except Unknown as unknown:
        return (str(unknown),)
    return () if clusters.answers(home) else (f"contact with {home}: {clusters.trouble(home)}",)

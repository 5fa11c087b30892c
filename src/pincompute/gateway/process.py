"""The gateway process: what it watches, what it serves, and in which order it starts and ends.

Stateless but for its store and its audit log: any number of gateways may serve one region.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from pincompute import __version__
from pincompute.api.labels import HOST
from pincompute.engine import health
from pincompute.engine.metrics import Metrics
from pincompute.engine.process import stopping
from pincompute.gateway import NAME, server
from pincompute.gateway.composition import Composition, compose
from pincompute.gateway.insight import Figures
from pincompute.gateway.model import KINDS, Kinds
from pincompute.gateway.settings import Settings
from pincompute.kube import config
from pincompute.kube.clusters import Clusters
from pincompute.kube.membership import Membership

log = logging.getLogger(__name__)


async def run(kubeconfig: Path, context: str, settings: Settings, port: int, kinds: Kinds = KINDS) -> None:
    """Until told to end. `port` is of /livez, /readyz and /metrics. Raises ConfigError for an unusable kubeconfig."""
    host = config.load(kubeconfig, context)
    clusters = Clusters(user_agent=f"{NAME}/{__version__}")
    membership = Membership(clusters, process="gateway")
    metrics = Metrics()
    stop = stopping()
    async with compose(settings, clusters, kinds) as parts, clusters:
        Figures(metrics.registry, parts.recorder, parts.store)
        await clusters.add(HOST, host)
        async with health.serve(metrics.registry, port, parts.missing), asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in (membership.run(), *parts.background(), _serve(parts))]
            log.info("started", extra={"what": NAME, "pid": os.getpid(), "listens": parts.address})
            await stop.wait()
            log.info("stopping", extra={"what": NAME})
            for task in tasks:
                task.cancel()


async def _serve(parts: Composition) -> None:
    await server.serve(server.make(parts.app, parts.settings))

"""Runs the gateway's process: what it watches, what it serves, and the order in which it starts and ends.

It is stateless but for its store and its audit log, so any number of gateways may serve one region.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from pincompute import __version__
from pincompute.api.labels import GATEWAY, HOST
from pincompute.engine import health_endpoints
from pincompute.engine.metrics import Metrics
from pincompute.engine.server_process import stopping
from pincompute.gateway import NAME, http_server
from pincompute.gateway.composition import Composition, compose
from pincompute.gateway.gateway_settings import GatewaySettings
from pincompute.gateway.history import HistoryMetrics
from pincompute.gateway.model import KINDS, SimpleKinds
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.kubeconfig import load as load_kubeconfig
from pincompute.kube.member_connections import MemberConnections

log = logging.getLogger(__name__)


async def run(kubeconfig: Path, context: str, settings: GatewaySettings, port: int, kinds: SimpleKinds = KINDS) -> None:
    """Runs until a signal ends it. `port` is of /livez, /readyz and /metrics. Raises ConfigError for an unusable kubeconfig."""
    host = load_kubeconfig(kubeconfig, context)
    clusters = Clusters(user_agent=f"{NAME}/{__version__}")
    membership = MemberConnections(clusters, GATEWAY)
    metrics = Metrics()
    stop = stopping()
    async with compose(settings, clusters, kinds) as parts, clusters:
        HistoryMetrics(metrics.registry, parts.recorder, parts.store)
        await clusters.add(HOST, host)
        async with health_endpoints.serve(metrics.registry, port, parts.missing), asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in (membership.run(), *parts.background(), _serve(parts))]
            log.info("started", extra={"what": NAME, "pid": os.getpid(), "listens": parts.address})
            await stop.wait()
            log.info("stopping", extra={"what": NAME})
            parts.permissions.stopping.set()
            for task in tasks:
                task.cancel()


async def _serve(parts: Composition) -> None:
    await http_server.make(parts.app, parts.settings).serve()

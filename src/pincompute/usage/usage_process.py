"""The usage reader's process: it watches the nodes of its member, reads their kubelets, and serves the figures.

It is a process of its own, because every kubelet that it reads gets to know its token: that token opens nothing but metrics.
It writes nothing and keeps nothing on disk, so any number of readers may serve one member.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pincompute import __version__
from pincompute.api.labels import LOCAL
from pincompute.api.usage import KUBELET_NODES, KubeletNode, UsageReport
from pincompute.engine import health_endpoints
from pincompute.engine.metrics import Metrics
from pincompute.engine.server_process import stopping
from pincompute.kube.cache_views import Unknown
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.credentials import ApiCredentials
from pincompute.kube.kubeconfig import ConfigError
from pincompute.kube.kubeconfig import load as load_kubeconfig
from pincompute.usage import kubelet_client, usage_server
from pincompute.usage.caller_review import CallerReview
from pincompute.usage.node_figures import NodeFigures
from pincompute.usage.reading_loop import AT_ONCE, PERIOD, ReadingLoop, ReadingMetrics

NAME = "pincompute-usage"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UsageSettings:
    """`kubelet_authority` is a PEM file, where it is not the authority of the API server."""

    kubeconfig: Path
    context: str
    address: str
    port: int
    certificate: Path
    key: Path
    kubelet_authority: Path | None = None
    health: int = 0


def settings(
    kubeconfig: Path, context: str, listen: str, certificate: Path, key: Path, kubelet_authority: Path | None, health: int
) -> UsageSettings:
    """Raises ConfigError for an address that is none."""
    address, _, port = listen.rpartition(":")
    if not address or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"--listen {listen}: expected ADDRESS:PORT, such as 127.0.0.1:8445 or [::]:8445")
    return UsageSettings(kubeconfig, context, address.strip("[]"), int(port), certificate, key, kubelet_authority, health)


async def run(settings: UsageSettings) -> None:
    """Runs until a signal ends it. Raises ConfigError when a file cannot be used."""
    local = load_kubeconfig(settings.kubeconfig, settings.context)
    towards_nodes = dataclasses.replace(local, ca=settings.kubelet_authority or local.ca, server="https://", server_name="")
    try:
        context = usage_server.tls(settings.certificate, settings.key)
    except OSError as error:
        raise ConfigError(f"certificate {settings.certificate} with key {settings.key}: cannot be used: {error}") from error
    clusters = Clusters(user_agent=f"{NAME}/{__version__}")
    clusters.declare("local", KUBELET_NODES)
    metrics, stop = Metrics(), stopping()
    async with clusters, kubelet_client.connect(ApiCredentials(towards_nodes), AT_ONCE) as kubelets:
        await clusters.add(LOCAL, local)
        loop = ReadingLoop(kubelets, NodeFigures(PERIOD), lambda: _nodes_or_none(clusters), ReadingMetrics(metrics.registry))

        def report(namespace: str) -> UsageReport:
            loop.ask()
            return loop.figures.report(nodes(clusters), namespace)

        served = usage_server.application(CallerReview(lambda: clusters.client(LOCAL)), report)
        async with (
            usage_server.serve(served, settings.address, settings.port, context),
            health_endpoints.serve(metrics.registry, settings.health, lambda: _missing(clusters)),
            asyncio.TaskGroup() as group,
        ):
            reading = group.create_task(loop.run())
            log.info("started", extra={"what": NAME, "pid": os.getpid()})
            await stop.wait()
            log.info("stopping", extra={"what": NAME})
            reading.cancel()


def nodes(clusters: Clusters) -> Sequence[KubeletNode]:
    """The present nodes. Raises Unknown before they are known."""
    return sorted(clusters.view(LOCAL, KUBELET_NODES).list(), key=lambda node: node.metadata.name)


def _nodes_or_none(clusters: Clusters) -> Sequence[KubeletNode]:
    try:
        return nodes(clusters)
    except Unknown:
        return ()


def _missing(clusters: Clusters) -> tuple[str, ...]:
    try:
        clusters.view(LOCAL, KUBELET_NODES)
    except Unknown as unknown:
        return (str(unknown),)
    return ()

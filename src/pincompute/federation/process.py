"""The federation process: which controllers run, and what they watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pincompute import __version__
from pincompute.api.labels import HOST
from pincompute.engine.controller import Controller
from pincompute.engine.process import Process
from pincompute.engine.refusals import Refusals
from pincompute.federation import health, projects, removal, sweep
from pincompute.federation.scheduling import pool, queues
from pincompute.federation.workload import controller as workload
from pincompute.kube import config
from pincompute.kube.clusters import Clusters
from pincompute.kube.membership import Membership

NAME = "pincompute-federation"


def controllers(refusals: Refusals) -> tuple[Controller[Any, Any], ...]:
    """All that runs on the host. The engine has to tell `refusals` about troubles."""
    return (
        projects.CONTROLLER,
        pool.CONTROLLER,
        *workload.controllers(refusals),
        health.CONTROLLER,
        removal.CONTROLLER,
        sweep.CONTROLLER,
    )


CONTROLLERS = controllers(Refusals())


async def run(kubeconfig: Path, context: str, port: int) -> None:
    """Run until told to end. Raises ConfigError when the kubeconfig cannot be used."""
    host = config.load(kubeconfig, context)
    clusters = Clusters(user_agent=f"{NAME}/{__version__}")
    for resource, indexes in (*queues.INDEXES.items(), *workload.INDEXES.items()):
        clusters.declare("host", resource, indexes)
    membership = Membership(clusters)
    refusals = Refusals()
    process = Process(
        NAME, HOST, host, port, controllers(refusals), lambda _clusters: membership.run(), on_trouble=refusals.note
    )
    await process.run(clusters)

"""The federation process: which controllers run, and what they watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pincompute import __version__
from pincompute.api.kinds import KINDS
from pincompute.api.labels import HOST
from pincompute.engine.controller import Controller
from pincompute.engine.process import Process
from pincompute.federation import health, projects, removal, scheduling, sweep, workload
from pincompute.kube import config
from pincompute.kube.clusters import Clusters
from pincompute.kube.membership import Membership

NAME = "pincompute-federation"

CONTROLLERS: tuple[Controller[Any, Any], ...] = (
    projects.CONTROLLER,
    scheduling.CONTROLLER,
    *workload.CONTROLLERS,
    health.CONTROLLER,
    removal.CONTROLLER,
    sweep.CONTROLLER,
)


async def run(kubeconfig: Path, context: str, port: int) -> None:
    """Run until told to end. Raises ConfigError when the kubeconfig cannot be used."""
    host = config.load(kubeconfig, context)
    clusters = Clusters(user_agent=f"{NAME}/{__version__}")
    for kind in KINDS:
        clusters.declare("host", kind.workload, {"tier": lambda obj: (obj.spec.tier,)})
    for resource, indexes in (*workload.INDEXES.items(), *removal.INDEXES.items()):
        clusters.declare("host", resource, indexes)
    membership = Membership(clusters)
    await Process(NAME, HOST, host, port, CONTROLLERS, lambda _clusters: membership.run()).run(clusters)

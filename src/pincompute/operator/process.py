"""The operator process: which controllers run in a member, and what they watch there."""

from __future__ import annotations

from pathlib import Path

from pincompute import __version__
from pincompute.api.labels import LOCAL
from pincompute.engine.process import Process
from pincompute.engine.refusals import Refusals
from pincompute.kube import config
from pincompute.kube.clusters import Clusters
from pincompute.operator import capacity
from pincompute.operator.replicas import controller as replicas

NAME = "pincompute-operator"
CONTROLLERS = (*replicas.CONTROLLERS, capacity.CONTROLLER)


async def run(kubeconfig: Path, context: str, port: int) -> None:
    """Run until told to end. Raises ConfigError when the kubeconfig cannot be used."""
    local = config.load(kubeconfig, context)
    clusters = Clusters(user_agent=f"{NAME}/{__version__}")
    for resource, indexes in replicas.INDEXES.items():
        clusters.declare("local", resource, indexes)
    refusals = Refusals()
    controllers = (*replicas.controllers(refusals), capacity.CONTROLLER)
    await Process(NAME, LOCAL, local, port, controllers, on_trouble=refusals.note).run(clusters)

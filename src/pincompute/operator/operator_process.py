"""Runs the operator process: it lists the controllers of a member and what they watch there."""

from __future__ import annotations

from pathlib import Path

from pincompute import __version__
from pincompute.api.builtin import DAEMONSETS
from pincompute.api.labels import DAEMONS_NAMESPACE, LOCAL
from pincompute.engine.api_refusals import ApiRefusals
from pincompute.engine.server_process import ServerProcess
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.informer import InformerScope
from pincompute.kube.kubeconfig import load as load_kubeconfig
from pincompute.operator import capacity_controller
from pincompute.operator.daemons import daemon_controller as daemons
from pincompute.operator.replicas import replicas_controller as replicas
from pincompute.operator.sidecars import fleet_controller as sidecars

NAME = "pincompute-operator"
CONTROLLERS = (*replicas.CONTROLLERS, capacity_controller.CONTROLLER, sidecars.CONTROLLER, daemons.CONTROLLER)
INDEXES = (replicas.INDEXES, sidecars.INDEXES, daemons.INDEXES)
"""What these controllers look up in their caches; a kind may be in several."""


async def run(kubeconfig: Path, context: str, port: int) -> None:
    """Runs until it is stopped. Raises ConfigError when the kubeconfig cannot be used."""
    local = load_kubeconfig(kubeconfig, context)
    clusters = Clusters(user_agent=f"{NAME}/{__version__}")
    for table in INDEXES:
        for resource, indexes in table.items():
            clusters.declare("local", resource, indexes)
    clusters.declare("local", DAEMONSETS, scope=InformerScope(DAEMONS_NAMESPACE))
    refusals = ApiRefusals()
    controllers = (*replicas.controllers(refusals), capacity_controller.CONTROLLER, sidecars.CONTROLLER, daemons.CONTROLLER)
    await ServerProcess(NAME, LOCAL, local, port, controllers, on_trouble=refusals.note).run(clusters)

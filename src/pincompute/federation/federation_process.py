"""Runs the federation process: it lists the controllers and what their process watches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pincompute import __version__
from pincompute.api.labels import FEDERATION, HOST
from pincompute.engine.api_refusals import ApiRefusals
from pincompute.engine.controller import Controller
from pincompute.engine.server_process import ServerProcess
from pincompute.federation.daemon import daemon_controller
from pincompute.federation.federation_settings import FederationSettings
from pincompute.federation.member import health, removal
from pincompute.federation.project import namespace_objects, project_controller, project_namespaces
from pincompute.federation.scheduling import pool_controller, scheduling_queue
from pincompute.federation.settings import setting_controller, setting_references
from pincompute.federation.sidecar import fleet_controller, sidecar_references
from pincompute.federation.workload import orphan_collection, update_hooks
from pincompute.federation.workload import workload_controller as workload
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.informer import InformerScope
from pincompute.kube.kubeconfig import load as load_kubeconfig
from pincompute.kube.member_connections import MemberConnections

NAME = "pincompute-federation"


def controllers(
    refusals: ApiRefusals, *, notifies: bool = False, hooks: update_hooks.HookProjects = update_hooks.NO_HOOKS
) -> tuple[Controller[Any, Any], ...]:
    """Returns all controllers of the host. The engine must report trouble to `refusals`. `notifies`: an endpoint is told of the
    stages of rollouts. `hooks` are those that updates may ask, and the projects of these.
    """
    return (
        project_controller.controller(hooks),
        pool_controller.CONTROLLER,
        *workload.controllers(refusals, notifies=notifies, hooks=hooks),
        health.CONTROLLER,
        removal.CONTROLLER,
        orphan_collection.CONTROLLER,
        *setting_controller.controllers(refusals),
        fleet_controller.CONTROLLER,
        daemon_controller.CONTROLLER,
    )


CONTROLLERS = controllers(ApiRefusals())


async def run(kubeconfig: Path, context: str, port: int, settings: FederationSettings) -> None:
    """Runs until it is stopped. Raises ConfigError when the kubeconfig cannot be used."""
    host = load_kubeconfig(kubeconfig, context)
    clusters = Clusters(user_agent=f"{NAME}/{__version__}")
    for resource, indexes in (
        *scheduling_queue.INDEXES.items(),
        *workload.INDEXES.items(),
        *project_namespaces.INDEXES.items(),
        *setting_references.ON_HOST.items(),
        *sidecar_references.INDEXES.items(),
    ):
        clusters.declare("host", resource, indexes)
    for resource, indexes in setting_references.IN_MEMBERS.items():
        clusters.declare("members", resource, indexes)
    ours = InformerScope(labels=namespace_objects.LABELS)
    for kind in namespace_objects.IN_MEMBERS:
        clusters.declare("members", kind, scope=ours)
    for kind in namespace_objects.ON_HOST:
        clusters.declare("host", kind, scope=ours)
    membership = MemberConnections(clusters, FEDERATION)
    refusals = ApiRefusals()
    notifications, hooks = settings.notification_endpoint(), settings.hook_endpoints()
    process = ServerProcess(
        NAME,
        HOST,
        host,
        port,
        controllers(refusals, notifies=notifications is not None, hooks=settings.hook_projects()),
        lambda _clusters: membership.run(),
        on_trouble=refusals.note,
        prometheus=settings.prometheus_endpoint(),
        notifications=notifications,
        hooks=hooks,
    )
    await process.run(clusters)

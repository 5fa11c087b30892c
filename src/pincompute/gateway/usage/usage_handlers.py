"""Handles requests about the use of CPU and memory: of a workload by replica, and of all workloads of a project."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, TypeAlias

from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from pincompute.api.builtin import Pod
from pincompute.api.kinds import Kinds, WorkloadKind
from pincompute.api.labels import APP, WORKLOAD
from pincompute.api.meta import Struct, doc
from pincompute.api.projects import PROJECTS
from pincompute.domain import shard_pods
from pincompute.gateway import problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import may
from pincompute.gateway.operation.lifecycle_service import LifecycleService
from pincompute.gateway.operation.replica_lookup import Replica, WorkloadRef
from pincompute.gateway.operation.route_paths import named, path
from pincompute.gateway.usage.usage_figures import (
    Measurements,
    ReplicaFigures,
    UnknownFigures,
    UnknownPlaces,
    WorkloadFigures,
    WorkloadSum,
)
from pincompute.gateway.usage.usage_readers import UsageReaders

PIECE = 1_000  # pods between two chances for other requests

Placed: TypeAlias = dict[tuple[str, str], list[tuple[str, Pod]]]
"""Pods with their member, by the kind and the name of their workload."""


class WorkloadUsage(Struct):
    """What a workload uses, by replica."""

    total: Annotated[WorkloadFigures, doc("All replicas together, and by zone.")]
    replicas: Annotated[tuple[ReplicaFigures, ...], doc("In the order of their numbers.")]
    missing: Annotated[tuple[UnknownFigures, ...], doc("Clusters and nodes whose figures are unknown.")] = ()
    starting: Annotated[bool, doc("Measuring has just begun: more is known in half a minute.")] = False


class ProjectUsage(Struct):
    """What the workloads of a project use."""

    items: Annotated[tuple[WorkloadFigures, ...], doc("By kind and name.")]
    missing: Annotated[tuple[UnknownFigures, ...], doc("Clusters and nodes whose figures are unknown.")] = ()
    starting: Annotated[bool, doc("Measuring has just begun: more is known in half a minute.")] = False


def _route(kind: WorkloadKind) -> HTTPRouteHandler:
    @get(path(kind, "usage"), opt=may("usage", "get", cost=3, noun=kind.word), **named("get", kind, "Usage"))
    async def handle(
        project: FromPath[str],
        name: FromPath[str],
        lifecycle: NamedDependency[LifecycleService],
        usage: NamedDependency[UsageReaders],
    ) -> WorkloadUsage:
        """CPU and memory of each replica and container, beside its requests and limits."""
        target = WorkloadRef(kind, project, name)
        lifecycle.workload(target)
        replicas = [replica for replica in lifecycle.replicas.of(target) if shard_pods.is_live(replica.pod)]
        measured = Measurements(await usage.of(sorted({replica.cluster for replica in replicas}), project))
        whole, unknown, rows = WorkloadSum(), UnknownPlaces(measured), list[ReplicaFigures]()
        for number, replica in enumerate(replicas, 1):
            rows.append(_row(replica, measured, whole, unknown))
            if not number % PIECE:
                await asyncio.sleep(0)
        total = whole.workload(kind.word, name)
        return WorkloadUsage(total=total, replicas=tuple(rows), missing=unknown.all(), starting=measured.starting)

    return handle


def _row(replica: Replica, measured: Measurements, whole: WorkloadSum, unknown: UnknownPlaces) -> ReplicaFigures:
    figures = measured.of(replica.cluster, replica.pod)
    whole.add(replica.pod, figures)
    unknown.add(replica.cluster, replica.pod)
    return ReplicaFigures(
        name=replica.name,
        zone=replica.zone,
        cpu=figures.cpu,
        memory=figures.memory,
        containers=figures.containers,
        reason=figures.reason,
    )


@get("/v1/projects/{project:str}/usage", opt=may("usage", "list", noun="project"), operation_id="listUsage", tags=["usage"])
async def project_usage(
    project: FromPath[str], reads: NamedDependency[CacheReads], usage: NamedDependency[UsageReaders]
) -> ProjectUsage:
    """CPU and memory of every workload of the project, and by zone."""
    if reads.get(PROJECTS, "", project) is None:
        raise problems.not_found(f"project {project}")
    placed, number = await _placed(reads, project), 0
    members = sorted({cluster for pods in placed.values() for cluster, _ in pods})
    measured = Measurements(await usage.of(members, project))
    items, unknown = list[WorkloadFigures](), UnknownPlaces(measured)
    for kind, name in _workloads(reads, project):
        whole = WorkloadSum()
        for cluster, pod in placed.get((kind.workload.kind, name), ()):
            whole.add(pod, measured.of(cluster, pod))
            unknown.add(cluster, pod)
            number += 1
            if not number % PIECE:
                await asyncio.sleep(0)
        items.append(whole.workload(kind.word, name))
    return ProjectUsage(items=tuple(items), missing=unknown.all(), starting=measured.starting)


def _workloads(reads: CacheReads, project: str) -> Iterator[tuple[WorkloadKind, str]]:
    for kind in reads.workloads:
        for name in sorted(obj.metadata.name for obj in reads.host(kind.workload).list(project)):
            yield kind, name


async def _placed(reads: CacheReads, project: str) -> Placed:
    """The pods that run, found in each member by project: a search by workload costs workloads times members."""
    found: Placed = {}
    for cluster, pods in reads.pods_by_member(project):
        for pod in filter(shard_pods.is_live, pods):
            named = pod.metadata.labels
            found.setdefault((named.get(WORKLOAD, ""), named.get(APP, "")), []).append((cluster, pod))
        await asyncio.sleep(0)
    return found


def routes(kinds: Kinds) -> tuple[ControllerRouterHandler, ...]:
    return (project_usage, *(_route(kind) for kind in kinds))

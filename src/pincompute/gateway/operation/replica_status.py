"""The status of each replica: where it runs, its state, and the state of its containers. Pure, but for the handler.

A reason is given only where something is not as it should be.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from pincompute.api.builtin import ContainerStatus, Pod
from pincompute.api.kinds import WorkloadKind
from pincompute.api.labels import REVISION
from pincompute.api.meta import Struct, doc
from pincompute.domain import shard_pods
from pincompute.gateway.call_context import may
from pincompute.gateway.operation.lifecycle_service import LifecycleService
from pincompute.gateway.operation.replica_lookup import Replica, WorkloadRef
from pincompute.gateway.operation.route_paths import named, path

ENDED_WELL = "Completed"  # the kubelet's reason for exit code 0


class ReplicaContainerStatus(Struct):
    name: Annotated[str, doc("Container.")]
    state: Annotated[str, doc("Running, Waiting or Terminated; Unknown before the node has reported.")]
    ready: Annotated[bool, doc("It gets traffic.")] = False
    restarts: Annotated[int, doc("How often it was started again.")] = 0
    image: Annotated[str, doc("What it runs.")] = ""
    reason: Annotated[str, doc("Why it does not run, or why it ended before.")] = ""


class ReplicaStatus(Struct):
    name: Annotated[str, doc("As other calls take it, for example hello/3.")]
    zone: Annotated[str, doc("Where it runs.")]
    state: Annotated[str, doc("Running, Starting, Pending, Terminating, Succeeded, Failed; Unknown while its zone is silent.")]
    ready: Annotated[bool, doc("All its containers get traffic.")] = False
    revision: Annotated[str, doc("The revision it runs.")] = ""
    started: Annotated[datetime | None, doc("Since when it is on its node.")] = None
    address: Annotated[str, doc("Its address inside the region.")] = ""
    reason: Annotated[str, doc("Why it does not run, if it does not.")] = ""
    containers: Annotated[tuple[ReplicaContainerStatus, ...], doc("Its containers, then its sidecars.")] = ()


class ReplicaList(Struct):
    items: Annotated[tuple[ReplicaStatus, ...], doc("In the order of their numbers.")]
    missing: Annotated[tuple[str, ...], doc("Clusters that do not answer; what is said of them is their last.")] = ()


def replica_list(found: Iterable[Replica], silent: tuple[str, ...]) -> ReplicaList:
    return ReplicaList(items=tuple(describe(replica) for replica in found), missing=silent)


def describe(replica: Replica) -> ReplicaStatus:
    pod = replica.pod
    return ReplicaStatus(
        name=replica.name,
        zone=replica.zone,
        state=_state(pod) if replica.answers else "Unknown",
        ready=replica.answers and shard_pods.ready_since(pod) is not None,
        revision=pod.metadata.labels.get(REVISION, ""),
        started=pod.status.start_time,
        address=pod.status.pod_ip,
        reason=_reason(pod),
        containers=tuple(_container(name, replica.status(name)) for name in replica.containers),
    )


def _state(pod: Pod) -> str:
    if pod.deleting:
        return "Terminating"
    if pod.status.phase == "Running":
        return "Running" if shard_pods.ready_since(pod) is not None else "Starting"
    return pod.status.phase or "Pending"


def _reason(pod: Pod) -> str:
    """The pod's own reason, or why it has no node."""
    if pod.status.message or pod.status.reason:
        return pod.status.message or pod.status.reason
    unplaced = (c for c in pod.status.conditions if c.type == "PodScheduled" and c.status == "False")
    return next((condition.message or condition.reason for condition in unplaced), "")


def _container(name: str, status: ContainerStatus | None) -> ReplicaContainerStatus:
    if status is None:
        return ReplicaContainerStatus(name=name, state="Unknown")
    state, reason = _container_state(status)
    return ReplicaContainerStatus(
        name=name, state=state, ready=status.ready, restarts=status.restart_count, image=status.image, reason=reason
    )


def _container_state(status: ContainerStatus) -> tuple[str, str]:
    state = status.state
    if state is not None and state.waiting is not None:
        return "Waiting", ": ".join(part for part in (state.waiting.reason, state.waiting.message) if part)
    if state is not None and state.terminated is not None:
        ended = state.terminated
        return "Terminated", "" if ended.reason == ENDED_WELL else f"{ended.reason or 'ended'} with {ended.exit_code}"
    if state is not None and state.running is not None:
        return "Running", "" if status.ready else "does not pass its health check yet"
    return "Unknown", ""


def route(kind: WorkloadKind) -> HTTPRouteHandler:
    @get(path(kind, "replicas"), opt=may(kind.plural, "get", cost=2, noun=kind.word), **named("list", kind, "Replicas"))
    async def handle(project: FromPath[str], name: FromPath[str], verbs: NamedDependency[LifecycleService]) -> ReplicaList:
        """Each replica: where it is, its state, and the state of its containers."""
        target = WorkloadRef(kind, project, name)
        verbs.workload(target)
        return replica_list(verbs.replicas.of(target), verbs.replicas.silent())

    return handle

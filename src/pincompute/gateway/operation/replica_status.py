"""Describes the status of each replica: where it runs, its state, and the state of its containers. Pure, but for the handler.

A reason is given only where something is not as it should be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from pincompute.api.builtin import ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod
from pincompute.api.kinds import WorkloadKind
from pincompute.api.labels import OF_PLATFORM, REVISION
from pincompute.api.meta import Struct, doc
from pincompute.domain import container_failure, shard_pods, traffic_gate
from pincompute.gateway.call_context import Call, may
from pincompute.gateway.operation.lifecycle_service import LifecycleService
from pincompute.gateway.operation.pod_troubles import PodTroubles
from pincompute.gateway.operation.replica_lookup import Replica, WorkloadRef
from pincompute.gateway.operation.route_paths import named, path

ENDED_WELL = "Completed"  # the kubelet's reason for exit code 0
_POD = re.compile(r" restarting failed container=\S+ pod=\S+")  # users know replicas


class ReplicaContainerStatus(Struct):
    name: Annotated[str, doc("Container.")]
    state: Annotated[str, doc("Running, Waiting or Terminated; Unknown before the node has reported.")]
    ready: Annotated[bool, doc("It gets traffic.")] = False
    restarts: Annotated[int, doc("How often it was started again.")] = 0
    image: Annotated[str, doc("What it runs.")] = ""
    started: Annotated[datetime | None, doc("Since when it runs.")] = None
    reason: Annotated[str, doc("Why it does not run, or why it ended before.")] = ""
    platform: Annotated[bool, doc("A sidecar of the platform, which no user changes.")] = False
    crashed: Annotated[bool, doc("It ended by itself, and has not been ready since: its last lines may say why.")] = False


class ReplicaStatus(Struct):
    name: Annotated[str, doc("As other calls take it, for example hello/3.")]
    zone: Annotated[str, doc("Where it runs.")]
    state: Annotated[
        str, doc("Running, Starting, Pending, Stopping, Succeeded, Failed; Unknown while its zone is unreachable.")
    ]
    ready: Annotated[bool, doc("All its containers get traffic.")] = False
    revision: Annotated[str, doc("The revision it runs.")] = ""
    started: Annotated[datetime | None, doc("Since when it is on its node.")] = None
    address: Annotated[str, doc("Its address inside the region.")] = ""
    reason: Annotated[str, doc("Why it does not run, if it does not.")] = ""
    containers: Annotated[
        tuple[ReplicaContainerStatus, ...], doc("Its containers, its sidecars, then init containers that have not ended well.")
    ] = ()


class ReplicaList(Struct):
    items: Annotated[tuple[ReplicaStatus, ...], doc("In the order of their numbers.")]
    unreachable: Annotated[
        tuple[str, ...], doc("Zones that do not answer, at least in part; what is said of them is their last.")
    ] = ()


def replica_list(
    found: Iterable[Replica], unreachable: tuple[str, ...], troubles: Mapping[str, str] = MappingProxyType({})
) -> ReplicaList:
    """`troubles` are what the kubelets last reported, by the names of pods. One that stops follows the one that replaces it."""
    shown = sorted(_shown(found), key=lambda replica: (replica.number, not shard_pods.is_live(replica.pod)))
    told = tuple(describe(replica, troubles.get(replica.pod.metadata.name, "")) for replica in shown)
    return ReplicaList(items=told, unreachable=unreachable)


def _shown(found: Iterable[Replica]) -> Iterator[Replica]:
    """Yields all replicas but those that have ended, where another has taken the place or nothing is left but the deletion."""
    every = tuple(found)
    taken = {replica.number for replica in every if shard_pods.is_live(replica.pod)}
    for replica in every:
        if not shard_pods.is_finished(replica.pod) or not (replica.pod.deleting or replica.number in taken):
            yield replica


def describe(replica: Replica, trouble: str = "") -> ReplicaStatus:
    """`trouble` is of no interest any more once the replica is ready or stops."""
    pod, ready = replica.pod, shard_pods.ready_since(replica.pod) is not None
    reason = "" if pod.deleting else _reason(pod) or ("" if ready else trouble)
    return ReplicaStatus(
        name=replica.name,
        zone=replica.zone,
        state=_state(pod) if replica.answers else "Unknown",
        ready=replica.answers and ready,
        revision=pod.metadata.labels.get(REVISION, ""),
        started=pod.status.start_time,
        address=pod.status.pod_ip,
        reason=reason,
        containers=(*(_container(name, replica.status(name)) for name in replica.containers), *_unfinished(pod)),
    )


def _unfinished(pod: Pod) -> Iterator[ReplicaContainerStatus]:
    """Yields the init containers that run, or ended badly: the others wait for them."""
    sidecars = {c.name for c in pod.spec.init_containers if c.restart_policy == "Always"}
    for status in pod.status.init_container_statuses:
        ended = _last_end(status)
        runs = status.state is not None and status.state.running is not None
        if status.name not in sidecars and (runs or (ended is not None and ended.exit_code)):
            yield _container(status.name, status)


def _state(pod: Pod) -> str:
    if pod.deleting:
        return "Stopping"
    if pod.status.phase == "Running":
        return "Running" if shard_pods.ready_since(pod) is not None else "Starting"
    return pod.status.phase or "Pending"


def _reason(pod: Pod) -> str:
    """The pod's own reason, or why it has no node or no traffic."""
    if pod.status.message or pod.status.reason:
        return pod.status.message or pod.status.reason
    if out := traffic_gate.reason(pod):
        return out
    unplaced = (c for c in pod.status.conditions if c.type == "PodScheduled" and c.status == "False")
    return next((condition.message or condition.reason for condition in unplaced), "")


def _container(name: str, status: ContainerStatus | None) -> ReplicaContainerStatus:
    if status is None:
        return ReplicaContainerStatus(name=name, state="Unknown", platform=name.startswith(OF_PLATFORM))
    state, reason = _container_state(status)
    return ReplicaContainerStatus(
        name=name,
        state=state,
        platform=name.startswith(OF_PLATFORM),
        ready=status.ready,
        restarts=status.restart_count,
        image=status.image,
        reason=reason,
        crashed=_has_crashed(status),
        started=status.state.running.started_at if status.state is not None and status.state.running is not None else None,
    )


def _last_end(status: ContainerStatus) -> ContainerStateTerminated | None:
    now = status.state.terminated if status.state else None
    return now or (status.last_state.terminated if status.last_state else None)


def _has_crashed(status: ContainerStatus) -> bool:
    if status.ready or status.state is None:
        return False
    last = _last_end(status)
    return last is not None and last.reason != container_failure.START_ERROR


def _container_state(status: ContainerStatus) -> tuple[str, str]:
    state = status.state
    if state is not None and state.waiting is not None:
        return "Waiting", ": ".join(part for part in (state.waiting.reason, _why_waiting(status, state.waiting)) if part)
    if state is not None and state.terminated is not None:
        return "Terminated", "" if state.terminated.reason == ENDED_WELL else _why_ended(status.name, state.terminated)
    if state is not None and state.running is not None:
        return "Running", "" if status.ready else "does not pass its health check yet"
    return "Unknown", ""


def _why_waiting(status: ContainerStatus, waiting: ContainerStateWaiting) -> str:
    if waiting.reason in container_failure.IMAGE:
        said = container_failure.image_pull(status.name, status.image, waiting.reason, waiting.message).message
        return said.partition(" cannot be pulled: ")[2] or said
    return container_failure.without_layers(_POD.sub(" before it starts again", waiting.message))


def _why_ended(name: str, how: ContainerStateTerminated) -> str:
    return container_failure.ended(name, how, again="").message.removeprefix(f"{name} ")


def route(kind: WorkloadKind) -> HTTPRouteHandler:
    @get(path(kind, "replicas"), opt=may(kind.plural, "get", cost=2, noun=kind.word), **named("list", kind, "Replicas"))
    async def handle(
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        lifecycle: NamedDependency[LifecycleService],
        troubles: NamedDependency[PodTroubles],
    ) -> ReplicaList:
        """Each replica: where it is, its state, and the state of its containers."""
        target = WorkloadRef(kind, project, name)
        uid, found = lifecycle.workload(target).metadata.uid, lifecycle.replicas.of(target)
        if all(shard_pods.ready_since(replica.pod) is not None for replica in found):
            return replica_list(found, lifecycle.replicas.unreachable_zones())
        told = await troubles.of(project, kind.workload.kind, name, uid, call.at, [replica.pod for replica in found])
        return replica_list(found, lifecycle.replicas.unreachable_zones(), told)

    return handle

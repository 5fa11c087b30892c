"""Reaches one replica through its member's API server: its logs, programs in it, its ports, and restarts of its containers.

No other code of the operation API calls a member's API server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from pincompute.api.builtin import POD_MOUNTS, PODS, Pod, PodMounts
from pincompute.api.meta import Key, Manifest
from pincompute.domain import container_restart, restart_requests
from pincompute.domain.container_restart import Impossible
from pincompute.domain.restart_requests import RestartRequest
from pincompute.gateway import NAME, problems
from pincompute.kube.api_errors import Conflict, NotFound
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.streams import pod_exec, pod_logs, pod_port_forward
from pincompute.kube.streams.pod_exec import ExecCommand, ExecProcess
from pincompute.kube.streams.pod_logs import LogOptions
from pincompute.kube.streams.pod_port_forward import PortForward

SILENCE = 60.0  # seconds without a line after which a log is requested again: a kubelet may have lost it at a rotation
ATTEMPTS = 5  # at a patch that conflicts


@dataclass(frozen=True, slots=True)
class ReplicaPlace:
    """The cluster and pod of one replica."""

    cluster: str
    pod: Key


@dataclass(frozen=True, slots=True)
class ReplicaAccess:
    """Every method raises a KubeError, or Unknown when nothing is connected to that cluster."""

    clusters: Clusters

    def logs(self, place: ReplicaPlace, options: LogOptions) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Lines, each beginning with its time in RFC 3339 and a space."""
        return pod_logs.lines(self.clusters.client(place.cluster), place.pod, options, SILENCE)

    def exec(self, place: ReplicaPlace, command: ExecCommand) -> AbstractAsyncContextManager[ExecProcess]:
        return pod_exec.run(self.clusters.client(place.cluster), place.pod, command)

    async def mounts(self, place: ReplicaPlace) -> PodMounts:
        """The volumes of the pod and where its containers mount them."""
        return await self.clusters.client(place.cluster).get(POD_MOUNTS, place.pod)

    def forward(self, place: ReplicaPlace, port: int) -> AbstractAsyncContextManager[PortForward]:
        return pod_port_forward.open_port(self.clusters.client(place.cluster), place.pod, port)

    async def may_restart(self, place: ReplicaPlace, uid: str, wanted: RestartRequest) -> None:
        """Raises Problem for what can never be done, or when too many restarts wait for this replica already."""
        pod = await self._pod(place, uid)
        if pod is not None:
            _added(pod, wanted)

    async def restart(self, place: ReplicaPlace, uid: str, wanted: RestartRequest) -> bool:
        """Leave the request on this replica; it is carried out when the workload's disruption account allows it.

        False when there is nothing to do: the request waits there already or was carried out, or the replica is gone. Raises
        Problem as `may_restart` does. Others write the pod at the same time: the kubelet its status, the operator the requests
        that are done.
        """
        for _ in range(ATTEMPTS):
            pod = await self._pod(place, uid)
            added = _added(pod, wanted) if pod is not None else None
            if pod is None or added is None:
                return False
            pins = {"uid": uid, "resourceVersion": pod.metadata.resource_version}
            body: Manifest = {"metadata": {**pins, "annotations": added}}
            try:
                await self.clusters.writer(place.cluster).patch(PODS, place.pod, body, NAME)
            except Conflict:
                continue
            except NotFound:
                return False
            return True
        raise problems.conflict("the replica is being changed by others all the time", "try again in a moment")

    async def _pod(self, place: ReplicaPlace, uid: str) -> Pod | None:
        """The pod, read from the API server: a cache may lack a request that another gateway has just left there."""
        try:
            pod = await self.clusters.client(place.cluster).get(PODS, place.pod)
        except NotFound:
            return None
        return pod if pod.metadata.uid == uid else None


def _added(pod: Pod, wanted: RestartRequest) -> dict[str, str | None] | None:
    """The pod's annotation with the request added; None when it waits there already or was carried out. Raises Problem."""
    waiting = restart_requests.waiting(pod)
    if restart_requests.knows(pod, wanted):
        return None
    if wanted.container:
        patch = container_restart.decide(pod, wanted.of_container)
        if isinstance(patch, Impossible):
            raise problems.wrong_state(patch.why, patch.remedy)
        if not patch:
            return None
    if len(waiting) >= restart_requests.MOST:
        raise problems.wrong_state(f"{len(waiting)} restarts of the replica wait already", "wait until they are carried out")
    return restart_requests.annotation((*waiting, wanted))

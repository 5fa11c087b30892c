"""`ReplicaAccess` over the members' API servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from pincompute.api.core import PODS
from pincompute.api.meta import Manifest
from pincompute.domain import restarts
from pincompute.domain.restarts import Impossible
from pincompute.gateway import NAME, problems
from pincompute.gateway.operation.backend import Command, LogOptions, Place, Process, Restart, Tunnel
from pincompute.kube import writes
from pincompute.kube.clusters import Clusters
from pincompute.kube.errors import Conflict
from pincompute.kube.streams import exec as programs
from pincompute.kube.streams import forward, logs

SILENCE = 60.0  # seconds without a line after which a log is asked for anew: a kubelet may have lost it at a rotation
ATTEMPTS = 3  # at a patch that others' writes come before


@dataclass(frozen=True, slots=True)
class MembersAccess:
    clusters: Clusters

    def logs(self, place: Place, options: LogOptions) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return logs.lines(self.clusters.client(place.cluster), place.pod, options, SILENCE)

    def exec(self, place: Place, command: Command) -> AbstractAsyncContextManager[Process]:
        return programs.run(self.clusters.client(place.cluster), place.pod, command)

    def forward(self, place: Place, port: int) -> AbstractAsyncContextManager[Tunnel]:
        return forward.open_port(self.clusters.client(place.cluster), place.pod, port)

    async def restart_container(self, place: Place, restart: Restart) -> bool:
        client = self.clusters.client(place.cluster)
        asked = restarts.Request(restart.container, restart.by, restart.why, restart.request)
        for attempt in range(ATTEMPTS):
            pod = await client.get(PODS, place.pod)
            patch = restarts.decide(pod, asked)
            if isinstance(patch, Impossible):
                raise problems.wrong_state(patch.why, patch.remedy)
            if not patch:
                return False
            pins: Manifest = {"uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version}
            pinned = {**patch, "metadata": {**patch["metadata"], **pins}}
            try:
                await self.clusters.writer(place.cluster).patch(PODS, place.pod, pinned, "", NAME)
            except Conflict:
                if attempt + 1 == ATTEMPTS:
                    raise
            else:
                return True
        raise AssertionError  # the last attempt returns or raises

    async def replace(self, place: Place, uid: str) -> None:
        await writes.delete(self.clusters.client(place.cluster), PODS, place.pod, uid)

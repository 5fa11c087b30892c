"""The interface to one replica: its logs, programs in it, its ports, and restarts of its containers.

`member_replica_access` implements it over the members' API servers. An agent on the nodes can implement it without a change in
the code above.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from pincompute.api.meta import Key
from pincompute.domain.restart_requests import RestartRequest
from pincompute.kube.streams.channel_protocol import Channel, ExitStatus, TerminalSize
from pincompute.kube.streams.pod_exec import ExecCommand
from pincompute.kube.streams.pod_logs import LogOptions

__all__ = [
    "Channel",
    "ExecCommand",
    "ExitStatus",
    "LogOptions",
    "ReplicaAccess",
    "ReplicaPlace",
    "ReplicaProcess",
    "ReplicaTunnel",
    "TerminalSize",
]


@dataclass(frozen=True, slots=True)
class ReplicaPlace:
    """The cluster and pod of one replica."""

    cluster: str
    pod: Key


class ReplicaProcess(Protocol):
    """A program that runs in a container."""

    @property
    def exit(self) -> ExitStatus:
        """Known once `output` has ended."""
        ...

    async def write(self, piece: bytes) -> None: ...

    async def end_input(self) -> None: ...

    async def resize(self, size: TerminalSize) -> None: ...

    def output(self) -> AsyncIterator[tuple[Channel, bytes]]: ...


class ReplicaTunnel(Protocol):
    """One connection to a port of a replica."""

    @property
    def trouble(self) -> str:
        """Why the port could not be reached; empty when it could."""
        ...

    async def write(self, piece: bytes) -> None: ...

    def pieces(self) -> AsyncIterator[bytes]: ...


class ReplicaAccess(Protocol):
    """Every method raises a KubeError, or Unknown when nothing is connected to that cluster."""

    def logs(self, place: ReplicaPlace, options: LogOptions) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Lines, each beginning with its time in RFC 3339 and a space."""
        ...

    def exec(self, place: ReplicaPlace, command: ExecCommand) -> AbstractAsyncContextManager[ReplicaProcess]: ...

    def forward(self, place: ReplicaPlace, port: int) -> AbstractAsyncContextManager[ReplicaTunnel]: ...

    async def may_restart(self, place: ReplicaPlace, uid: str, wanted: RestartRequest) -> None:
        """Raises Problem for what can never be done, or when too many restarts wait for this replica already."""
        ...

    async def restart(self, place: ReplicaPlace, uid: str, wanted: RestartRequest) -> bool:
        """Leave the request on this replica; it is carried out when the workload's disruption account allows it.

        False when there is nothing to do: the request waits there already or was carried out, or the replica is gone. Raises
        Problem as `may_restart` does.
        """
        ...

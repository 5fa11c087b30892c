"""Handles shells, commands, files and ports. The package's docstring describes the shell protocol."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, NoReturn

import msgspec
from litestar import Request, get, post, put, websocket
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler, WebsocketRouteHandler
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler

from pincompute.api.kinds import WorkloadKind
from pincompute.gateway import problems, request_parameters
from pincompute.gateway.call_context import Call, may
from pincompute.gateway.operation.replica_lookup import WorkloadRef
from pincompute.gateway.operation.replica_streams import command_execution, stream_record, tar_streams
from pincompute.gateway.operation.replica_streams.command_execution import CommandResult
from pincompute.gateway.operation.replica_streams.file_copy import CopyResult
from pincompute.gateway.operation.replica_streams.stream_service import TAR, ReplicaStreamService
from pincompute.gateway.operation.route_paths import named, path
from pincompute.gateway.operation.streamed_response import StreamedResponse
from pincompute.gateway.operation.user_websockets import UserSocket

_Replica = Annotated[str, QueryParameter(description="A number, or cluster-number; default: the first that is ready.")]
_TO_PATH = "`path` is where the top of the archive goes; a folder that is there gets it inside, under its own name."
_Container = Annotated[str, QueryParameter(description="Default: the first of the replica.")]


class CommandRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A program with its arguments, what it is given to read, and how long it may take."""

    command: tuple[str, ...]
    replica: str = ""
    container: str = ""
    stdin: str = ""
    timeout_seconds: float = command_execution.DEADLINE


def routes(kind: WorkloadKind) -> tuple[ControllerRouterHandler, ...]:
    return (_shell(kind), _exec(kind), _files_out(kind), _files_in(kind), _forward(kind))


def _shell(kind: WorkloadKind) -> WebsocketRouteHandler:
    taken = request_parameters.by_hand("replica", "container", "command", "tty")

    @websocket(path(kind, "shell"), opt=may("shells", "open", stream=True) | taken)
    async def handle(
        socket: UserSocket,
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        shells: NamedDependency[ReplicaStreamService],
    ) -> None:
        """A program with a terminal, a shell if none is named."""
        await shells.serve_shell(socket, WorkloadRef(kind, project, name), call)

    return handle


def _exec(kind: WorkloadKind) -> HTTPRouteHandler:
    @post(path(kind, "exec"), opt=may("shells", "open", cost=5), status_code=200, **named("exec", kind))
    async def handle(
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        shells: NamedDependency[ReplicaStreamService],
        request: Request[Any, Any, Any],
        data: JSONBody[CommandRequest],
    ) -> CommandResult:
        """Runs one command to its end in one replica."""
        command_execution.check(data.command, data.stdin, data.timeout_seconds)
        found = shells.find(WorkloadRef(kind, project, name), data.replica, data.container)
        return await shells.run(
            found, call, data.command, data.stdin.encode(), data.timeout_seconds, partial(_disconnected, request)
        )

    return handle


async def _disconnected(request: Request[Any, Any, Any]) -> NoReturn:
    """Raises Problem, which nobody gets any more. The body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
    raise problems.unavailable(stream_record.GONE)


def _files_out(kind: WorkloadKind) -> HTTPRouteHandler:
    answers = {200: ResponseSpec(bytes, description="A tar stream", media_type=TAR)}

    @get(path(kind, "files"), opt=may("files", "get", cost=5, stream=True), responses=answers, **named("get", kind, "Files"))
    async def handle(
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        shells: NamedDependency[ReplicaStreamService],
        place: Annotated[str, QueryParameter(name="path", description="An absolute path in the container.", min_length=1)],
        replica: _Replica = "",
        container: _Container = "",
    ) -> StreamedResponse:
        """A file or folder of a replica, as a tar stream."""
        found = shells.find(WorkloadRef(kind, project, name), replica, container)
        return await shells.download(found, place, call)

    return handle


def _files_in(kind: WorkloadKind) -> HTTPRouteHandler:
    @put(
        path(kind, "files"),
        opt=may("files", "update", cost=5, stream=True),
        request_max_body_size=tar_streams.LARGEST,
        **named("put", kind, "Files"),
    )
    async def handle(
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        shells: NamedDependency[ReplicaStreamService],
        request: Request[Any, Any, Any],
        place: Annotated[str, QueryParameter(name="path", description="A folder in the container.", min_length=1)],
        replica: _Replica = "",
        container: _Container = "",
        to_path: Annotated[bool, QueryParameter(name="toPath", description=_TO_PATH)] = False,
    ) -> CopyResult:
        """Unpacks the body, a tar stream, under a folder of a replica."""
        found = shells.find(WorkloadRef(kind, project, name), replica, container)
        return await shells.upload(found, place, request.stream(), call, to_path=to_path)

    return handle


def _forward(kind: WorkloadKind) -> WebsocketRouteHandler:
    taken = request_parameters.by_hand("replica", "container", "port")

    @websocket(path(kind, "forward"), opt=may("ports", "open", stream=True) | taken)
    async def handle(
        socket: UserSocket,
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        shells: NamedDependency[ReplicaStreamService],
    ) -> None:
        """One connection to a port of a replica."""
        await shells.serve_port(socket, WorkloadRef(kind, project, name), call)

    return handle

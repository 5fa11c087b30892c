"""Finds a replica, opens a program, a copy or a port in it, and connects the client to it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, NoReturn

from pincompute.api import labels
from pincompute.api.meta import Key
from pincompute.api.projects import PROJECTS
from pincompute.domain import zone_text
from pincompute.gateway import parameter_values, problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call
from pincompute.gateway.gateway_settings import GatewaySettings
from pincompute.gateway.middleware import RequestAuditor, refuse_socket
from pincompute.gateway.operation import replica_lookup as naming
from pincompute.gateway.operation import user_websockets
from pincompute.gateway.operation.lifecycle_service import LifecycleService
from pincompute.gateway.operation.replica_access import ReplicaAccess
from pincompute.gateway.operation.replica_lookup import Replica, ReplicaLookup, WorkloadRef
from pincompute.gateway.operation.replica_streams import (
    command_execution,
    file_copy,
    port_forward,
    shell_transcript,
    stream_record,
)
from pincompute.gateway.operation.replica_streams.command_execution import CommandResult
from pincompute.gateway.operation.replica_streams.file_copy import CopyResult, CopyTarget
from pincompute.gateway.operation.replica_streams.shell_session import ShellSession
from pincompute.gateway.operation.replica_streams.shell_transcript import Transcript
from pincompute.gateway.operation.stream_permissions import StreamPermissions
from pincompute.gateway.operation.streamed_response import StreamedResponse, Write
from pincompute.gateway.operation.task_groups import first_of
from pincompute.gateway.operation.user_websockets import UserSocket
from pincompute.gateway.problems import FieldError, Problem
from pincompute.kube.api_errors import KubeError, NotFound, Refused
from pincompute.kube.cache_views import Unknown
from pincompute.kube.streams.pod_exec import ExecCommand

TAR = "application/x-tar"
COPIED = "all was copied"
TRANSCRIPTS = "transcripts"  # folder, beside the audit log


@dataclass(frozen=True, slots=True)
class ReplicaContainer:
    """One container of one replica."""

    replica: Replica
    container: str


@dataclass(frozen=True, slots=True)
class ReplicaStreamService:
    reads: CacheReads
    lifecycle: LifecycleService
    replicas: ReplicaLookup
    access: ReplicaAccess
    permissions: StreamPermissions
    settings: GatewaySettings
    audit: RequestAuditor

    def find(self, target: WorkloadRef, replica: str, container: str) -> ReplicaContainer:
        """Find a container. Raises Problem when there is none, or its cluster does not answer."""
        self.lifecycle.workload(target)
        chosen = naming.choose(target, self.replicas.of(target), replica)
        if not chosen.answers:
            raise problems.unavailable(f"{zone_text.unreachable(chosen.zone)}, so {chosen.name} cannot be reached")
        return ReplicaContainer(chosen, naming.container_of(chosen, container))

    async def run(
        self,
        found: ReplicaContainer,
        call: Call,
        argv: tuple[str, ...],
        given: bytes,
        seconds: float,
        disconnected: Callable[[], Coroutine[Any, Any, NoReturn]],
    ) -> CommandResult:
        """Runs a command while its caller may run it and waits for it. Raises Problem."""
        command, stream = ExecCommand(argv, found.container, stdin=bool(given)), call.stream
        await self._open(call, found, command=argv)
        transcript = self._transcript(call, argv, found)

        async def passes(piece: bytes) -> None:
            stream.bytes_out += len(piece)
            if transcript is not None:
                await transcript.output(piece)

        stream.bytes_in = len(given)
        running = command_execution.run(self.access, found.replica.place, command, given, seconds, passes)
        try:
            async with stream_record.recorded_end(call, self.permissions, transcript):
                output = await first_of(
                    running, stream_record.cut(call, self.permissions), disconnected(), stream_record.write(transcript)
                )
                await stream_record.flush(transcript)
                words = command_execution.explained(output.exit, argv, found.container)
                stream.exit_code = output.exit.code
                stream.ended = words or f"exit code {output.exit.code}"
        except (KubeError, Unknown) as error:
            raise not_reached(error, found) from error
        except stream_record.CutError as cut:
            raise self._cut_off(f"the command was cut off: {cut}; it may go on in the replica") from cut
        return CommandResult(
            replica=found.replica.name,
            container=found.container,
            stdout=output.stdout.text,
            stderr=output.stderr.text,
            exit_code=output.exit.code,
            message=words,
            truncated=output.stdout.truncated or output.stderr.truncated,
        )

    async def serve_shell(self, socket: UserSocket, target: WorkloadRef, call: Call) -> None:
        async with AsyncExitStack() as stack:
            try:
                self._check_origin(socket)
                found = self._asked(socket, target)
                argv = tuple(socket.query_params.getall("command", [])) or command_execution.SHELL
                tty = socket.query_params.get("tty", "true") != "false"
                command = ExecCommand(argv, found.container, stdin=True, tty=tty)
                await self._open(call, found, command=argv)
                process = await stack.enter_async_context(self.access.exec(found.replica.place, command))
            except (Problem, KubeError, Unknown) as error:
                await _refuse(socket, call, error, target)
                return
            await socket.accept()
            transcript = self._transcript(call, argv, found)
            await ShellSession(
                socket, process, command, call, self.permissions, self.settings.shells.idle, time.monotonic, transcript
            ).run()

    async def serve_port(self, socket: UserSocket, target: WorkloadRef, call: Call) -> None:
        async with AsyncExitStack() as stack:
            try:
                self._check_origin(socket)
                found = self._asked(socket, target)
                port = _port(socket.query_params.get("port", ""))
                await self._open(call, found, port=port)
                tunnel = await stack.enter_async_context(self.access.forward(found.replica.place, port))
            except (Problem, KubeError, Unknown) as error:
                await _refuse(socket, call, error, target)
                return
            await socket.accept()
            await port_forward.run(socket, tunnel, call, self.permissions)

    async def download(self, found: ReplicaContainer, path: str, call: Call) -> StreamedResponse:
        """Begin once the first bytes are there. Raise Problem."""
        checked, stack, stream = file_copy.check_path(path), AsyncExitStack(), call.stream
        await self._open(call, found, path=checked)
        try:
            async with stream_record.recorded_end(call, self.permissions):
                opened = file_copy.download(self.access, found.replica.place, found.container, checked)
                download = await stack.enter_async_context(opened)
        except (KubeError, Unknown) as error:
            raise not_reached(error, found) from error

        async def send(write: Write) -> None:
            await write(download.first)
            stream.bytes_out += len(download.first)
            async for piece in download.rest:
                await write(piece)
                stream.bytes_out += len(piece)

        async def produce(write: Write) -> None:
            async with stack, stream_record.recorded_end(call, self.permissions):
                await first_of(send(write), stream_record.cut(call, self.permissions))
                stream.ended = COPIED

        return StreamedResponse(produce, TAR)

    async def upload(
        self, found: ReplicaContainer, path: str, body: AsyncIterator[bytes], call: Call, *, to_path: bool
    ) -> CopyResult:
        """Raises Problem; what was copied before stays."""
        checked, stream = file_copy.check_path(path), call.stream
        await self._open(call, found, path=checked)

        async def counted() -> AsyncIterator[bytes]:
            async for piece in body:
                stream.bytes_in += len(piece)
                yield piece

        async def copied() -> tuple[CopyTarget, int]:
            where = self.access, found.replica.place, found.container
            target = await file_copy.target_of(*where, checked) if to_path else CopyTarget(checked)
            return target, await file_copy.upload(*where, target, counted())

        try:
            async with stream_record.recorded_end(call, self.permissions):
                target, size = await first_of(copied(), stream_record.cut(call, self.permissions))
                stream.ended = COPIED
        except (KubeError, Unknown) as error:
            raise not_reached(error, found) from error
        except stream_record.CutError as cut:
            raise self._cut_off(f"the copy was cut off: {cut}; a part of it may be there") from cut
        return CopyResult(found.replica.name, found.container, target.folder, size)

    def _cut_off(self, detail: str) -> Problem:
        return problems.unavailable(detail) if self.permissions.stopping.is_set() else problems.forbidden(detail)

    async def _open(
        self, call: Call, found: ReplicaContainer, *, command: tuple[str, ...] = (), path: str = "", port: int = 0
    ) -> None:
        """Records where the stream leads. Raises Problem when that must be recorded and cannot be."""
        stream = call.stream
        stream.replica, stream.container = found.replica.name, found.container
        stream.command, stream.path, stream.port = stream_record.command(command), path, port
        if self._transcribes(call.project) and command:
            stream.transcript = shell_transcript.file_name(call)
        await self.audit.opened(call)

    def _check_origin(self, socket: UserSocket) -> None:
        headers = socket.headers
        user_websockets.check_origin(headers.get("origin", ""), headers.get("host", ""), self.settings.shells.origins)

    def _asked(self, socket: UserSocket, target: WorkloadRef) -> ReplicaContainer:
        asked = socket.query_params
        return self.find(target, asked.get("replica", ""), asked.get("container", ""))

    def _transcript(self, call: Call, argv: tuple[str, ...], found: ReplicaContainer) -> Transcript | None:
        """A transcript, if the project asks for one, or the gateway's settings do."""
        audit = self.settings.audit
        if not call.stream.transcript:
            return None
        file = self.settings.path(audit.file).parent / TRANSCRIPTS / call.stream.transcript
        transcript = Transcript(file, time.monotonic, audit.fail_open)
        transcript.begin(call, argv, f"{found.replica.name} {found.container}")
        return transcript

    def _transcribes(self, project: str) -> bool:
        if self.settings.shells.transcripts:
            return True
        found = self.reads.host(PROJECTS).get(Key("", project))
        return found is not None and found.metadata.annotations.get(labels.TRANSCRIPTS) == "true"


async def _refuse(socket: UserSocket, call: Call, error: Problem | KubeError | Unknown, target: WorkloadRef) -> None:
    problem = error if isinstance(error, Problem) else not_reached(error, target)
    call.stream.ended = f"refused: {problem.detail}"
    await refuse_socket(socket.scope, socket.send, problem)


def _port(text: str) -> int:
    port = parameter_values.integer(text, 1, 65535)
    if port is None:
        raise problems.invalid(FieldError("port", "a number from 1 to 65535", f"{text[:20]!r} is not one"))
    return port


def not_reached(error: KubeError | Unknown, what: ReplicaContainer | WorkloadRef) -> Problem:
    """Why nothing could be opened in a replica, without internal addresses."""
    name = what.replica.name if isinstance(what, ReplicaContainer) else what.name
    match error:
        case NotFound():
            return problems.wrong_state(f"{name} has just gone", "look again which replicas there are")
        case Refused():
            remedy = "wait until it runs, or choose another replica"
            return problems.wrong_state(f"nothing could be opened in {name}: {error.message}", remedy)
        case KubeError():
            return problems.unavailable(f"{name} cannot be reached: {error.message}")
        case _:
            return problems.unavailable(f"{name} cannot be reached: its zone does not answer, at least in part")

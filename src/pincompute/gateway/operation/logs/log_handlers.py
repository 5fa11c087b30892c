"""Handles requests for logs, in the same way for every workload kind."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec
from litestar.params import FromPath

from pincompute.api.kinds import WorkloadKind
from pincompute.api.workloads import WorkloadStatus
from pincompute.gateway.call_context import Call, may
from pincompute.gateway.operation.lifecycle_service import LifecycleService
from pincompute.gateway.operation.logs import log_query, source_selection
from pincompute.gateway.operation.logs.line_buffer import BufferBudget, LineBuffer
from pincompute.gateway.operation.logs.line_format import ENCODERS, NDJSON, LogLine
from pincompute.gateway.operation.logs.log_query import LogQuery
from pincompute.gateway.operation.logs.reader import LogReader
from pincompute.gateway.operation.logs.response_format import LogFormatter, LogStream, media_type
from pincompute.gateway.operation.replica_access import ReplicaAccess
from pincompute.gateway.operation.replica_lookup import ReplicaLookup, WorkloadRef
from pincompute.gateway.operation.route_paths import named, path
from pincompute.gateway.operation.stream_permissions import StreamPermissions
from pincompute.gateway.operation.streamed_response import StreamedResponse
from pincompute.gateway.problems import Problem


@dataclass(frozen=True, slots=True)
class LogService:
    """Opens log streams for the handlers."""

    lifecycle: LifecycleService
    replicas: ReplicaLookup
    access: ReplicaAccess
    permissions: StreamPermissions
    budget: BufferBudget = field(default_factory=BufferBudget)

    def open(self, target: WorkloadRef, query: LogQuery, accept: str, call: Call) -> StreamedResponse:
        """Open a stream. Raises Problem for what the workload does not have; later failures are marks in the stream."""
        obj = self.lifecycle.workload(target)
        source_selection.check(obj, target, self.replicas.of(target), query)
        wanted, buffer = media_type(accept), LineBuffer(self.budget)

        def exists() -> bool:
            return self._exists(target, obj.metadata.uid)

        reader = LogReader(target, query, self.replicas, self.access, buffer, time.time_ns, exists, _placed(obj.status))
        formatter = LogFormatter(ENCODERS[wanted], query.after)
        stream = LogStream(reader.run, buffer, formatter, call, self.permissions, resumable=wanted == "text/event-stream")
        return StreamedResponse(stream.produce, wanted, {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    def _exists(self, target: WorkloadRef, uid: str) -> bool:
        """Returns whether this very workload exists, and not a later one of its name."""
        try:
            return self.lifecycle.workload(target).metadata.uid == uid
        except Problem as problem:
            return problem.code != "not-found"


def _placed(status: WorkloadStatus) -> dict[str, str]:
    """Returns the zone of each cluster where the workload has, or should have, replicas."""
    rows = status.scheduling.placement if status.scheduling else ()
    return {line.cluster: line.zone for line in (*rows, *status.clusters)}


_ANSWERS = {200: ResponseSpec(LogLine, description="Lines, also as text/plain and text/event-stream", media_type=NDJSON)}


def route(kind: WorkloadKind) -> HTTPRouteHandler:
    @get(
        path(kind, "logs"),
        opt=may("logs", "get", cost=5, stream=True),
        dependencies={"wanted": Provide(log_query.read, sync_to_thread=False)},
        responses=_ANSWERS,
        **named("get", kind, "Logs"),
    )
    async def handle(
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        wanted: NamedDependency[LogQuery],
        logs: NamedDependency[LogService],
        request: Request[Any, Any, Any],
    ) -> StreamedResponse:
        """What its containers write, of all replicas in the order of time: past, and live with `follow`."""
        target = WorkloadRef(kind, project, name)
        return logs.open(target, wanted, request.headers.get("Accept", ""), call)

    return handle

"""Logs that a container writes to a file on one of its volumes, read by `tail` in it until the agent on the node can.

The file is followed by its name, over rotations. Its lines have no time of their own: they count as written when they come.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from pincompute.gateway.operation.logs.log_lines import LogSource
from pincompute.gateway.operation.logs.log_query import LogQuery
from pincompute.gateway.operation.replica_access import Channel, ExecCommand, ReplicaAccess, ReplicaProcess
from pincompute.kube.api_errors import RequestInfo, Unreachable
from pincompute.kube.streams.pod_logs import split

LONGEST_WORDS = 400  # characters kept of what tail says


@asynccontextmanager
async def lines(
    access: ReplicaAccess, source: LogSource, query: LogQuery, *, follow: bool
) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Raises Unreachable, in tail's own words, when the file or tail itself is not there."""
    count = "+1" if query.tail < 0 or query.pattern is not None else str(query.tail)
    argv = ("tail", "-F", "-n", "0", query.file) if follow else ("tail", "-n", count, query.file)
    async with access.exec(source.replica.place, ExecCommand(argv, source.container)) as process:
        yield split(_output(process, source, query))


async def _output(process: ReplicaProcess, source: LogSource, query: LogQuery) -> AsyncIterator[bytes]:
    words = ""
    async for channel, piece in process.output():
        if channel == Channel.STDOUT:
            yield piece
        else:
            words = (words + piece.decode(errors="replace"))[-LONGEST_WORDS:]
    if process.exit.code != 0:
        why = words.strip() or process.exit.message
        place = source.replica.place
        raise Unreachable(RequestInfo(place.cluster, "tail", f"{query.file} in {source.replica.name} {source.container}"), why)

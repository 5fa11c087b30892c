"""Selects the containers whose logs a query means, and reads logs that a container writes to a file on a volume.

Such a file is read by `tail` in the container, and followed by its name over rotations. Its lines carry no time: they count as
written when they arrive.
"""

from __future__ import annotations

import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from pincompute.api import template_hash
from pincompute.api.kinds import WorkloadObject
from pincompute.gateway import problems
from pincompute.gateway.operation import replica_lookup as naming
from pincompute.gateway.operation.logs.line_format import LogSource
from pincompute.gateway.operation.logs.log_query import LogQuery
from pincompute.gateway.operation.replica_access import ReplicaAccess
from pincompute.gateway.operation.replica_lookup import Replica, WorkloadRef
from pincompute.gateway.problems import FieldError
from pincompute.kube.api_errors import RequestInfo, Unreachable
from pincompute.kube.streams.channel_protocol import Channel
from pincompute.kube.streams.pod_exec import ExecCommand, ExecProcess
from pincompute.kube.streams.pod_logs import split

MOST = 1000  # containers whose logs one stream reads


def check(obj: WorkloadObject, target: WorkloadRef, there: Sequence[Replica], query: LogQuery) -> None:
    """Raises Problem for a replica, a container or a file that the workload does not have."""
    names = [container["name"] for _, container in template_hash.containers(obj.spec.template)]
    if query.container and query.container not in names:
        raise problems.not_found(f"container {query.container} in {target.name}; there are {', '.join(names)}")
    if query.replica:
        naming.choose(target, there, query.replica)
    if query.file:
        _check_file(obj, query)
    if len(select(there, query)) > MOST:
        raise problems.invalid(
            FieldError("container", f"at most {MOST} logs in one stream", "name a replica or a container to narrow it")
        )


def select(there: Iterable[Replica], query: LogQuery) -> tuple[LogSource, ...]:
    """The containers that the query means. A file is read in the named container, or in the first."""
    named = (replica for replica in there if not query.replica or naming.is_named(replica, query.replica))
    return of(named, query)


def of(found: Iterable[Replica], query: LogQuery) -> tuple[LogSource, ...]:
    """The containers of these replicas that the query means."""
    return tuple(LogSource(replica, container) for replica in found for container in _containers(replica, query))


def _containers(replica: Replica, query: LogQuery) -> tuple[str, ...]:
    if query.container:
        return (query.container,)
    return replica.containers[:1] if query.file else replica.containers


def _check_file(obj: WorkloadObject, query: LogQuery) -> None:
    """Only files on a volume that the container mounts may be read, not those of the image."""
    containers = [container for _, container in template_hash.containers(obj.spec.template)]
    first = obj.spec.template["spec"]["containers"][0]["name"]
    chosen = next(c for c in containers if c["name"] == (query.container or first))
    mounts = [mount["mountPath"].rstrip("/") or "/" for mount in chosen.get("volumeMounts") or ()]
    if not any(query.file.startswith(posixpath.join(mount, "")) for mount in mounts):
        declared = ", ".join(mounts) or "no volume"
        raise problems.invalid(
            FieldError("file", "a path under a volume of the container", f"{chosen['name']} mounts {declared}")
        )


LONGEST_WORDS = 400  # characters kept of what tail says


@asynccontextmanager
async def read_file(
    access: ReplicaAccess, source: LogSource, query: LogQuery, *, follow: bool
) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Lines of a file. Raises Unreachable, in tail's own words, when the file or tail itself does not exist."""
    count = "+1" if query.tail < 0 or query.pattern is not None else str(query.tail)
    argv = ("tail", "-F", "-n", "0", query.file) if follow else ("tail", "-n", count, query.file)
    async with access.exec(source.replica.place, ExecCommand(argv, source.container)) as process:
        yield split(_output(process, source, query))


async def _output(process: ExecProcess, source: LogSource, query: LogQuery) -> AsyncIterator[bytes]:
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

"""Selects the containers whose logs a query means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pincompute.api import template_hash
from pincompute.api.kinds import WorkloadObject
from pincompute.gateway import problems
from pincompute.gateway.operation import replica_lookup as naming
from pincompute.gateway.operation.logs import volume_logs
from pincompute.gateway.operation.logs.line_format import LogSource
from pincompute.gateway.operation.logs.log_query import LogQuery
from pincompute.gateway.operation.replica_lookup import Replica, WorkloadRef
from pincompute.gateway.problems import FieldError

MOST = 1000  # containers whose logs one stream reads


def check(obj: WorkloadObject, target: WorkloadRef, there: Sequence[Replica], query: LogQuery) -> None:
    """Raises Problem for a replica, a container or a file that the workload does not have."""
    names = [container["name"] for _, container in template_hash.containers(obj.spec.template)]
    if query.container and query.container not in names:
        raise problems.not_among(f"container {query.container} in {target.name}", ", ".join(names))
    if query.replica:
        naming.choose(target, there, query.replica)
    if query.file:
        first = obj.spec.template["spec"]["containers"][0]["name"]
        volume_logs.check(obj.spec.template["spec"], query.container or first, query.file)
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

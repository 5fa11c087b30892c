"""The revisions a workload had, for a rollback: the PinRevisions that stand on the host, and what the history adds to them.

The surprising rule: a rollback needs no database. While the store is away, the former templates are known from the host, and
only which of them ran well is not. A revision counts as good only if the workload was seen Running while it was the newest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from pincompute.api.kinds import Workload
from pincompute.api.revisions import PinRevision
from pincompute.gateway import problems
from pincompute.gateway.operation.replicas import Target
from pincompute.gateway.operation.verbs import Revision
from pincompute.store import records
from pincompute.store.errors import StoreUnavailable
from pincompute.store.history import Filter
from pincompute.store.records import AnyRecord, RecordType
from pincompute.store.store import Store

LOOKED_AT = 500  # records; more changes than anybody goes back over
TYPES: frozenset[RecordType] = frozenset({"revision", "state"})
RUNNING = "Running"
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Keeps(Protocol):
    """Where the former templates of workloads are at hand."""

    def revisions(self, obj: Workload) -> tuple[PinRevision, ...]: ...


@dataclass(frozen=True, slots=True)
class KnownRevisions:
    """Implements `operation.acting.Revisions`."""

    reads: Keeps
    store: Store

    async def of(self, target: Target, obj: Workload) -> Sequence[Revision]:
        """Newest first, of the present object and of its namesakes before. Raises Problem when nothing can be known."""
        kept = self.reads.revisions(obj)
        wanted = Filter(target.project, target.resource.kind, target.name, types=TYPES)
        try:
            page = await self.store.history.page(wanted, limit=LOOKED_AT, oldest_first=False)
        except StoreUnavailable:
            if not kept:
                raise problems.unavailable(
                    "the history is in a store that does not answer now, and the host keeps no earlier revision",
                    remedy="deploy the former version instead, or wait",
                ) from None
            return merged(kept, ())
        return merged(kept, revisions(page.records))


def merged(kept: Sequence[PinRevision], told: Sequence[Revision]) -> tuple[Revision, ...]:
    """Both newest first, each revision once. What only the host keeps stands where its number puts it among the others.

    Of a revision that both know the history's is taken: it has the template as its author wrote it, the host as the members ran
    it; both mean the same.
    """
    order = {revision.name: place for place, revision in enumerate(told)}
    found: list[Revision] = []
    taken = 0
    for revision in kept:
        place = order.get(revision.spec.revision)
        if place is None:
            found.append(_unjudged(revision))
        elif place >= taken:
            found += told[taken : place + 1]
            taken = place + 1
    return (*found, *told[taken:])


def _unjudged(kept: PinRevision) -> Revision:
    at = kept.metadata.creation_timestamp or LONG_AGO
    return Revision(kept.spec.revision, kept.spec.template, at, good=None)


def revisions(newest_first: Sequence[AnyRecord]) -> tuple[Revision, ...]:
    """Each template once, at its newest place."""
    found: dict[str, Revision] = {}
    good: set[str] = set()
    ran = False
    for record in newest_first:
        match record:
            case records.State():
                ran = ran or record.after == RUNNING
            case records.Revision():
                good |= {record.revision} if ran else set[str]()
                ran = False
                template = record.spec.get("template", {})
                found.setdefault(record.revision, Revision(record.revision, template, record.at, good=False))
            case _:
                continue
    return tuple(replace(revision, good=revision.name in good) for revision in found.values())

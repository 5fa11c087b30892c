"""The revisions a workload had, for a rollback: templates from the history, and which of them ran well.

The surprising rule: a revision counts as good only if the workload was seen Running while it was the newest, so a rollback
without a name never leads to one that merely existed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pincompute.gateway import problems
from pincompute.gateway.operation.verbs import Revision
from pincompute.store import records
from pincompute.store.errors import StoreUnavailable
from pincompute.store.history import Filter
from pincompute.store.records import AnyRecord, RecordType
from pincompute.store.store import Store

LOOKED_AT = 500  # records; more changes than anybody goes back over
TYPES: frozenset[RecordType] = frozenset({"revision", "state"})
RUNNING = "Running"


@dataclass(frozen=True, slots=True)
class StoredRevisions:
    """Implements `operation.acting.Revisions`."""

    store: Store

    async def of(self, kind: str, project: str, name: str) -> Sequence[Revision]:
        """Newest first, of the present object and of its namesakes before. Raises Problem while the store is away."""
        wanted = Filter(project, kind, name, types=TYPES)
        try:
            page = await self.store.history.page(wanted, limit=LOOKED_AT, oldest_first=False)
        except StoreUnavailable:
            raise problems.unavailable(
                "the history is in a store that does not answer now", remedy="deploy the former version instead, or wait"
            ) from None
        return revisions(page.records)


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
    return tuple(Revision(r.name, r.template, r.at, good=r.name in good) for r in found.values())

"""Lists the revisions that a workload can be rolled back to: PinRevisions on the host, completed by the history.

A rollback needs no database. While the store is away, the templates are known from the host, and only which of them ran well is
unknown. A revision ran well if the workload was Running while the revision was the newest.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise

from pincompute.api import template_settings
from pincompute.api.kinds import WorkloadObject
from pincompute.api.meta import Manifest
from pincompute.api.projects import PROJECTS
from pincompute.api.revisions import PinRevision
from pincompute.gateway import problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.operation.replica_lookup import WorkloadRef
from pincompute.gateway.operation.rollback_target import RollbackRevision
from pincompute.store import records
from pincompute.store.database import StoreUnavailable
from pincompute.store.history_store import HistoryStore
from pincompute.store.history_table import ProjectLifetime, RecordFilter
from pincompute.store.records import AnyRecord, RecordType

LOOKED_AT = 500  # records; more changes than anybody goes back over
TYPES: frozenset[RecordType] = frozenset({"revision", "state"})
RUNNING = "Running"
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RollbackCandidates:
    reads: CacheReads
    store: HistoryStore

    async def of(self, target: WorkloadRef, obj: WorkloadObject) -> Sequence[RollbackRevision]:
        """Newest first, of the present object and of its namesakes before it in the same project: a template of a former
        project may hold what only that project's members may read. Raises Problem when nothing can be known.
        """
        kept = self.reads.revisions(obj)
        try:
            recorded = await self._recorded(target)
        except StoreUnavailable:
            if not kept:
                raise problems.unavailable(
                    "the history is in a store that does not answer now, and the host keeps no earlier revision",
                    remedy="deploy the previous version instead, or wait",
                ) from None
            recorded = ()
        facts = {each.spec.revision: each.spec for each in kept}
        return tuple(
            replace(found, number=spec.number, note=spec.note, failure=spec.failure)
            if (spec := facts.get(found.name)) is not None
            else found
            for found in merged(kept, recorded)
        )

    async def known(self, target: WorkloadRef, obj: WorkloadObject) -> Sequence[RollbackRevision]:
        """What the history knows of the object's own revisions; nothing while the store is away."""
        try:
            return await self._recorded(target, obj.metadata.uid)
        except StoreUnavailable:
            return ()

    async def _recorded(self, target: WorkloadRef, uid: str = "") -> tuple[RollbackRevision, ...]:
        wanted = RecordFilter(
            target.project, target.resource.kind, target.name, uid=uid, types=TYPES, lifetime=self._lifetime(target.project)
        )
        page = await self.store.history.page(wanted, limit=LOOKED_AT, oldest_first=False)
        return revisions(page.records)

    def _lifetime(self, name: str) -> ProjectLifetime:
        found = self.reads.get(PROJECTS, "", name)
        if found is None:
            raise problems.not_found(f"project {name}")
        return ProjectLifetime(found.metadata.uid, found.metadata.creation_timestamp or LONG_AGO)


def merged(kept: Sequence[PinRevision], recorded: Sequence[RollbackRevision]) -> tuple[RollbackRevision, ...]:
    """Both newest first, each revision once. What only the host keeps stands where its number puts it among the others.

    Of a revision that both know the history's is taken: it has the template as its author wrote it, the host as the members ran
    it. Both mean the same, unless the workload rolls with its settings: only the host's names their versions, which are taken.
    """
    ran = {revision.spec.revision: revision.spec.template for revision in kept}
    recorded = [_with_versions(r, ran[r.name]) if r.rolls and r.name in ran else r for r in recorded]
    order = {revision.name: place for place, revision in enumerate(recorded)}
    found: list[RollbackRevision] = []
    taken = 0
    for revision in kept:
        place = order.get(revision.spec.revision)
        if place is None:
            found.append(_unjudged(revision))
        elif place >= taken:
            found += recorded[taken : place + 1]
            taken = place + 1
    return (*found, *recorded[taken:])


def _with_versions(recorded: RollbackRevision, ran: Manifest) -> RollbackRevision:
    """What its author wrote, with the versions of settings that the members ran."""
    versions = {place.path: place.name for place in template_settings.places(ran)}
    fixed = template_settings.renamed(recorded.template, lambda place: versions.get(place.path, place.name))
    return replace(recorded, template=fixed)


def _unjudged(kept: PinRevision) -> RollbackRevision:
    at = kept.metadata.creation_timestamp or LONG_AGO
    return RollbackRevision(kept.spec.revision, kept.spec.template, at, ran_well=None)


def revisions(newest_first: Sequence[AnyRecord]) -> tuple[RollbackRevision, ...]:
    """Each template once, at its newest place, by who brought it there: a later change of the replicas is none of the revision.
    What made it first is still said after a rollback to it.
    """
    found: dict[str, RollbackRevision] = {}
    rolled_by: dict[str, str] = {}
    good: set[str] = set()
    ran, run = False, ("", "")  # uid and name of the revision whose newest records are read
    new_settings = _new_settings(newest_first)
    for record in newest_first:
        match record:
            case records.StateRecord():
                ran = ran or record.after == RUNNING
            case records.RevisionRecord():
                good |= {record.revision} if ran else set[str]()
                ran = False
                template = record.spec.get("template", {})
                made = RollbackRevision(record.revision, template, record.at, ran_well=False, author=record.author)
                rolled_by[record.revision] = rolled_by.get(record.revision) or new_settings.get(record.identity, "")
                name = record.revision
                if name not in found:
                    found[name], run = replace(made, rolls=bool(record.settings)), (record.uid, name)
                elif run == (record.uid, name):
                    found[name] = replace(found[name], at=record.at, author=record.author)
                else:
                    run = ("", "")
            case _:
                continue
    return tuple(replace(each, ran_well=each.name in good, rolled_by=rolled_by[each.name]) for each in found.values())


def _new_settings(newest_first: Sequence[AnyRecord]) -> Mapping[Hashable, str]:
    """Returns by identity the versions of settings that made a revision which nobody deployed."""
    made = [record for record in newest_first if isinstance(record, records.RevisionRecord)]
    pairs = ((record, before) for record, before in pairwise(made) if record.rolled)
    return {record.identity: ", ".join(record.settings_since(before)) for record, before in pairs}

"""Answers questions about history: from the store, from the caches for the present state, and from both in sentences."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from pincompute.api import kinds, resource_requests
from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.member_clusters import MEMBERCLUSTERS, MemberCluster
from pincompute.api.quantity import InvalidQuantityError
from pincompute.api.settings import PINSECRETS, SETTINGS
from pincompute.api.template_settings import references, registries
from pincompute.domain import free_room, shard_pods, traffic_gate
from pincompute.domain.free_room import ClusterRoom
from pincompute.gateway import problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.history import (
    exit_reasons,
    record_extraction,
    replica_names,
    startup_checks,
    timeline,
    workload_explanation,
)
from pincompute.gateway.history.record_extraction import Observation
from pincompute.gateway.history.timeline import TimelineEntry
from pincompute.gateway.history.workload_explanation import ExplainedWorkload
from pincompute.gateway.operation import pod_troubles
from pincompute.gateway.operation.replica_lookup import ReplicaLookup, ReplicaName, WorkloadRef
from pincompute.gateway.operation.rollback_candidates import RollbackCandidates
from pincompute.gateway.workloads import setting_keys
from pincompute.kube.clock import SYSTEM, Clock
from pincompute.store.database import StoreUnavailable
from pincompute.store.history_store import HistoryStore
from pincompute.store.history_table import LONGEST_PAGE, CursorError, ProjectLifetime, RecordFilter, RecordPage
from pincompute.store.records import AnyRecord, EventRecord, ExitRecord, RecordType, RevisionRecord

OWN_WRITES = 0.5  # seconds to wait for recent records, so that callers find their own operations
CONTEXT = 200  # records of a workload an explanation looks back at
_SETTING_KINDS = {kind.word: kind.resource.kind for kind in SETTINGS}
CHANGES: frozenset[RecordType] = frozenset({"revision", "operation"})
GROWTH = 4  # by which each further page is longer, while many records make few lines
MOST_FOLDED = 2000  # records that are looked at for one page of lines
WAYS_BACK = 20  # workloads of a project whose way back is looked up for one answer
REVISIONS = 100  # earlier revisions that are compared with a changed one


class RollbackCandidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The revision to which a rollback goes back that names none. `ranWell`: all its replicas were ready once; otherwise that
    is not known now.
    """

    revision: str
    ran_well: bool = False


class Explanation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """`kind` is app or unit, `state` the phase, or Deleted. `missing` names what the answer lacks: `history` while it cannot be
    read, so only the present speaks; `rollback` in an answer about very many stalled workloads, where the explanation of this
    one alone says it.

    `room` is what the node with the most room has left, while it waits for room. `rollback` is the way back to an earlier
    revision while its update is stalled, if the gateway would accept it. No sentence repeats it.
    """

    kind: str
    name: str
    project: str
    state: str
    sentences: tuple[str, ...]
    missing: tuple[str, ...] = ()
    room: str = ""
    rollback: RollbackCandidate | None = None


@dataclass(frozen=True, slots=True)
class _ToldPage:
    """Records in the order of their page, and what their lines need beside them."""

    records: tuple[AnyRecord, ...]
    before: tuple[RevisionRecord, ...]
    changes: tuple[AnyRecord, ...]
    with_operations: bool
    oldest_first: bool

    def lines(self, count: int) -> tuple[TimelineEntry, ...]:
        """Returns the lines of the first records."""
        left = () if self.oldest_first else self.records[count:]
        earlier = (*self.before, *(record for record in left if isinstance(record, RevisionRecord)))
        return timeline.entries(self.records[:count], earlier, self.changes, with_operations=self.with_operations)

    def is_short(self, limit: int) -> bool:
        """Returns whether all records make no more than so many lines."""
        return len(self.lines(len(self.records))) <= limit

    def first(self, limit: int) -> tuple[int, tuple[TimelineEntry, ...]]:
        """Returns how many records at most make no more than so many lines, and these lines."""
        every = len(self.records)
        if every > limit and not self.is_short(limit):
            every = bisect_right(range(every), limit, lo=limit, key=lambda count: len(self.lines(count + 1)))
        return every, self.lines(every)


class HistoryService:
    def __init__(self, reads: CacheReads, store: HistoryStore, replicas: ReplicaLookup, clock: Clock = SYSTEM) -> None:
        self._reads = reads
        self._store = store
        self._replicas = replicas
        self._clock = clock
        self._candidates = RollbackCandidates(reads, store)

    @property
    def waiting(self) -> int:
        """How many records are not visible yet, because the store has not taken them."""
        return self._store.health.waiting

    async def page(self, wanted: RecordFilter, cursor: str, limit: int, *, oldest_first: bool) -> RecordPage:
        """A page. Raises Problem: 404 if the workload never existed, 400 for a foreign cursor, 503 without the store."""
        await self._store.settled(OWN_WRITES)
        try:
            page = await self._store.history.page(wanted, cursor, limit, oldest_first=oldest_first)
            if not page.records and not cursor:
                await self._must_exist(wanted)
        except CursorError as error:
            raise problems.malformed(str(error), "send the cursor of the page before, or none") from None
        except StoreUnavailable:
            raise _away() from None
        return page

    async def history(
        self, wanted: RecordFilter, cursor: str, limit: int, *, oldest_first: bool
    ) -> tuple[RecordPage, tuple[str, ...]]:
        """A page of records, and what it lacks: while the store is away, it has only the revisions that the host keeps.

        Raises Problem as `page` does.
        """
        asked = replace(wanted, also=self._used(wanted))
        try:
            return await self._judged(wanted, await self.page(asked, cursor, limit, oldest_first=oldest_first)), ()
        except problems.Problem as problem:
            if problem.code != "unavailable" or not wanted.name or "revision" not in wanted.types:
                raise
            kept = self._kept(wanted)
            if not kept:
                raise
            narrowed = [record for record in kept if _is_of(record, wanted)][:limit]
            return RecordPage(tuple(narrowed[::-1] if oldest_first else narrowed)), ("history",)

    async def _judged(self, wanted: RecordFilter, page: RecordPage) -> RecordPage:
        """The page, with its exits judged by the events around them, which may stand on another page or not be asked for."""
        around = await self._around(wanted, [record.at for record in page.records if isinstance(record, ExitRecord)])
        return replace(page, records=exit_reasons.with_causes(page.records, around)) if around else page

    async def _around(self, wanted: RecordFilter, times: Sequence[datetime]) -> tuple[AnyRecord, ...]:
        """Events and exits around these times, of types that may not be asked for."""
        if not times:
            return ()
        since, until = min(times) - exit_reasons.GRACE, max(times) + exit_reasons.GRACE
        nearby = replace(wanted, types=frozenset({"event", "exit"}), since=since, until=until, text="")
        try:
            return (await self._store.history.page(nearby, limit=LONGEST_PAGE)).records
        except StoreUnavailable:
            raise _away() from None

    def _used(self, wanted: RecordFilter) -> frozenset[tuple[str, str]]:
        """Returns the secrets and configs that the workload names now, and its logins, by kind and name."""
        kind = kinds.named(wanted.workload, self._reads.workloads)
        obj: WorkloadObject | None = self._reads.get(kind.workload, wanted.project, wanted.name) if kind is not None else None
        if obj is None:
            return frozenset()
        named = {(_SETTING_KINDS[ref.word], ref.name) for ref in references(obj.spec.template)}
        hosts = registries(obj.spec.template)
        secrets = self._reads.host(PINSECRETS).list(wanted.project)
        return frozenset(named | {(PINSECRETS.kind, each.metadata.name) for each in secrets if each.registry in hosts})

    def _kept(self, wanted: RecordFilter) -> tuple[RevisionRecord, ...]:
        """The present revision of the workload and the former ones, newest first; empty when there is no such workload now."""
        kind = kinds.named(wanted.workload, self._reads.workloads)
        obj: WorkloadObject | None = self._reads.get(kind.workload, wanted.project, wanted.name) if kind is not None else None
        if kind is None or obj is None:
            return ()
        observation = Observation(self._clock.wall(), live=False)
        present = record_extraction.revision(kind.workload.kind, obj, observation)
        former = (r for r in self._reads.revisions(obj) if r.spec.revision != present.revision)
        return (present, *(record_extraction.earlier_revision(kind.workload.kind, obj, kept, observation) for kept in former))

    async def timeline(
        self, wanted: RecordFilter, cursor: str, limit: int, *, oldest_first: bool
    ) -> tuple[tuple[TimelineEntry, ...], str, tuple[str, ...]]:
        """At most `limit` lines in the requested order, the cursor of the next page, and what they lack as `history` says it. A
        line may stand for many records.
        """
        size = limit + 1  # the last line is whole when there is one more
        page, missing = await self.history(wanted, cursor, size, oldest_first=oldest_first)
        told = await self._told(wanted, page, missing, oldest_first=oldest_first)
        while page.cursor and len(page.records) < MOST_FOLDED and await asyncio.to_thread(told.is_short, limit):
            size = min(LONGEST_PAGE, size * GROWTH)
            more, _ = await self.history(wanted, page.cursor, size, oldest_first=oldest_first)
            page = replace(more, records=page.records + more.records, places=page.places + more.places)
            told = await self._told(wanted, page, missing, oldest_first=oldest_first)
        count, lines = await asyncio.to_thread(told.first, limit)
        place = page.cursor if count == len(page.records) else page.places[count - 1] if page.places else ""
        return (lines if oldest_first else lines[::-1]), place, missing

    async def _told(self, wanted: RecordFilter, page: RecordPage, missing: tuple[str, ...], *, oldest_first: bool) -> _ToldPage:
        """The page with all that its lines need beside its records."""
        with_operations = not wanted.types or "operation" in wanted.types
        before = () if missing else await self._before(wanted, page)
        changes = () if missing else await self._changes(wanted, page)
        failing = [r for r in page.records if isinstance(r, EventRecord) and pod_troubles.check_of(r)]
        checks = [at for each in failing for at in (each.at, each.last)]
        around = () if missing else await self._around(wanted, checks)
        records = startup_checks.with_allowance(page.records, around, self._late(page.records) if checks else ())
        return _ToldPage(self._named(records), before, changes, with_operations and not missing, oldest_first)

    def _late(self, records: Iterable[AnyRecord]) -> frozenset[tuple[str, str]]:
        """The names of pods that are not ready, of workloads about which there are events, each with a check that tells why."""
        now = self._clock.wall()
        found = (replica.pod for target in self._targets(records) for replica in self._replicas.of(target))
        unready = [pod for pod in found if shard_pods.ready_since(pod) is None]
        checks = pod_troubles.CHECKS
        return frozenset((p.metadata.name, check) for p in unready for check in checks if pod_troubles.counts(check, p, now))

    def _targets(self, records: Iterable[AnyRecord]) -> Iterator[WorkloadRef]:
        """Yields each workload of whose pods the records tell."""
        about = (record for record in records if isinstance(record, EventRecord | ExitRecord))
        for project, workload, name in {(record.project, record.workload, record.name) for record in about}:
            kind = kinds.named(workload, self._reads.workloads)
            if kind is not None:
                yield WorkloadRef(kind, project, name)

    def _named(self, records: Iterable[AnyRecord]) -> tuple[AnyRecord, ...]:
        """Records with the names of replicas, of any number of workloads."""
        those, names = tuple(records), dict[str, ReplicaName]()
        for target in self._targets(those):
            names.update(self._replicas.names(target))
        return replica_names.with_names(those, names)

    async def explain(
        self, kind: WorkloadKind, project: str, name: str, lifetime: ProjectLifetime | None = None
    ) -> Explanation:
        """Explain a workload. Raises Problem 404 for one that never existed."""
        obj: WorkloadObject | None = self._reads.get(kind.workload, project, name)
        wanted = RecordFilter(project, kind.workload.kind, name, uid=obj.metadata.uid if obj else "", lifetime=lifetime)
        try:
            page = await self.page(wanted, "", CONTEXT, oldest_first=False)
        except problems.Problem as problem:
            if obj is None or problem.code != "unavailable":
                raise
            return await self._explained(kind, obj, (), ("history",))
        records = page.records[::-1]
        if obj is None:
            return self._past(kind, project, name, records)
        return await self._explained(kind, obj, records, ())

    async def _explained(
        self, kind: WorkloadKind, obj: WorkloadObject, records: tuple[AnyRecord, ...], missing: tuple[str, ...]
    ) -> Explanation:
        absent = await setting_keys.absent_files(self._reads, obj.metadata.namespace, obj.spec.template)
        return self._present(kind, obj, records, missing, await self._rollback(kind, obj), absent)

    async def _rollback(self, kind: WorkloadKind, obj: WorkloadObject) -> RollbackCandidate | None:
        """Returns the way back of a stalled workload; None where the gateway would refuse a rollback."""
        if not workload_explanation.needs_way_back(obj):
            return None
        try:
            known = await self._candidates.of(WorkloadRef(kind, *obj.key), obj)
        except problems.Problem:
            return None
        found = workload_explanation.way_back(obj, known)
        return RollbackCandidate(revision=found.name, ran_well=bool(found.ran_well)) if found is not None else None

    async def explain_all(self, project: str) -> tuple[Explanation, ...]:
        """Explain all workloads of the project that do not run as they should. Only the ways back need the store."""
        found = [(obj, kind) for kind in self._reads.workloads for obj in self._reads.host(kind.workload).list(project)]
        troubled = [(obj, kind) for obj, kind in found if obj.status.phase not in ("Running", "Stopped", "Succeeded")]
        troubled.sort(key=lambda each: each[0].key)
        stalled = [(obj, kind) for obj, kind in troubled if workload_explanation.needs_way_back(obj)]
        asked = stalled[:WAYS_BACK]  # all at once: a store that is away holds up the answer once, and not for each of them
        found_ways = await asyncio.gather(*(self._rollback(kind, obj) for obj, kind in asked))
        ways = {obj.metadata.uid: way for (obj, _), way in zip(asked, found_ways, strict=True)}
        left = {obj.metadata.uid for obj, _ in stalled[WAYS_BACK:]}
        return tuple(
            self._present(kind, obj, (), ("rollback",) if obj.metadata.uid in left else (), ways.get(obj.metadata.uid))
            for obj, kind in troubled
        )

    def _present(
        self,
        kind: WorkloadKind,
        obj: WorkloadObject,
        records: tuple[AnyRecord, ...],
        missing: tuple[str, ...],
        rollback: RollbackCandidate | None = None,
        absent: tuple[str, ...] = (),
    ) -> Explanation:
        members = tuple(self._reads.host(MEMBERCLUSTERS).list())
        room = self._room(obj, members)
        target = WorkloadRef(kind, *obj.key)
        unready = [replica for replica in self._replicas.of(target) if shard_pods.ready_since(replica.pod) is None]
        events = (record for record in records if isinstance(record, EventRecord))
        now = self._clock.wall()
        troubles = pod_troubles.last_of(events, [replica.pod for replica in unready], now)
        subject = ExplainedWorkload(
            kind,
            obj,
            self._named(records),
            tuple(m.metadata.name for m in members),
            self._reads.unreachable_clusters(),
            now,
            tuple((r.name, said) for r in unready if (said := traffic_gate.reason(r.pod) or troubles.get(r.pod.metadata.name))),
            room,
            absent,
        )
        return Explanation(
            kind=kind.word,
            name=obj.metadata.name,
            project=obj.metadata.namespace,
            state=obj.status.phase or "Pending",
            sentences=tuple(workload_explanation.explain_present(subject)),
            missing=missing,
            room=room,
            rollback=rollback,
        )

    def _room(self, obj: WorkloadObject, members: Iterable[MemberCluster]) -> str:
        """What the node with the most room has left, if the workload waits for room."""
        lacking = free_room.lacking(obj.status)
        if not lacking:
            return ""
        found = ((m, self._reads.capacity(m)) for m in members if m.metadata.name in lacking)
        rooms = (ClusterRoom(m.metadata.name, m.spec.zone, capacity) for m, capacity in found if capacity is not None)
        try:
            wants = resource_requests.requests(obj.spec.template, resource_requests.DEFAULTS)
        except InvalidQuantityError:
            return ""  # it was changed since; its status says what is wrong
        return free_room.roomiest_node(wants, rooms)

    def _past(self, kind: WorkloadKind, project: str, name: str, records: tuple[AnyRecord, ...]) -> Explanation:
        """Explain the last workload that had the name."""
        uid = next((record.uid for record in reversed(records) if record.uid), "")
        own = replica_names.with_names((record for record in records if record.uid in (uid, "")), {})
        return Explanation(
            kind=kind.word,
            name=name,
            project=project,
            state="Deleted",
            sentences=tuple(workload_explanation.explain_deleted(name, own)),
        )

    async def _before(self, wanted: RecordFilter, page: RecordPage) -> tuple[RevisionRecord, ...]:
        """Revisions before the page's, of the workloads on it."""
        changed = [record for record in page.records if isinstance(record, RevisionRecord)]
        if not changed:
            return ()
        first = min(record.at for record in changed)
        earlier = replace(wanted, types=frozenset({"revision"}), since=None, until=first, text="")
        try:
            found = await self._store.history.page(earlier, limit=REVISIONS)
        except StoreUnavailable:
            raise _away() from None
        shown = {(record.uid, record.generation) for record in changed}
        return tuple(r for r in found.records if isinstance(r, RevisionRecord) and (r.uid, r.generation) not in shown)

    async def _changes(self, wanted: RecordFilter, page: RecordPage) -> tuple[AnyRecord, ...]:
        """Changes between the page's happenings, of types that the page does not show."""
        unseen = CHANGES - wanted.types if wanted.types else frozenset[RecordType]()
        happened = [record for record in page.records if isinstance(record, EventRecord | ExitRecord)]
        if not unseen or not happened:
            return ()
        since, until = min(record.at for record in happened), max(record.until for record in happened)
        asked = replace(wanted, types=unseen, since=since, until=until, text="")
        try:
            return (await self._store.history.page(asked, limit=LONGEST_PAGE)).records
        except StoreUnavailable:
            raise _away() from None

    async def _must_exist(self, wanted: RecordFilter) -> None:
        if not wanted.name:
            return
        kind = kinds.named(wanted.workload, self._reads.workloads)
        if kind is not None and self._reads.get(kind.workload, wanted.project, wanted.name) is not None:
            return
        ever = RecordFilter(wanted.project, wanted.workload, wanted.name, lifetime=wanted.lifetime)
        if not (await self._store.history.page(ever, limit=1)).records:
            word = kind.word if kind is not None else "workload"
            raise problems.not_found(f"{word} {wanted.project}/{wanted.name}, now or in the past")


def _is_of(record: RevisionRecord, wanted: RecordFilter) -> bool:
    since, until = wanted.since or record.at, wanted.until or record.at
    said = not wanted.text or any(wanted.text.lower() in word.lower() for word in record.words)
    return since <= record.at <= until and wanted.uid in ("", record.uid) and said


def _away() -> problems.Problem:
    return problems.unavailable(
        "history cannot be read now: its database does not answer",
        remedy="try again in a moment; nothing is lost, what happens meanwhile is written down later",
    )

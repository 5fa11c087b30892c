"""Records in the history what the gateway's informers show.

It watches workloads on the host, pods in the members and events everywhere. Several gateways record the same events; natural
keys store each once. The recorder waits for the store only for a while, because an event that it misses is lost, and what the
store already has costs only a repetition.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pincompute.api import kinds as table
from pincompute.api.builtin import EVENTS, PODS, Pod
from pincompute.api.builtin import Event as KubeEvent
from pincompute.api.kinds import KINDS, Kinds, WorkloadKind, WorkloadObject
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Object, Resource
from pincompute.api.projects import PROJECTS
from pincompute.api.settings import SETTINGS, Setting, SettingKind
from pincompute.gateway.history import record_extraction
from pincompute.gateway.history.field_manager_lookup import FieldManagerLookup
from pincompute.gateway.history.record_extraction import KnownState, Observation, RecordOwner
from pincompute.gateway.settings_in_use import set_by, settings_in_use
from pincompute.kube.cache_views import Unknown
from pincompute.kube.clock import SYSTEM, Clock
from pincompute.kube.cluster_set import Clusters
from pincompute.store.database import StoreUnavailable
from pincompute.store.history_store import HistoryStore
from pincompute.store.records import (
    GONE,
    AccessRecord,
    AnyRecord,
    DecisionRecord,
    OperationRecord,
    RevisionRecord,
    StateRecord,
    digest,
)

log = logging.getLogger(__name__)

REMEMBERED = 100_000  # deleted pods whose owner is remembered for their last events, and pods whose exits are recorded
PARKED = 1000  # pods that the cache does not have yet and whose events wait
PATIENCE = 10.0  # seconds to wait for the store before beginning without it
AT_ONCE = 200  # changes recorded before other tasks run

T = TypeVar("T", bound=Object)
Value = TypeVar("Value")

Change: TypeAlias = tuple[str, Object, bool]


class HistoryRecorder:
    """Declares and listens, so it is made before the first cluster is added; `run` records until it is cancelled."""

    def __init__(self, clusters: Clusters, store: HistoryStore, clock: Clock = SYSTEM, kinds: Kinds = KINDS) -> None:
        self.recorded = 0
        self._clusters = clusters
        self._store = store
        self._clock = clock
        self._kinds = kinds
        self._changes: deque[Change] = deque()
        self._arrived = asyncio.Event()
        self._authors = FieldManagerLookup(clusters, lambda revision: self._record((revision,)))
        self._workloads: dict[str, KnownState] = {}  # by uid
        self._owners: dict[str, RecordOwner] = {}  # by uid of the pod
        self._exits: dict[str, frozenset[str]] = {}  # keys recorded, by uid of the pod
        self._parked: dict[str, tuple[KubeEvent, ...]] = {}  # by uid of the pod
        self._rollbacks: dict[str, str] = {}  # who rolled back to a version of a setting
        for kind in kinds:
            clusters.listen("host", kind.workload, self._on_change)
        clusters.listen("members", PODS, self._on_change)
        clusters.listen("members", EVENTS, self._on_change)  # no pod runs on the host, where users may write events

    async def run(self) -> None:
        """Follow the caches until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._authors.run())
            group.create_task(self._record_changes())

    async def _record_changes(self) -> None:
        remembered = await self._load_known()
        await self._clusters_synced()
        self._record(self._vanished(remembered))
        while True:
            await self._arrived.wait()
            for _ in range(min(AT_ONCE, len(self._changes))):
                self._record_change(*self._changes.popleft())
            if not self._changes:
                self._arrived.clear()
            await asyncio.sleep(0)

    @property
    def behind(self) -> int:
        """How many changes are not recorded yet."""
        return len(self._changes)

    def record_operation(self, operation: OperationRecord | AccessRecord) -> None:
        """Record an operation that leaves no trace on the object itself."""
        if isinstance(operation, OperationRecord) and operation.verb in ("rollback", "update"):
            version = _of_version(operation.workload, operation.project, operation.name, operation.detail)
            _remember(self._rollbacks, version, operation.author if operation.verb == "rollback" else "", REMEMBERED)
        self._record((operation,))

    def _on_change(self, cluster: str, obj: Object, *, initial: bool) -> None:
        self._changes.append((cluster, obj, initial))
        self._arrived.set()

    async def _load_known(self) -> dict[str, StateRecord]:
        """Load what is already recorded of workloads; empty when the store does not answer."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._store.until_ready()
                return await self._load()
        except (StoreUnavailable, TimeoutError):
            log.info("history is recorded without knowledge of the past: the store does not answer")
            return {}

    async def _load(self) -> dict[str, StateRecord]:
        history = self._store.history
        states = {
            uid: r for uid, r in (await history.latest("state")).items() if isinstance(r, StateRecord) and r.after != GONE
        }
        revisions, decisions = await history.latest("revision"), await history.latest("decision")
        operations = await history.latest("operation")
        for uid, state in states.items():
            revision, decision, operation = revisions.get(uid), decisions.get(uid), operations.get(uid)
            self._workloads[uid] = KnownState(
                revision.generation if isinstance(revision, RevisionRecord) else 0,
                digest(decision.scheduling) if isinstance(decision, DecisionRecord) else "",
                state.after,
                operation.key if operation is not None else "",
                revision.revision if isinstance(revision, RevisionRecord) else "",
                revision.observed if isinstance(revision, RevisionRecord) else False,
                revision.settings if isinstance(revision, RevisionRecord) else (),
            )
        return states

    async def _clusters_synced(self) -> None:
        """Wait for the host's first list; only then is it known which workloads are gone."""
        while True:
            try:
                for kind in self._kinds:
                    await self._clusters.cache(HOST, kind.workload).until_synced()
            except Unknown:
                await self._clock.sleep(0.1)  # the host is added in a moment
            else:
                return

    def _vanished(self, remembered: dict[str, StateRecord]) -> Iterable[AnyRecord]:
        """The ends of workloads that went while no gateway ran."""
        caches = (self._clusters.cache(HOST, kind.workload) for kind in self._kinds)
        present = {obj.metadata.uid for cache in caches for obj in cache.list()}
        for uid, last in remembered.items():
            if uid not in present:
                self._workloads.pop(uid, None)
                yield StateRecord(
                    project=last.project,
                    project_uid=last.project_uid,
                    workload=last.workload,
                    name=last.name,
                    uid=uid,
                    at=self._clock.wall(),
                    before=last.after,
                    after=GONE,
                    message="it was deleted while no gateway ran",
                )

    def _record_change(self, cluster: str, obj: Object, initial: bool) -> None:
        match obj:
            case Pod():
                self._pod(cluster, obj)
            case KubeEvent():
                self._event(cluster, obj)
            case _:
                kind = table.of_object(obj, self._kinds)
                if kind is None:
                    raise TypeError(f"{type(obj).__name__} is not recorded")
                self._workload(kind.workload, cast("WorkloadObject", obj), initial)

    def _workload(self, resource: Resource[Any], obj: WorkloadObject, initial: bool) -> None:
        uid, now = obj.metadata.uid, self._clock.wall()
        before = self._workloads.get(uid, KnownState())
        observation = Observation(now, not initial, dict(self._settings(obj)))
        found, known = record_extraction.workload_records(resource.kind, obj, before, observation)
        self._record(found)
        if before.generation or not initial:  # not for objects older than the first gateway
            self._look_up_authors(resource, found)
        self._workloads[uid] = known
        if self._gone(HOST, resource, obj):
            self._record((record_extraction.end_record(resource.kind, obj, known, now),))
            del self._workloads[uid]

    def _settings(self, obj: WorkloadObject) -> Iterator[tuple[str, str]]:
        """Yields the versions that the workload's revision has, each with who put it in use."""
        for reference in settings_in_use(obj, partial(self._find, HOST)):
            kind = next(kind for kind in SETTINGS if kind.word == reference.word)
            setting = self._find(HOST, kind.resource, Key(obj.metadata.namespace, reference.name))
            yield str(reference), self._put_in_use(kind, setting, reference.version) if setting is not None else ""

    def _put_in_use(self, kind: SettingKind, setting: Setting, version: int) -> str:
        """Whoever rolled back to the version, if that was through this gateway, or else who set it."""
        rolled_back = self._rollbacks.get(_of_version(kind.resource.kind, *setting.key, str(version)), "")
        return rolled_back or set_by(setting, version)

    def _look_up_authors(self, resource: Resource[Any], found: Iterable[AnyRecord]) -> None:
        for record in found:
            if isinstance(record, RevisionRecord) and not (record.author or record.rolled):
                self._authors.ask(resource, record)

    def _pod(self, cluster: str, pod: Pod) -> None:
        owner, uid = record_extraction.pod_owner(pod), pod.metadata.uid
        if owner is None:
            return
        if uid not in self._owners:
            _remember(self._owners, uid, owner, REMEMBERED)
            for event in self._parked.pop(uid, ()):
                self._event(cluster, event)
        exits = {record.key: record for record in record_extraction.exit_records(cluster, pod, owner)}
        known = self._exits.get(uid, frozenset())
        self._record(record for key, record in exits.items() if key not in known)
        if self._gone(cluster, PODS, pod):
            self._exits.pop(uid, None)
        elif exits:
            _remember(self._exits, uid, frozenset(exits), REMEMBERED)

    def _event(self, cluster: str, event: KubeEvent) -> None:
        if self._gone(cluster, EVENTS, event):
            return  # the event expired
        owner = self._owner(cluster, event)
        if owner is None:
            self._park(event)
            return
        record = record_extraction.event_record(cluster, event, owner)
        self._record((record,) if record else ())

    def _park(self, event: KubeEvent) -> None:
        about = event.involved_object
        if about.kind == PODS.kind and self._find(HOST, PROJECTS, Key("", about.namespace)) is not None:
            _remember(self._parked, about.uid, (*self._parked.get(about.uid, ()), event), PARKED)

    def _owner(self, cluster: str, event: KubeEvent) -> RecordOwner | None:
        about = event.involved_object
        if about.kind != PODS.kind:
            return None
        return self._owners.get(about.uid) or self._of_pod(cluster, event) or self._by_name(cluster, event)

    def _of_pod(self, cluster: str, event: KubeEvent) -> RecordOwner | None:
        about = event.involved_object
        pod = self._find(cluster, PODS, Key(about.namespace, about.name))
        return record_extraction.pod_owner(pod) if pod is not None and pod.metadata.uid == about.uid else None

    def _by_name(self, cluster: str, event: KubeEvent) -> RecordOwner | None:
        """The owner of a pod that went before this gateway started, from the pod's name, see domain.shard_pods."""
        project = event.involved_object.namespace
        parts = re.fullmatch(rf"(.+)-{re.escape(cluster)}(-\d+)?", event.involved_object.name)
        if parts is None or self._find(HOST, PROJECTS, Key("", project)) is None:
            return None
        owners = [self._owner_named(kind, Key(project, parts[1])) for kind in self._kinds if kind.scalable == bool(parts[2])]
        return next((owner for owner in owners if owner.uid), next(iter(owners), None))

    def _owner_named(self, kind: WorkloadKind, key: Key) -> RecordOwner:
        """The owner by its name. The uid of a workload that is gone is not known."""
        found = self._find(HOST, kind.workload, key)
        return RecordOwner(key.namespace, kind.workload.kind, key.name, found.metadata.uid if found is not None else "")

    def _find(self, cluster: str, resource: Resource[T], key: Key) -> T | None:
        try:
            return self._clusters.view(cluster, resource).get(key)
        except (Unknown, LookupError):
            return None

    def _gone(self, cluster: str, resource: Resource[Any], obj: Object | WorkloadObject) -> bool:
        """Whether this change was a deletion: the listener gets the last state, and the cache has the object no more."""
        try:
            present = self._clusters.cache(cluster, resource).get(obj.key)
        except (Unknown, LookupError):
            return False  # the cluster was removed; its objects are unknown, not gone
        return present is None or present.metadata.uid != obj.metadata.uid

    def _record(self, records: Iterable[AnyRecord]) -> None:
        found = tuple(record if record.project_uid else self._with_project(record) for record in records)
        if found:
            self.recorded += len(found)
            self._store.record(*found)

    def _with_project(self, record: AnyRecord) -> AnyRecord:
        """Stamps the record with its project's uid. A project of the same name is created only after the end of this one."""
        project = self._find(HOST, PROJECTS, Key("", record.project))
        return replace(record, project_uid=project.metadata.uid) if project is not None else record


def _of_version(kind: str, project: str, name: str, version: str) -> str:
    return f"{kind} {project}/{name} {version}"


def _remember(known: dict[str, Value], key: str, value: Value, limit: int) -> None:
    """Remember a value; the oldest is forgotten at the limit."""
    known.pop(key, None)
    if len(known) >= limit:
        del known[next(iter(known))]
    known[key] = value


class HistoryMetrics(Collector):
    """Shows in /metrics how far history is behind. It registers itself."""

    def __init__(self, registry: CollectorRegistry, recorder: HistoryRecorder, store: HistoryStore) -> None:
        self._recorder = recorder
        self._store = store
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        health = self._store.health
        yield GaugeMetricFamily("pincompute_store_up", "The database answers.", value=not health.trouble)
        waiting = GaugeMetricFamily("pincompute_store_waiting", "Records that wait to be written.", labels=("where",))
        waiting.add_metric(("memory",), health.in_memory)
        waiting.add_metric(("disk",), health.on_disk)
        yield waiting
        yield CounterMetricFamily("pincompute_store_written", "Records written.", value=health.written)
        yield CounterMetricFamily("pincompute_store_refused", "Records the database will never take.", value=health.refused)
        yield CounterMetricFamily("pincompute_store_lost", "Records that found no room.", value=health.lost)
        yield CounterMetricFamily("pincompute_recorder_records", "Records made.", value=self._recorder.recorded)
        yield GaugeMetricFamily(
            "pincompute_recorder_behind", "How many changes are not recorded yet.", value=self._recorder.behind
        )

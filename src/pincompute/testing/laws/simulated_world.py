"""Simulates a world: clusters in memory with their whole history, a clock, and network failures.

There is no cache. A controller sees the history up to some version, so a view of any age, of one kind or one cluster alone, is
a matter of choosing a number.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar, cast

import msgspec

from pincompute.api import builtin
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.kube.cache_views import Question
from pincompute.kube.indexer import BuiltIndex, Index, OfSpec, Ranked, Sum, build
from pincompute.testing.apiserver.cluster_store import ClusterStore
from pincompute.testing.apiserver.version_history import StoredEvent

T = TypeVar("T", bound=Object)

Indexes: TypeAlias = Mapping[Resource[Any], Mapping[str, Index[Any]]]
ClusterKind: TypeAlias = tuple[str, Resource[Any]]
"""One kind in one cluster."""
Listener: TypeAlias = Callable[[str, Resource[Any], Object], None]

START = datetime(2030, 1, 1, tzinfo=UTC)
BUILT_IN: tuple[Resource[Any], ...] = (
    builtin.PODS,
    builtin.NODES,
    builtin.NAMESPACES,
    builtin.SECRETS,
    builtin.CONFIGMAPS,
    builtin.ROLEBINDINGS,
    builtin.LEASES,
    builtin.PODDISRUPTIONBUDGETS,
    builtin.NETWORKPOLICIES,
    builtin.RESOURCEQUOTAS,
    builtin.LIMITRANGES,
)


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One object at one version; `obj` is None when it was removed."""

    number: int
    key: Key
    obj: Object | None
    time: datetime


@dataclass(frozen=True, slots=True)
class WorldChange:
    """A change by the controllers, or one that they consented to: versions of one cluster after `before`."""

    cluster: str
    before: int
    after: int


@dataclass
class ObjectHistory:
    """One kind in one cluster, from the beginning."""

    versions: list[ObjectVersion] = field(default_factory=list)
    now: dict[Key, Object] = field(default_factory=dict)
    _kept: dict[str, BuiltIndex[Any]] = field(default_factory=dict)
    _past: dict[int, dict[Key, Object]] = field(default_factory=dict)  # by the number of versions that made it

    def add(self, version: ObjectVersion) -> None:
        self.versions.append(version)
        for index in self._kept.values():
            index.change(version.key, self.now.get(version.key), version.obj)
        if version.obj is None:
            self.now.pop(version.key, None)
        else:
            self.now[version.key] = version.obj

    def at(self, number: int) -> dict[Key, Object]:
        if not self.versions or self.versions[-1].number <= number:
            return self.now
        count = bisect_right(self.versions, number, key=lambda version: version.number)
        if count not in self._past:
            self._past[count] = self._replay(count)
        return self._past[count]

    def _replay(self, count: int) -> dict[Key, Object]:
        past: dict[Key, Object] = {}
        for version in self.versions[:count]:
            if version.obj is None:
                past.pop(version.key, None)
            else:
                past[version.key] = version.obj
        return past

    def fork(self) -> ObjectHistory:
        """Returns another world in the same state without listeners; the two are independent."""
        return ObjectHistory(list(self.versions), dict(self.now), _past=dict(self._past))

    def index(self, name: str, index: Index[Any]) -> BuiltIndex[Any]:
        """Returns an index of the present objects; from then on it follows every change."""
        if name not in self._kept:
            self._kept[name] = filled(index, self.now)
        return self._kept[name]


def filled(index: Index[Any], objects: Mapping[Key, Object]) -> BuiltIndex[Any]:
    made = build(index)
    for key, obj in objects.items():
        made.change(key, None, obj)
    return made


def since(history: Sequence[ObjectVersion], number: int) -> Iterator[ObjectVersion]:
    """Yields what happened after a version, newest first."""
    for version in reversed(history):
        if version.number <= number:
            return
        yield version


class SimulatedWorld:
    """Clusters with their history. `silent` clusters do not answer and their caches stand still; `cut` ones are not even
    connected; `unsynced` kinds have not synced.
    """

    def __init__(
        self,
        clusters: Iterable[str],
        resources: Iterable[Resource[Any]],
        applied: frozenset[Resource[Any]] | None = None,
    ) -> None:
        self.now = START
        self.silent: dict[str, int] = {}  # cluster -> version at which its caches stand still
        self.cut: set[str] = set()
        self.unsynced: set[ClusterKind] = set()
        self.slow: dict[str, float] = {}  # cluster -> seconds that its caches are behind
        self._clocks: dict[str, list[tuple[datetime, int]]] = {}
        self.silent_since: dict[str, datetime] = {}
        self.answers: dict[Question[Any], Any] = {}  # to inputs beyond the caches; what is not here is unknown
        self.writes = 0  # by controllers
        self.changes: list[WorldChange] = []
        self.versions_read: dict[str, int] = {}  # the versions at which the last reconciliation began
        self.on_write: Callable[[str], None] = lambda _what: None
        self._uids = 0
        self._kinds: dict[Resource[Any], None] = dict.fromkeys((*BUILT_IN, *resources))
        self._histories: dict[ClusterKind, ObjectHistory] = {}
        self._listeners: list[Listener] = []
        self._answer_listeners: list[Callable[[Question[Any]], None]] = []
        custom = [resource for resource in self._kinds if resource not in BUILT_IN and resource.group]
        self._applied = applied
        self.stores = {c: ClusterStore(self._clock, custom, uid=self._uid, shares=True, applied=applied) for c in clusters}
        for cluster, store in self.stores.items():
            store.subscribe(self._recorder(cluster))

    def fork(self) -> SimulatedWorld:
        """Another world in the same state, to which nobody listens; what happens in the one is not seen in the other."""
        twin = SimulatedWorld((), (), self._applied)
        twin.now, twin.writes, twin._uids, twin._kinds = self.now, self.writes, self._uids, self._kinds
        twin.silent, twin.cut, twin.unsynced = dict(self.silent), set(self.cut), set(self.unsynced)
        twin.slow, twin.answers = dict(self.slow), dict(self.answers)
        twin._clocks = {cluster: list(times) for cluster, times in self._clocks.items()}
        twin.silent_since, twin.changes = dict(self.silent_since), list(self.changes)
        twin._histories = {kind_there: history.fork() for kind_there, history in self._histories.items()}
        twin.stores = {
            cluster: ClusterStore(twin._clock, uid=twin._uid, shares=True, applied=self._applied, origin=store)
            for cluster, store in self.stores.items()
        }
        for cluster, store in twin.stores.items():
            store.subscribe(twin._recorder(cluster))
        return twin

    @property
    def resources(self) -> tuple[Resource[Any], ...]:
        return tuple(self._kinds)

    def objects(self, cluster: str, resource: Resource[T], at: int | None = None) -> dict[Key, Any]:
        """Returns the objects now, or at a version. They must not be changed."""
        history = self._histories.get((cluster, resource))
        if history is None:
            return {}
        return history.now if at is None else history.at(at)

    def kind(self, cluster: str, resource: Resource[Any]) -> ObjectHistory:
        """Returns one kind in one cluster, from the beginning to now."""
        return self._histories.setdefault((cluster, resource), ObjectHistory())

    def history(self, cluster: str, resource: Resource[Any]) -> list[ObjectVersion]:
        """Returns everything that ever happened to the kind there."""
        history = self._histories.get((cluster, resource))
        return history.versions if history else []

    def every(self) -> Iterator[tuple[str, Resource[Any], Object]]:
        """Yields everything in every cluster, in a stable order."""
        for cluster in sorted(self.stores):
            for resource in self._kinds:
                for _, obj in sorted(self.objects(cluster, resource).items()):
                    yield cluster, resource, obj

    def version(self, cluster: str) -> int:
        return int(self.stores[cluster].resource_version)

    def begin_reconciliation(self) -> None:
        self.versions_read = {cluster: self.version(cluster) for cluster in self.stores}

    def behind(self, cluster: str) -> int | None:
        """Returns the version that the caches of a slow cluster show; None where they show the present."""
        lag = self.slow.get(cluster)
        if lag is None:
            return None
        times = self._clocks.get(cluster, [])
        count = bisect_right(times, self.now - timedelta(seconds=lag), key=lambda entry: entry[0])
        return times[count - 1][1] if count else 0

    def pass_time(self, seconds: float) -> None:
        for cluster in self.slow:
            self._clocks.setdefault(cluster, []).append((self.now, self.version(cluster)))
        self.now += timedelta(seconds=seconds)

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def tell(self, question: Question[Any], answer: Any = None) -> None:
        """Sets the answer to a question; None makes it unknown. All who may ask it get an event."""
        self.answers[question] = answer
        for listener in self._answer_listeners:
            listener(question)

    def on_answer(self, listener: Callable[[Question[Any]], None]) -> None:
        self._answer_listeners.append(listener)

    def silence(self, cluster: str) -> None:
        shown = self.behind(cluster)
        self.silent.setdefault(cluster, self.version(cluster) if shown is None else shown)
        self.silent_since.setdefault(cluster, self.now)

    def restore(self, cluster: str) -> None:
        self.silent.pop(cluster, None)
        self.silent_since.pop(cluster, None)

    def record_change(self, cluster: str, before: int) -> None:
        """Records that a controller wrote to the cluster, which was at version `before`."""
        self.changes.append(WorldChange(cluster, before, self.version(cluster)))

    def record_consented(self, cluster: str, before: int, what: str) -> None:
        """Records a change by somebody else that needs our consent, so that it is judged like our own writes."""
        self.record_change(cluster, before)
        self.on_write(what)

    def edit(self, cluster: str, resource: Resource[Any], key: Key, body: Manifest, subresource: str = "") -> None:
        """Sends a merge patch in the name of somebody else than the controllers; what does not exist is left alone."""
        if key in self.objects(cluster, resource):
            store = self.stores[cluster]
            store.patch(resource, key, body, content_type="merge-patch", subresource=subresource, manager="somebody")

    def make(self, cluster: str, resource: Resource[Any], body: Manifest) -> None:
        """Creates an object in the name of somebody else than the controllers."""
        self.stores[cluster].create(resource, body["metadata"].get("namespace", ""), body, manager="somebody")

    def remove(self, cluster: str, resource: Resource[Any], key: Key) -> None:
        """Deletes an object in the name of somebody else than the controllers."""
        if key in self.objects(cluster, resource):
            self.stores[cluster].delete(resource, key)

    def _clock(self) -> datetime:
        return self.now

    def _uid(self) -> str:
        self._uids += 1
        return f"00000000-0000-4000-8000-{self._uids:012d}"

    def _recorder(self, cluster: str) -> Callable[[Resource[Any], StoredEvent], None]:
        def record(resource: Resource[Any], event: StoredEvent) -> None:
            if resource not in self._kinds:
                return
            obj = msgspec.convert(event.object, resource.type)
            gone = event.type == "DELETED"
            history = self._histories.setdefault((cluster, resource), ObjectHistory())
            history.add(ObjectVersion(int(event.resource_version), obj.key, None if gone else obj, self.now))
            for listener in self._listeners:
                listener(cluster, resource, obj)

        return record


class HistoricView(Generic[T]):
    """A view of one moment. `history`, if given, is at that moment and keeps the indexes."""

    __slots__ = ("_history", "_indexes", "_objects", "_order")
    synced = True

    def __init__(
        self,
        objects: Mapping[Key, T],
        indexes: Mapping[str, Index[Any]],
        order: Callable[[list[Any]], list[Any]],
        history: ObjectHistory | None = None,
    ) -> None:
        self._objects = objects
        self._indexes = indexes
        self._order = order
        self._history = history

    def get(self, key: Key) -> T | None:
        return self._objects.get(key)

    def list(self, namespace: str = "") -> Iterable[T]:
        return self._order([obj for key, obj in self._objects.items() if namespace in ("", key.namespace)])

    def by(self, index: str, value: str) -> Iterable[T]:
        given = self._indexes[index]
        declared = cast("OfSpec[Any]", given).index if isinstance(given, OfSpec) else given
        if isinstance(declared, Ranked | Sum):
            return [self._objects[key] for key in self._index(index).keys(value)]
        return self._order([obj for obj in self._objects.values() if value in declared(obj)])

    def values(self, index: str) -> Iterable[str]:
        return self._order([*self._index(index).values()])

    def total(self, name: str, group: str, after: int = -1) -> Mapping[str, int]:
        return self._index(name).total(group, after)

    def _index(self, name: str) -> BuiltIndex[Any]:
        index = self._indexes[name]
        return self._history.index(name, index) if self._history is not None else filled(index, self._objects)

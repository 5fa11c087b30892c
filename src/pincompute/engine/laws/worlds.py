"""A world: clusters in memory with their whole history, a clock, and what is wrong with the network.

The surprising rule: there is no cache. What a controller sees is the history up to some version, so that a view of any age,
of one kind or one cluster alone, is a matter of choosing a number.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from pincompute.api import core
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.kube.indexes import Index, Kept, Ranked, Sum, kept
from pincompute.kube.memory.journal import Event
from pincompute.kube.memory.store import Store
from pincompute.kube.views import Question

T = TypeVar("T", bound=Object)

Indexes: TypeAlias = Mapping[Resource[Any], Mapping[str, Index[Any]]]
Spot: TypeAlias = tuple[str, Resource[Any]]
"""One kind in one cluster."""
News: TypeAlias = Callable[[str, Resource[Any], Object], None]

START = datetime(2030, 1, 1, tzinfo=UTC)
BUILT_IN: tuple[Resource[Any], ...] = (
    core.PODS,
    core.NODES,
    core.NAMESPACES,
    core.SECRETS,
    core.LEASES,
    core.PODDISRUPTIONBUDGETS,
)


@dataclass(frozen=True, slots=True)
class Version:
    """What became of one object at one version; `obj` is None when it went."""

    number: int
    key: Key
    obj: Object | None


@dataclass
class History:
    """One kind in one cluster, from the beginning."""

    versions: list[Version] = field(default_factory=list)
    now: dict[Key, Object] = field(default_factory=dict)

    def add(self, version: Version) -> None:
        self.versions.append(version)
        if version.obj is None:
            self.now.pop(version.key, None)
        else:
            self.now[version.key] = version.obj

    def at(self, number: int) -> dict[Key, Object]:
        if not self.versions or self.versions[-1].number <= number:
            return self.now
        past: dict[Key, Object] = {}
        for version in self.versions:
            if version.number > number:
                break
            if version.obj is None:
                past.pop(version.key, None)
            else:
                past[version.key] = version.obj
        return past


class World:
    """`silent` clusters do not answer and their caches stand still; `cut` ones are not even connected; `blind` kinds have not
    synced."""

    def __init__(self, clusters: Iterable[str], resources: Iterable[Resource[Any]]) -> None:
        self.now = START
        self.silent: dict[str, int] = {}  # cluster -> version at which its caches stand still
        self.cut: set[str] = set()
        self.blind: set[Spot] = set()
        self.answers: dict[Question[Any], Any] = {}  # to inputs beyond the caches; what is not here is unknown
        self.writes = 0  # by controllers
        self._uids = itertools.count(1)
        self._kinds = {str(resource): resource for resource in (*BUILT_IN, *resources)}
        self._histories: dict[tuple[str, str], History] = {}
        self._listeners: list[News] = []
        self._told: list[Callable[[Question[Any]], None]] = []
        custom = [resource for name, resource in self._kinds.items() if resource not in BUILT_IN and "." in name]
        self.stores = {cluster: Store(self._clock, custom, uid=self._uid) for cluster in clusters}
        for cluster, store in self.stores.items():
            store.subscribe(self._recorder(cluster))

    @property
    def resources(self) -> tuple[Resource[Any], ...]:
        return tuple(self._kinds.values())

    def objects(self, cluster: str, resource: Resource[T], at: int | None = None) -> dict[Key, Any]:
        """What there is, or was at a version. Not to be changed."""
        history = self._histories.get((cluster, str(resource)))
        if history is None:
            return {}
        return history.now if at is None else history.at(at)

    def history(self, cluster: str, resource: Resource[Any]) -> list[Version]:
        """All that ever happened to the kind there."""
        history = self._histories.get((cluster, str(resource)))
        return history.versions if history else []

    def every(self) -> Iterator[tuple[str, Resource[Any], Object]]:
        """Everything in every cluster, in a stable order."""
        for cluster in sorted(self.stores):
            for resource in self._kinds.values():
                for _, obj in sorted(self.objects(cluster, resource).items()):
                    yield cluster, resource, obj

    def version(self, cluster: str) -> int:
        return int(self.stores[cluster].resource_version)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def listen(self, listener: News) -> None:
        self._listeners.append(listener)

    def tell(self, question: Question[Any], answer: Any = None) -> None:
        """From now on a question has this answer; None: it is unknown. It is news to all who may ask it."""
        self.answers[question] = answer
        for listener in self._told:
            listener(question)

    def on_answer(self, listener: Callable[[Question[Any]], None]) -> None:
        self._told.append(listener)

    def silence(self, cluster: str) -> None:
        self.silent.setdefault(cluster, self.version(cluster))

    def edit(self, cluster: str, resource: Resource[Any], key: Key, body: Manifest, subresource: str = "") -> None:
        """A merge patch by somebody who is no controller under test; what does not exist is left alone."""
        if key in self.objects(cluster, resource):
            store = self.stores[cluster]
            store.patch(resource, key, body, content_type="merge-patch", subresource=subresource, manager="somebody")

    def make(self, cluster: str, resource: Resource[Any], body: Manifest) -> None:
        """Created by somebody who is no controller under test."""
        self.stores[cluster].create(resource, body["metadata"].get("namespace", ""), body, manager="somebody")

    def remove(self, cluster: str, resource: Resource[Any], key: Key) -> None:
        """Deleted by somebody who is no controller under test."""
        if key in self.objects(cluster, resource):
            self.stores[cluster].delete(resource, key)

    def _clock(self) -> datetime:
        return self.now

    def _uid(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._uids):012d}"

    def _recorder(self, cluster: str) -> Callable[[Resource[Any], Event], None]:
        def record(resource: Resource[Any], event: Event) -> None:
            known = self._kinds.get(str(resource))
            if known is None:
                return
            obj = msgspec.convert(event.object, known.type)
            gone = event.type == "DELETED"
            history = self._histories.setdefault((cluster, str(resource)), History())
            history.add(Version(int(event.resource_version), obj.key, None if gone else obj))
            for listener in self._listeners:
                listener(cluster, known, obj)

        return record


class FixedView(Generic[T]):
    """A view of one moment."""

    synced = True

    def __init__(
        self, objects: Mapping[Key, T], indexes: Mapping[str, Index[Any]], order: Callable[[list[Any]], list[Any]]
    ) -> None:
        self._objects = objects
        self._indexes = indexes
        self._order = order

    def get(self, key: Key) -> T | None:
        return self._objects.get(key)

    def list(self, namespace: str = "") -> Iterable[T]:
        return self._order([obj for key, obj in self._objects.items() if namespace in ("", key.namespace)])

    def by(self, index: str, value: str) -> Iterable[T]:
        declared = self._indexes[index]
        if isinstance(declared, Ranked | Sum):
            return [self._objects[key] for key in self._index(index).keys(value)]
        return self._order([obj for obj in self._objects.values() if value in declared(obj)])

    def values(self, index: str) -> Iterable[str]:
        return self._order(list(self._index(index).values()))

    def total(self, name: str, group: str, after: int = -1) -> Mapping[str, int]:
        return self._index(name).total(group, after)

    def _index(self, name: str) -> Kept[Any]:
        """Worked out from all objects."""
        index = kept(self._indexes[name])
        for key, obj in self._objects.items():
            index.change(key, None, obj)
        return index

"""Implements the engine's interfaces over simulated worlds: a process's views and its writer, synchronously.

`Staleness` makes views stale: it shows all or some kinds of the world as they were some writes ago.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar, cast

import msgspec

from pincompute.api.labels import HOST, LOCAL
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.engine import executor
from pincompute.engine.controller import Card
from pincompute.engine.error_classification import UndeclaredAccessError
from pincompute.engine.interfaces import PatchSubresource, Propagation, Subresource
from pincompute.engine.plan import Ref
from pincompute.kube.api_errors import Invalid, NotFound, RequestInfo, Unreachable
from pincompute.kube.cache_views import Question, Unknown
from pincompute.kube.write_requests import of_patch
from pincompute.testing.apiserver import eviction
from pincompute.testing.laws.simulated_world import BUILT_IN, ClusterKind, HistoricView, Indexes, SimulatedWorld

T = TypeVar("T", bound=Object)
V = TypeVar("V")
Order: TypeAlias = Callable[[list[Any]], list[Any]]
ReadableKinds: TypeAlias = Mapping[ClusterKind, str]
"""What a card reads in which cluster, by the process's name of it; and the world's name of it."""


@dataclass
class Staleness:
    """Shows kinds as they were `delay` writes before. A frozen one stays at the versions of the moment it was started."""

    delay: int = 0
    frozen: bool = False
    shows_old: Callable[[ClusterKind], bool] = lambda _kind: True
    _since: dict[str, int] = field(default_factory=dict)

    def start(self, world: SimulatedWorld) -> None:
        self._since = {cluster: world.version(cluster) for cluster in world.stores}

    def version(self, world: SimulatedWorld, kind_there: ClusterKind) -> int | None:
        """Returns the version to show; None for the present."""
        if not self.shows_old(kind_there):
            return None
        now = self._since[kind_there[0]] if self.frozen else world.version(kind_there[0])
        return now - self.delay


@dataclass(frozen=True, slots=True)
class Outage:
    """A kind that has not synced, or (no kind) a cluster that is silent or, if `cut`, not connected."""

    cluster: str
    resource: Resource[Any] | None = None
    cut: bool = False

    def __str__(self) -> str:
        if self.resource is not None:
            return f"{self.resource} of {self.cluster} has not synced"
        return f"{self.cluster} is {'not connected' if self.cut else 'silent'}"

    def begin(self, world: SimulatedWorld) -> None:
        if self.resource is not None:
            world.unsynced.add((self.cluster, self.resource))
        elif self.cut:
            world.cut.add(self.cluster)
        else:
            world.silence(self.cluster)

    def end(self, world: SimulatedWorld) -> None:
        if self.resource is not None:
            world.unsynced.discard((self.cluster, self.resource))
        elif self.cut:
            world.cut.discard(self.cluster)
        else:
            world.restore(self.cluster)


class Fault(StrEnum):
    """What goes wrong at one write."""

    CRASH_BEFORE = "crash before the write"
    CRASH_AFTER = "crash after the write"
    ANSWER_LOST = "the write happens, its answer is lost"
    NOT_SENT = "the write does not happen, the controller learns so"


class Crash(BaseException):
    """The process is gone, and with it everything it had in memory."""


class SimulatedViews:
    """Implements `Views` of one process for one controller; kinds that its card does not declare are refused."""

    def __init__(
        self,
        world: SimulatedWorld,
        clusters: Mapping[str, str],
        card: Card[Any],
        indexes: Indexes,
        staleness: Staleness | None,
        order: Order,
        seen: ReadableKinds | None = None,
    ) -> None:
        self._world = world
        self._clusters = clusters
        self._card = card
        self._readable = readable_kinds(card, clusters) if seen is None else seen
        self._indexes = indexes
        self._staleness = staleness
        self._order = order
        self._clear = staleness is None and not (world.silent or world.cut or world.unsynced or world.slow)
        self._members: tuple[str, ...] | None = None

    def view(self, cluster: str, resource: Resource[T]) -> HistoricView[T]:
        name = self._readable.get((cluster, resource))
        if name is None:
            raise self._not_visible(cluster, resource)
        at = None if self._clear else self._version(cluster, name, resource)
        history = self._world.kind(name, resource)
        objects = cast("dict[Key, T]", history.now if at is None else history.at(at))
        return HistoricView(objects, self._indexes.get(resource, {}), self._order, history if at is None else None)

    def _not_visible(self, cluster: str, resource: Resource[Any]) -> Exception:
        where = executor.where_of(cluster)
        if any(executor.where_of(mine) == where and resource == kind for mine, kind in self._readable):
            return Unknown(f"{cluster} is not connected")
        return UndeclaredAccessError(f"{self._card.name} reads {resource} in {cluster}, which its card does not name")

    def _version(self, cluster: str, name: str, resource: Resource[Any]) -> int | None:
        """Returns the version to show; None for the present."""
        if name in self._world.cut:
            raise Unknown(f"{cluster} is not connected")
        if (name, resource) in self._world.unsynced:
            raise Unknown(f"{resource} of {cluster} has not synced")
        at = self._staleness.version(self._world, (name, resource)) if self._staleness else self._world.behind(name)
        return self._world.silent.get(name, at)

    def members(self) -> tuple[str, ...]:
        if self._members is None:
            known = (c for c, name in self._clusters.items() if c not in (HOST, LOCAL) and name not in self._world.cut)
            self._members = tuple(sorted(known))
        return self._members

    def answer(self, question: Question[V]) -> V:
        if not any(isinstance(question, wanted.question) for wanted in self._card.inputs):
            raise UndeclaredAccessError(f"{self._card.name} asks for {question}, which its card does not name")
        found: V | None = self._world.answers.get(question)
        if found is None:
            raise Unknown(f"{question} is unknown")
        return found

    def reachable(self, cluster: str) -> bool:
        name = self._clusters.get(cluster)
        return name is not None and name not in self._world.cut and name not in self._world.silent

    def resting(self, ref: Ref, version: str) -> bool:  # noqa: ARG002 - failed actions are tried again at once
        return False


def readable_kinds(card: Card[Any], clusters: Mapping[str, str]) -> ReadableKinds:
    return {
        (mine, reads.resource): name
        for mine, name in clusters.items()
        for reads in card.reads
        if reads.where == executor.where_of(mine)
    }


class SimulatedWriter:
    """Implements `Writer` to one cluster. It counts every write; `faults` says what goes wrong at which."""

    def __init__(
        self, world: SimulatedWorld, cluster: str, faults: Mapping[int, Fault], written: Callable[[WriteRecord], None]
    ) -> None:
        self._world = world
        self._store = world.stores[cluster]
        self._cluster = cluster
        self._faults = faults
        self._written = written

    async def get(self, resource: Resource[Any], key: Key) -> Object | None:
        self._reach()
        try:
            return msgspec.convert(self._store.get(resource, key), resource.type)
        except NotFound:
            return None

    async def content(self, resource: Resource[Any], key: Key) -> Manifest | None:
        self._reach()
        try:
            return self._store.get(resource, key)
        except NotFound:
            return None

    async def recent(self, resource: Resource[Any], key: Key) -> Object | None:
        return await self.get(resource, key)

    def cached_uids(self, resource: Resource[Any], index: str, value: str, *, recent: bool) -> frozenset[str] | None:  # noqa: ARG002 - views of a simulation may be of any age
        return None

    async def uids(self, resource: Resource[Any], namespace: str, label: str, value: str) -> frozenset[str]:
        self._reach()
        page = self._store.list(resource, namespace, f"{label}={value}")
        return frozenset(item["metadata"]["uid"] for item in page.items)

    async def create(self, resource: Resource[Any], body: Manifest, manager: str) -> None:
        namespace = body["metadata"].get("namespace", "")
        self._write("create", body, lambda: self._store.create(resource, namespace, body, manager=manager))

    async def apply(self, resource: Resource[Any], body: Manifest, manager: str) -> None:
        key = Key(body["metadata"].get("namespace", ""), body["metadata"]["name"])
        self._write(
            "apply",
            body,
            lambda: self._store.patch(resource, key, body, content_type="apply-patch", manager=manager, force=True),
        )

    async def update(self, resource: Resource[Any], key: Key, body: Manifest, subresource: Subresource, manager: str) -> None:
        self._write(
            f"update {subresource}".rstrip(),
            body,
            lambda: self._store.update(resource, key, body, subresource=subresource, manager=manager),
        )

    async def patch(
        self, resource: Resource[Any], key: Key, body: Manifest, manager: str, subresource: PatchSubresource = ""
    ) -> None:
        self._write(
            subresource or "patch",
            body,
            lambda: self._store.patch(
                resource,
                key,
                body,
                content_type="strategic-merge-patch" if resource in BUILT_IN else "merge-patch",
                manager=manager,
                subresource=subresource,
            ),
        )

    async def delete(
        self, resource: Resource[Any], key: Key, uid: str, resource_version: str, propagation: Propagation
    ) -> None:
        self._write(
            f"delete {resource.kind} {key}",
            {},
            lambda: self._store.delete(resource, key, uid=uid, resource_version=resource_version, propagation=propagation),
        )

    async def evict(self, key: Key, uid: str, resource_version: str) -> None:
        self._write(
            f"evict Pod {key}", {}, lambda: eviction.evict(self._store, key, uid=uid, resource_version=resource_version)
        )

    async def scale(
        self, resource: Resource[Any], key: Key, replicas: int, uid: str, resource_version: str, manager: str
    ) -> None:
        body = {"metadata": {"uid": uid, "resourceVersion": resource_version}, "spec": {"replicas": replicas}}
        self._write(
            f"scale {resource.kind} {key} to {replicas}",
            {},
            lambda: self._store.patch(resource, key, body, content_type="merge-patch", manager=manager, subresource="scale"),
        )

    def _write(self, verb: str, body: Manifest, do: Callable[[], Any]) -> None:
        self._reach()
        number, self._world.writes = self._world.writes, self._world.writes + 1
        fault = self._faults.get(number)
        if fault is Fault.CRASH_BEFORE:
            raise Crash
        if fault is Fault.NOT_SENT:
            raise self._unreachable("connection refused")
        before = self._world.version(self._cluster)
        try:
            do()
        except Invalid as error:
            raise of_patch(error) from error
        self._world.record_change(self._cluster, before)
        self._written(WriteRecord(number, self._cluster, verb, body, fault))
        if fault is Fault.CRASH_AFTER:
            raise Crash
        if fault is Fault.ANSWER_LOST:
            raise self._unreachable("connection reset before the answer")

    def _reach(self) -> None:
        if self._cluster in self._world.silent or self._cluster in self._world.cut:
            raise self._unreachable("timed out")

    def _unreachable(self, message: str) -> Unreachable:
        return Unreachable(RequestInfo(self._cluster, "request", ""), message)


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """One write, turned into text when it is printed."""

    number: int
    cluster: str
    verb: str
    body: Manifest
    fault: Fault | None

    def __str__(self) -> str:
        fault = f" [{self.fault}]" if self.fault else ""
        if not self.body:
            return f"{self.number}: {self.verb} in {self.cluster}{fault}"
        metadata = self.body["metadata"]
        name = Key(metadata.get("namespace", ""), metadata["name"])
        rest = {name: part for name, part in self.body.items() if name not in ("metadata", "apiVersion", "kind")}
        pins = {name: part for name, part in metadata.items() if name not in ("name", "namespace", "labels")}
        what = f"{self.verb} {self.body['kind']} {name} in {self.cluster}: {str(rest)[:300]} {str(pins)[:200]}"
        return f"{self.number}: {what}{fault}"


def in_order(objects: list[Any]) -> list[Any]:
    return objects


def reversed_order(objects: list[Any]) -> list[Any]:
    return objects[::-1]


def shuffled(rng: random.Random) -> Order:
    return lambda objects: rng.sample(objects, len(objects))


def read_kinds(case_cards: Iterable[Card[Any]], clusters: Mapping[str, str]) -> tuple[ClusterKind, ...]:
    """Returns every kind in every cluster that the cards of one process read."""
    found = {
        (name, reads.resource): None
        for card in case_cards
        for reads in card.reads
        for cluster, name in clusters.items()
        if executor.where_of(cluster) == reads.where
    }
    return tuple(found)

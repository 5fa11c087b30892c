"""Finds the replicas of a workload by the names that users give them: `hello/3` is the fourth, `hello/b1-0` the first in b1.

Numbers are not assigned. They follow from the placement and from the ordinals of pods, so every gateway computes the same ones:
the first replica of each cluster, by zone, then the second of each, and so on. A scale therefore leaves the numbers of the
other replicas as they are, and a replacement in the same cluster inherits its number. Replicas beyond the placement, while an
update or a move goes on or they stop, have numbers behind all others, which depend on no other replica: they keep theirs while
others come and go. A move to another cluster may change numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from pincompute.api.builtin import PODS, ContainerStatus, Pod
from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.labels import APP, CLUSTER, HOST, WORKLOAD, ZONE
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Resource
from pincompute.domain import shard_pods
from pincompute.gateway import problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.operation.replica_access import ReplicaPlace
from pincompute.kube.cache_views import Unknown

Where: TypeAlias = tuple[str, str]
"""Zone and cluster."""


@dataclass(frozen=True, slots=True)
class WorkloadRef:
    """A workload: its kind, its project and its name."""

    kind: WorkloadKind
    project: str
    name: str

    @property
    def resource(self) -> Resource[Any]:
        return self.kind.workload

    @property
    def spoken(self) -> str:
        """The workload in the words of a problem."""
        return f"{self.kind.word} {self.project}/{self.name}"


@dataclass(frozen=True, slots=True)
class Replica:
    """One pod of a workload. `answers` is false while its cluster is unreachable and only its last state is known."""

    workload: str
    number: int
    cluster: str
    pod: Pod
    answers: bool = True

    @property
    def name(self) -> str:
        return f"{self.workload}/{self.number}"

    @property
    def zone(self) -> str:
        return self.pod.metadata.labels.get(ZONE, "")

    @property
    def uid(self) -> str:
        return self.pod.metadata.uid

    @property
    def place(self) -> ReplicaPlace:
        return ReplicaPlace(self.cluster, self.pod.key)

    @property
    def containers(self) -> tuple[str, ...]:
        """Those that run as long as the pod: containers first, then sidecars."""
        sidecars = [c.name for c in self.pod.spec.init_containers if c.restart_policy == "Always"]
        return (*(c.name for c in self.pod.spec.containers), *sidecars)

    def status(self, container: str) -> ContainerStatus | None:
        statuses = (*self.pod.status.container_statuses, *self.pod.status.init_container_statuses)
        return next((status for status in statuses if status.name == container), None)


class ReplicaName(NamedTuple):
    """What users call the pods of one name. `since` is when the present one was made, if the placement gives its name another
    number: former pods of the name were other replicas.
    """

    text: str
    since: datetime | None = None


_NO_REPLICA = ReplicaName("")


@dataclass(slots=True)
class ReplicaLookup:
    """Finds the replicas of a workload, and reports their changes."""

    reads: CacheReads
    _waiting: dict[tuple[str, str], set[asyncio.Event]] = field(
        default_factory=dict[tuple[str, str], set[asyncio.Event]], init=False
    )

    def __post_init__(self) -> None:
        self.reads.clusters.listen("members", PODS, self._changed)
        self.reads.clusters.on_contact(self._contact)

    def of(self, target: WorkloadRef) -> tuple[Replica, ...]:
        """The replicas in the order of their numbers, terminating ones included."""
        pods = self.reads.pods(target.project, target.name)
        found = [(cluster, pod) for cluster, pod in pods if pod.metadata.labels.get(WORKLOAD) == target.resource.kind]
        numbers = number([pod for _, pod in found], self._placed(target), self._members())
        made = (
            Replica(target.name, numbers[pod.metadata.uid], cluster, pod, self.reads.clusters.answers(cluster))
            for cluster, pod in found
        )
        return tuple(sorted(made, key=lambda replica: replica.number))

    def names(self, target: WorkloadRef) -> Mapping[str, ReplicaName]:
        """The names of replicas by the names of their pods, also of pods that the placement will have again."""
        slots = enumerate(_slots(self._placed(target)))
        names = {
            shard_pods.name_of(target.name, cluster, rank): ReplicaName(f"{target.name}/{number_}")
            for number_, (rank, _, cluster) in slots
        }
        for replica in self.of(target):
            made = replica.pod.metadata
            if names.get(made.name, _NO_REPLICA).text != replica.name:
                names[made.name] = ReplicaName(replica.name, made.creation_timestamp)
        return names

    def unreachable_clusters(self) -> tuple[str, ...]:
        """Clusters that do not answer now."""
        return self.reads.unreachable_clusters()

    def unreachable_zones(self) -> tuple[str, ...]:
        """Zones that do not answer now, at least in part."""
        return self.reads.unreachable_zones()

    @contextmanager
    def changes(self, target: WorkloadRef) -> Generator[asyncio.Event]:
        """An event that is set at every change of the workload's replicas, or of the contact to a cluster."""
        event, key = asyncio.Event(), (target.project, target.name)
        self._waiting.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    def _placed(self, target: WorkloadRef) -> dict[Where, int]:
        """Replicas by zone and cluster; empty before the workload is placed, and after its end."""
        try:
            obj: WorkloadObject | None = self.reads.clusters.view(HOST, target.resource).get(Key(target.project, target.name))
        except Unknown:
            return {}
        made = obj.status.scheduling if obj is not None else None
        return {(row.zone, row.cluster): row.replicas for row in made.placement} if made is not None else {}

    def _members(self) -> frozenset[Where]:
        """All clusters of the region with their zones."""
        try:
            members = self.reads.clusters.view(HOST, MEMBERCLUSTERS).list()
        except Unknown:
            return frozenset()
        return frozenset((member.spec.zone, member.metadata.name) for member in members)

    def _changed(self, cluster: str, obj: Pod, *, initial: bool) -> None:  # noqa: ARG002 - the listener's shape
        for event in self._waiting.get((obj.metadata.namespace, obj.metadata.labels.get(APP, "")), ()):
            event.set()

    def _contact(self, _cluster: str) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()


def number(found: Iterable[Pod], placed: Mapping[Where, int], members: Collection[Where] = ()) -> dict[str, int]:
    """The number of each pod by its uid. A terminating pod shares its number with its replacement. `members`: the clusters of
    the region, in which replicas beyond the placement may be.
    """
    ordered = sorted(found, key=_order)
    living = [pod for pod in ordered if shard_pods.is_live(pod)]
    slots = {slot: n for n, slot in enumerate(_slots(placed))}
    numbers = {pod.metadata.uid: slots[_slot(pod)] for pod in living if _slot(pod) in slots}
    free: dict[Where, list[int]] = {where: [] for where in placed}
    for slot in sorted(slots.keys() - {_slot(pod) for pod in living}):
        free[slot[1:]].append(slots[slot])
    for pod in (pod for pod in living if pod.metadata.uid not in numbers):
        if there := free.get(_where(pod)):
            numbers[pod.metadata.uid] = there.pop(0)
    everywhere = {where: placed.get(where, 0) for where in sorted({*placed, *members, *map(_where, ordered)})}
    for pod in (pod for pod in ordered if pod.metadata.uid not in numbers):
        shared = None if shard_pods.is_live(pod) else slots.get(_slot(pod))
        numbers[pod.metadata.uid] = _beyond(_slot(pod), everywhere) if shared is None else shared
    return numbers


def _beyond(slot: tuple[int, str, str], placed: Mapping[Where, int]) -> int:
    """The number of a place that is not in the placement: behind the placement, in the order of all places there could be."""
    rank, *where = slot
    earlier = sum(max(0, rank - count) + (count <= rank and there < tuple(where)) for there, count in placed.items())
    return sum(placed.values()) + earlier


def _slots(placed: Mapping[Where, int]) -> list[tuple[int, str, str]]:
    """The places of a placement in the order of their numbers: the first of each cluster, by zone, then the second."""
    return sorted((rank, *where) for where, count in placed.items() for rank in range(count))


def _where(pod: Pod) -> Where:
    return pod.metadata.labels.get(ZONE, ""), pod.metadata.labels.get(CLUSTER, "")


def _slot(pod: Pod) -> tuple[int, str, str]:
    return (shard_pods.ordinal(pod), *_where(pod))


def _order(pod: Pod) -> tuple[bool, str, str, int, str]:
    return (not shard_pods.is_live(pod), *_where(pod), shard_pods.ordinal(pod), pod.metadata.name)


def choose(target: WorkloadRef, found: Iterable[Replica], asked: str) -> Replica:
    """The replica of that name: a number, `<cluster>-<ordinal>` or a pod's name; without one, the first that is ready."""
    living = sorted(found, key=lambda r: (not shard_pods.is_live(r.pod), shard_pods.ready_since(r.pod) is None, r.number))
    if not living:
        raise problems.wrong_state(f"{target.name} has no replica now", "start it, or look at its status")
    if not asked:
        return living[0]
    chosen = next((replica for replica in living if is_named(replica, asked)), None)
    if chosen is None:
        names = ", ".join(replica.name for replica in sorted(living, key=lambda r: r.number)[:10])
        raise problems.not_among(f"replica {target.name}/{asked}", names)
    return chosen


def is_named(replica: Replica, asked: str) -> bool:
    metadata = replica.pod.metadata
    return asked in (str(replica.number), f"{replica.cluster}-{shard_pods.ordinal(replica.pod)}", metadata.name)


def container_of(replica: Replica, asked: str) -> str:
    """The container of that name; without one, the first."""
    if not asked:
        return replica.containers[0]
    if asked not in replica.containers:
        raise problems.not_among(f"container {asked} in {replica.name}", ", ".join(replica.containers))
    return asked

"""The replicas of a workload as users name them: `hello/3` is the fourth, `hello/b1-0` the first in cluster b1.

The surprising rule: numbers belong to this gateway's memory. A replica keeps its number while it lives, unless it is beyond
the count; one that takes its place, wherever that is, gets the number that came free. A gateway that starts counts by zone,
cluster and ordinal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field

from pincompute.api.core import PODS, ContainerStatus, Pod
from pincompute.api.labels import APP, CLUSTER, WORKLOAD, ZONE
from pincompute.domain import pods
from pincompute.gateway import problems
from pincompute.gateway.operation.backend import Place
from pincompute.gateway.reads import Reads

REMEMBERED = 20_000  # workloads whose numbers are kept


@dataclass(frozen=True, slots=True)
class Target:
    """A workload: the kind of its object, its project and its name."""

    kind: str
    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.project}/{self.name}"


@dataclass(frozen=True, slots=True)
class Replica:
    """One pod of a workload. `answers` is false while its cluster is silent; what is told of it is then its last."""

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
    def place(self) -> Place:
        return Place(self.cluster, self.pod.key)

    @property
    def containers(self) -> tuple[str, ...]:
        """Those that run as long as the pod: containers first, then sidecars."""
        sidecars = [c.name for c in self.pod.spec.init_containers if c.restart_policy == "Always"]
        return (*(c.name for c in self.pod.spec.containers), *sidecars)

    def status(self, container: str) -> ContainerStatus | None:
        statuses = (*self.pod.status.container_statuses, *self.pod.status.init_container_statuses)
        return next((status for status in statuses if status.name == container), None)


@dataclass(slots=True)
class Replicas:
    """All replicas of the region by workload, and the news of them."""

    reads: Reads
    _numbers: dict[Target, dict[str, int]] = field(default_factory=dict[Target, dict[str, int]], init=False)
    _waiting: dict[tuple[str, str], set[asyncio.Event]] = field(
        default_factory=dict[tuple[str, str], set[asyncio.Event]], init=False
    )

    def __post_init__(self) -> None:
        self.reads.clusters.listen("members", PODS, self._changed)
        self.reads.clusters.on_contact(self._contact)

    def of(self, target: Target) -> tuple[Replica, ...]:
        """In the order of their numbers, with those that are on their way out."""
        located = self.reads.pods(target.project, target.name).items
        found = [(at.cluster, at.obj) for at in located if at.obj.metadata.labels.get(WORKLOAD) == target.kind]
        numbers = number([pod for _, pod in found], self._numbers.pop(target, {}))
        self._remember(target, numbers)
        made = (
            Replica(target.name, numbers[pod.metadata.uid], cluster, pod, self.reads.clusters.reachable(cluster))
            for cluster, pod in found
        )
        return tuple(sorted(made, key=lambda replica: replica.number))

    def silent(self) -> tuple[str, ...]:
        """Clusters that do not answer now."""
        return self.reads.silent()

    @contextmanager
    def news(self, target: Target) -> Generator[asyncio.Event]:
        """An event that is set with every change of one of the workload's replicas, or of contact to a cluster."""
        event, key = asyncio.Event(), (target.project, target.name)
        self._waiting.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    def _remember(self, target: Target, numbers: dict[str, int]) -> None:
        if not numbers:
            return
        if len(self._numbers) >= REMEMBERED:
            del self._numbers[next(iter(self._numbers))]
        self._numbers[target] = numbers

    def _changed(self, cluster: str, obj: Pod, *, initial: bool) -> None:  # noqa: ARG002 - the listener's shape
        for event in self._waiting.get((obj.metadata.namespace, obj.metadata.labels.get(APP, "")), ()):
            event.set()

    def _contact(self, _cluster: str) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()


def number(living: Iterable[Pod], before: dict[str, int]) -> dict[str, int]:
    """A number by uid: kept by those that had one, else the lowest free one. Those on their way out leave theirs to others."""
    ordered = sorted(living, key=_order)
    kept = {pod.metadata.uid: before[pod.metadata.uid] for pod in ordered if pod.metadata.uid in before}
    staying = {kept[pod.metadata.uid] for pod in ordered if pod.metadata.uid in kept and pods.is_live(pod)}
    free = (n for n in range(len(ordered) + len(before) + 1) if n not in staying)
    for pod in ordered:
        if pod.metadata.uid not in kept:
            kept[pod.metadata.uid] = next(free)
    return kept | _closed_up({pod.metadata.uid: kept[pod.metadata.uid] for pod in ordered if pods.is_live(pod)})


def _closed_up(living: dict[str, int]) -> dict[str, int]:
    """After an update with surge there are numbers beyond the count: they become the ones that came free below."""
    taken = set(living.values())
    free = (n for n in range(len(living)) if n not in taken)
    beyond = sorted((n, uid) for uid, n in living.items() if n >= len(living))
    return {uid: next(free) for _, uid in beyond}


def _order(pod: Pod) -> tuple[bool, str, str, int, str]:
    marks = pod.metadata.labels
    return (not pods.is_live(pod), marks.get(ZONE, ""), marks.get(CLUSTER, ""), pods.ordinal(pod), pod.metadata.name)


def choose(target: Target, found: Iterable[Replica], asked: str) -> Replica:
    """The replica of that name: a number, `<cluster>-<ordinal>` or a pod's name; without one, the first that is ready."""
    living = sorted(found, key=lambda r: (not pods.is_live(r.pod), pods.ready_since(r.pod) is None, r.number))
    if not living:
        raise problems.wrong_state(f"{target.name} has no replica now", "start it, or look at its status")
    if not asked:
        return living[0]
    chosen = next((replica for replica in living if is_named(replica, asked)), None)
    if chosen is None:
        names = ", ".join(replica.name for replica in sorted(living, key=lambda r: r.number)[:10])
        raise problems.not_found(f"replica {target.name}/{asked}; there are {names}")
    return chosen


def is_named(replica: Replica, asked: str) -> bool:
    metadata = replica.pod.metadata
    return asked in (str(replica.number), f"{replica.cluster}-{pods.ordinal(replica.pod)}", metadata.name)


def container_of(replica: Replica, asked: str) -> str:
    """The container of that name; without one, the first."""
    if not asked:
        return replica.containers[0]
    if asked not in replica.containers:
        raise problems.not_found(f"container {asked} in {replica.name}; there are {', '.join(replica.containers)}")
    return asked

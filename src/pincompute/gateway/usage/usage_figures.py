"""Joins what readers measured with pods, and sums it per replica, zone and workload. Pure.

A figure that is not known is absent and never 0, and a sum says over how many replicas it is. A node's figures count only for
pods that are bound to it, so a node that lies says nothing about the pods of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from pincompute.api import resource_requests
from pincompute.api.builtin import Container, Pod, ResourceRequirements
from pincompute.api.labels import ZONE
from pincompute.api.meta import Struct, doc
from pincompute.api.resource_requests import CPU, MEMORY
from pincompute.api.usage import ContainerUsage, NodeUsage, UsageReport

MOST_UNKNOWN = 50  # entries of what is not known


class ResourceUsage(Struct):
    """One resource: cpu in milli-cores, memory in bytes."""

    used: Annotated[int | None, doc("What is used now; absent when that is unknown.")] = None
    requested: Annotated[int | None, doc("What is set aside; absent when nothing is.")] = None
    limit: Annotated[int | None, doc("What may be used at most; absent when there is no limit.")] = None


class ContainerFigures(Struct):
    name: Annotated[str, doc("Container.")]
    cpu: Annotated[ResourceUsage, doc("CPU, averaged over the last seconds.")] = ResourceUsage()
    memory: Annotated[ResourceUsage, doc("Memory that cannot be taken back (the working set).")] = ResourceUsage()


class ReplicaFigures(Struct):
    name: Annotated[str, doc("Replica, as `hello/3`.")]
    zone: Annotated[str, doc("Its zone.")]
    cpu: Annotated[ResourceUsage, doc("Of all its containers.")] = ResourceUsage()
    memory: Annotated[ResourceUsage, doc("Of all its containers.")] = ResourceUsage()
    containers: Annotated[tuple[ContainerFigures, ...], doc("Its containers, then its sidecars.")] = ()
    reason: Annotated[str, doc("If its usage is unknown: why.")] = ""


class ZoneFigures(Struct):
    zone: Annotated[str, doc("Zone.")]
    replicas: Annotated[int, doc("Replicas there.")] = 0
    known: Annotated[int, doc("Of how many the usage of both is known.")] = 0
    cpu: Annotated[ResourceUsage, doc("Used by replicas whose usage of it is known; requests and limits of all.")] = (
        ResourceUsage()
    )
    memory: Annotated[ResourceUsage, doc("Used by replicas whose usage of it is known; requests and limits of all.")] = (
        ResourceUsage()
    )


class WorkloadFigures(Struct):
    kind: Annotated[str, doc("What it is, such as app.")]
    name: Annotated[str, doc("Workload.")]
    replicas: Annotated[int, doc("Replicas that exist.")] = 0
    known: Annotated[int, doc("Of how many the usage of both is known.")] = 0
    cpu: Annotated[ResourceUsage, doc("Used by replicas whose usage of it is known; requests and limits of all.")] = (
        ResourceUsage()
    )
    memory: Annotated[ResourceUsage, doc("Used by replicas whose usage of it is known; requests and limits of all.")] = (
        ResourceUsage()
    )
    zones: Annotated[tuple[ZoneFigures, ...], doc("By zone.")] = ()


class UnknownFigures(Struct):
    """A cluster or a node whose figures are missing, and how many of the replicas that are asked about run there."""

    zone: Annotated[str, doc("Zone.")]
    cluster: Annotated[str, doc("Member cluster.")]
    reason: Annotated[str, doc("Why.")]
    node: Annotated[str, doc("Node; absent when the whole cluster is unknown.")] = ""
    replicas: Annotated[int, doc("Replicas there.")] = 0


Reports: TypeAlias = Mapping[str, UsageReport | str]
"""By member: its report, or why there is none."""
_Node: TypeAlias = tuple[str, str]
"""Member and name of a node."""


@dataclass(slots=True)
class Measurements:
    """What the reports say, by where a pod runs."""

    reports: Reports
    _nodes: dict[_Node, NodeUsage] = field(init=False)
    _rows: dict[tuple[str, str, str, str], list[ContainerUsage]] = field(init=False)
    _same: dict[int, tuple[ResourceRequirements, Mapping[str, int], Mapping[str, int]]] = field(init=False)

    def __post_init__(self) -> None:
        self._nodes, self._rows, self._same = {}, {}, {}
        for member, report in self.reports.items():
            for node in report.nodes if isinstance(report, UsageReport) else ():
                self._nodes[member, node.name] = node
                for row in node.containers:
                    self._rows.setdefault((member, node.name, row.namespace, row.pod), []).append(row)

    @property
    def starting(self) -> bool:
        """Whether some node has not been read often enough to know rates."""
        return any(node.state == "starting" for node in self._nodes.values())

    def of(self, cluster: str, pod: Pod) -> PodFigures:
        rows = self._rows.get((cluster, pod.spec.node_name, pod.metadata.namespace, pod.metadata.name), ())
        measured = {row.container: row for row in rows}
        answers = isinstance(self.reports.get(cluster), UsageReport)
        containers = tuple(self._container(pod, each, measured.get(each.name), answers=answers) for each in _running(pod))
        cpu, memory = _sum_of(each.cpu for each in containers), _sum_of(each.memory for each in containers)
        if pod.spec.resources is not None:
            requests, limits = self._amounts(pod.spec.resources)
            cpu, memory = _of_whole(cpu, CPU, requests, limits), _of_whole(memory, MEMORY, requests, limits)
        why = "" if cpu.used is not None and memory.used is not None else self._why(cluster, pod)
        return PodFigures(cpu, memory, containers, why)

    def why_not(self, cluster: str, node: str) -> tuple[str, str]:
        """Which node is unknown and why; an empty node is the whole cluster; both are empty when it is known."""
        report = self.reports.get(cluster, "is not asked")
        if isinstance(report, str):
            return "", report
        found = self._nodes.get((cluster, node))
        if found is None:
            return node, "its node is not known to the usage reader"
        return (node, found.reason) if found.state in ("failed", "simulated") else ("", "")

    def _why(self, cluster: str, pod: Pod) -> str:
        if not pod.spec.node_name:
            return "has no node yet"
        _, why = self.why_not(cluster, pod.spec.node_name)
        if why:
            return why
        starting = self._nodes[cluster, pod.spec.node_name].state == "starting"
        return (
            "is being measured: CPU is known after two readings"
            if starting or pod.status.phase == "Running"
            else "does not run"
        )

    def _container(self, pod: Pod, container: Container, row: ContainerUsage | None, *, answers: bool) -> ContainerFigures:
        requests, limits = self._amounts(container.resources)
        idle = row is None and answers and _is_idle(pod, container.name)
        cpu, memory = (0, 0) if idle else (row.cpu, row.memory) if row is not None else (None, None)
        return ContainerFigures(
            name=container.name,
            cpu=ResourceUsage(used=cpu, requested=requests.get(CPU), limit=limits.get(CPU)),
            memory=ResourceUsage(used=memory, requested=requests.get(MEMORY), limit=limits.get(MEMORY)),
        )

    def _amounts(self, resources: ResourceRequirements) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Computed once for all pods of one template, of which the cache keeps one copy. Keeping it keeps its identity."""
        known = self._same.get(id(resources))
        if known is None:
            requests, limits = resource_requests.amounts(resources.requests), resource_requests.amounts(resources.limits)
            known = self._same[id(resources)] = resources, requests, limits
        return known[1:]


@dataclass(frozen=True, slots=True)
class PodFigures:
    cpu: ResourceUsage
    memory: ResourceUsage
    containers: tuple[ContainerFigures, ...]
    reason: str

    @property
    def known(self) -> bool:
        return self.cpu.used is not None and self.memory.used is not None


def _running(pod: Pod) -> list[Container]:
    """Those that run as long as the pod: containers first, then sidecars."""
    return [*pod.spec.containers, *(each for each in pod.spec.init_containers if each.restart_policy == "Always")]


def _is_idle(pod: Pod, name: str) -> bool:
    """Whether the container is known not to run, so that it uses nothing."""
    statuses = (*pod.status.container_statuses, *pod.status.init_container_statuses)
    state = next((status.state for status in statuses if status.name == name), None)
    return state is not None and state.running is None


def _sum_of(parts: Iterable[ResourceUsage]) -> ResourceUsage:
    """Unknown when a part is; without a limit when a part has none."""
    found = list(parts)
    return ResourceUsage(
        used=_all([part.used for part in found]),
        requested=sum(part.requested or 0 for part in found) or None,
        limit=_all([part.limit for part in found]),
    )


def _all(amounts: list[int | None]) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known and len(known) == len(amounts) else None


def _of_whole(summed: ResourceUsage, name: str, requests: Mapping[str, int], limits: Mapping[str, int]) -> ResourceUsage:
    """What is declared for the pod as a whole stands before the sum of its containers."""
    return ResourceUsage(used=summed.used, requested=requests.get(name, summed.requested), limit=limits.get(name, summed.limit))


@dataclass(slots=True)
class UsageSum:
    """Sums one resource over replicas; what is used over those of which it is known."""

    used: int | None = None
    requested: int = 0
    limit: int | None = 0

    def add(self, use: ResourceUsage) -> None:
        if use.used is not None:
            self.used = (self.used or 0) + use.used
        self.requested += use.requested or 0
        self.limit = None if self.limit is None or use.limit is None else self.limit + use.limit

    @property
    def total(self) -> ResourceUsage:
        return ResourceUsage(used=self.used, requested=self.requested or None, limit=self.limit)


@dataclass(slots=True)
class ReplicaSum:
    """Sums replicas, of which those whose use is unknown count apart."""

    replicas: int = 0
    known: int = 0
    cpu: UsageSum = field(default_factory=UsageSum)
    memory: UsageSum = field(default_factory=UsageSum)

    def add(self, figures: PodFigures) -> None:
        self.replicas += 1
        self.known += figures.known
        self.cpu.add(figures.cpu)
        self.memory.add(figures.memory)

    def zone(self, name: str) -> ZoneFigures:
        cpu, memory = self.cpu.total, self.memory.total
        return ZoneFigures(zone=name, replicas=self.replicas, known=self.known, cpu=cpu, memory=memory)


@dataclass(slots=True)
class WorkloadSum:
    """Sums one workload, and counts what is unknown by where it is."""

    total: ReplicaSum = field(default_factory=ReplicaSum)
    zones: dict[str, ReplicaSum] = field(default_factory=dict[str, ReplicaSum])

    def add(self, pod: Pod, figures: PodFigures) -> None:
        self.total.add(figures)
        self.zones.setdefault(pod.metadata.labels.get(ZONE, ""), ReplicaSum()).add(figures)

    def workload(self, kind: str, name: str) -> WorkloadFigures:
        whole = self.total
        return WorkloadFigures(
            kind=kind,
            name=name,
            replicas=whole.replicas,
            known=whole.known,
            cpu=whole.cpu.total,
            memory=whole.memory.total,
            zones=tuple(found.zone(zone) for zone, found in sorted(self.zones.items())),
        )


@dataclass(slots=True)
class UnknownPlaces:
    """Collects clusters and nodes of which nothing is known."""

    measured: Measurements
    _found: dict[tuple[str, str, str, str], int] = field(default_factory=dict[tuple[str, str, str, str], int])

    def add(self, cluster: str, pod: Pod) -> None:
        node, why = self.measured.why_not(cluster, pod.spec.node_name) if pod.spec.node_name else ("", "")
        if why:
            place = pod.metadata.labels.get(ZONE, ""), cluster, node, why
            self._found[place] = self._found.get(place, 0) + 1

    def all(self) -> tuple[UnknownFigures, ...]:
        rows = sorted(self._found.items())[:MOST_UNKNOWN]
        return tuple(
            UnknownFigures(zone=zone, cluster=cluster, node=node, reason=why, replicas=count)
            for (zone, cluster, node, why), count in rows
        )

"""Summarises a cluster's capacity and free room in a size that does not grow with the cluster (S-034).

Free room is a list of rows "so many nodes with at least this much left", because ten nodes with one free core each cannot run
a pod that needs two. Every resource of the nodes counts, devices and extended resources too. Where many nodes share a row, the
row gives the least of each resource, so rows never promise a fit that no node has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeAlias

from pincompute.api import conditions, resource_requests
from pincompute.api.builtin import Container, Node, Pod, PodSpec
from pincompute.api.member_clusters import Capacity, FreeNodes
from pincompute.api.resource_requests import CPU, MEMORY, NOTHING, PODS, STORAGE, Requests
from pincompute.domain import shard_pods as states

ROWS_BY_SIDE = 4  # rows of alike nodes split by one resource, each split by another: at most 16
SORTS = 4  # of nodes, by the extended resources they have left; what is beyond shares the last one
EXTENDED = 16  # extended resources that are reported, those of the most nodes first
_COMMON = (CPU, MEMORY, STORAGE, PODS)  # resources that nodes have by themselves
_NEEDED = (CPU, MEMORY, PODS)  # a node that lacks one of them runs nothing
_REPELLING = ("NoSchedule", "NoExecute")

Taken: TypeAlias = Mapping[str, Requests]
"""What pods take, by the name of their node."""

_Room: TypeAlias = tuple[tuple[str, int], ...]
"""What one node has left, by resource: a value that equal nodes share."""


def measure(nodes: Iterable[Node], pods: Iterable[Pod]) -> Capacity:
    """Measures in one pass over the pods and one over the nodes."""
    seen = tuple(nodes)
    asked = _Asked()
    on: dict[str, dict[int, int]] = {}
    running = pending = 0
    for pod in pods:
        if states.is_finished(pod):
            continue
        node = pod.spec.node_name
        if not node:
            pending += 1
            continue
        running += pod.status.phase == "Running"
        pending += pod.status.phase != "Running"
        number = asked.number(pod.spec)
        counts = on.setdefault(node, {})
        counts[number] = counts.get(number, 0) + 1
    taken = {node: asked.sum(counts) for node, counts in on.items()}
    return _sum(seen, taken, running, pending)


class _Asked:
    """Requests computed once for all pods with the very same containers, of which the cache keeps one copy."""

    def __init__(self) -> None:
        self._same: dict[tuple[int, ...], int] = {}
        self._equal: dict[Hashable, int] = {}
        self._requests: list[Requests] = []

    def number(self, spec: PodSpec) -> int:
        """Returns a number that stands for the pod's requests. The pods must stay alive: they are told apart by identity."""
        same = (id(spec.containers), id(spec.init_containers), id(spec.resources), id(spec.overhead) if spec.overhead else 0)
        known = self._same.get(same)
        if known is None:
            known = self._same[same] = self._equal_to(spec)
        return known

    def _equal_to(self, spec: PodSpec) -> int:
        equal = _content(spec)
        known = self._equal.get(equal)
        if known is None:
            known = self._equal[equal] = len(self._requests)
            self._requests.append(of_spec(spec))
        return known

    def sum(self, counts: Mapping[int, int]) -> Requests:
        taken: dict[str, int] = {}
        for number, count in counts.items():
            for name, amount in self._requests[number].items():
                taken[name] = taken.get(name, 0) + amount * count
        return taken


def _content(spec: PodSpec) -> Hashable:
    """Returns everything that the formula reads; most pods have containers and nothing else."""
    asked = tuple([tuple(container.resources.requests.items()) for container in spec.containers])
    if not spec.init_containers and spec.resources is None and not spec.overhead:
        return asked
    init = tuple([(container.restart_policy, *container.resources.requests.items()) for container in spec.init_containers])
    whole = (*spec.resources.limits.items(), None, *spec.resources.requests.items()) if spec.resources is not None else None
    return asked, init, whole, tuple(spec.overhead.items())


def _release(version: str) -> tuple[int, ...]:
    """Returns a version as numbers, so that v1.9.3 is older than v1.10.0; what follows the three numbers does not count."""
    numbers = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, numbers.groups())) if numbers else ()


def _sum(nodes: Sequence[Node], taken: Taken, running: int, pending: int) -> Capacity:
    ready = [node for node in nodes if _is_ready(node)]
    usable = {node.metadata.name: resource_requests.amounts(node.status.allocatable) for node in ready if not _repels(node)}
    reported = frozenset((*_COMMON, *_extended(usable.values())))
    return Capacity(
        nodes=len(nodes),
        ready_nodes=len(ready),
        allocatable=_only(reported, _total(usable.values())),
        largest=_only(reported, _most(resource_requests.amounts(node.status.allocatable) for node in nodes)),
        requested=_only(reported, _total(taken[name] for name in usable if name in taken)),
        kubelet_version=min((n.status.node_info.kubelet_version for n in nodes), key=_release, default=""),
        running_pods=running,
        pending_pods=pending,
        free=rows(_only(reported, _left(room, taken.get(name, NOTHING))) for name, room in usable.items()),
    )


def _extended(rooms: Iterable[Requests]) -> list[str]:
    nodes = Counter(name for room in rooms for name, amount in room.items() if amount > 0 and name not in _COMMON)
    return sorted(nodes, key=lambda name: (-nodes[name], name))[:EXTENDED]


def _total(many: Iterable[Requests]) -> Requests:
    total: dict[str, int] = {}
    for one in many:
        for name, amount in one.items():
            total[name] = total.get(name, 0) + amount
    return total


def _most(many: Iterable[Requests]) -> Requests:
    most = NOTHING
    for one in many:
        most = resource_requests.at_least(most, one)
    return most


def _only(reported: frozenset[str], room: Requests) -> dict[str, int]:
    return {name: room[name] for name in sorted(room) if room[name] > 0 and name in reported}


def _left(room: Requests, taken: Requests) -> Requests:
    return {name: amount - taken.get(name, 0) for name, amount in room.items()}


def _is_ready(node: Node) -> bool:
    return not node.deleting and conditions.is_true(node.status.conditions, "Ready")


def _repels(node: Node) -> bool:
    """Returns whether the node is cordoned, or tainted against everything that does not tolerate the taint by name."""
    return node.spec.unschedulable or any(taint.effect in _REPELLING for taint in node.spec.taints)


def rows(nodes: Iterable[Requests]) -> tuple[FreeNodes, ...]:
    """Returns nodes with room, roomiest first: one row per different room while there are few, else the least of similar
    nodes.

    Nodes with different extended resources left never share a row, unless there are many such sorts, because a shared row
    would hide what one of them lacks.
    """
    alike = Counter(tuple(sorted(room.items())) for room in nodes if all(room.get(name, 0) > 0 for name in _NEEDED))
    sorts: dict[tuple[str, ...], list[_Room]] = {}
    for room in alike:
        sorts.setdefault(tuple(name for name, _ in room), []).append(room)
    parts = [part for same in _few(sorts, alike) for part in _parts(same)]
    free = (_least(part, alike) for part in parts)
    return tuple(sorted(free, key=lambda row: [-row.resources.get(name, 0) for name in (CPU, MEMORY, PODS)]))


def _few(sorts: Mapping[tuple[str, ...], list[_Room]], alike: Mapping[_Room, int]) -> list[list[_Room]]:
    """Returns the sorts with the most nodes, and the others together."""
    ordered = sorted(sorts, key=lambda names: (-sum(alike[room] for room in sorts[names]), names))
    kept = [sorts[names] for names in ordered[: SORTS - 1]]
    rest = [room for names in ordered[SORTS - 1 :] for room in sorts[names]]
    return [*kept, rest] if rest else kept


def _parts(rooms: list[_Room]) -> list[Sequence[_Room]]:
    """Groups similar rooms: split by the scarcest resource of the region, a device if there is one, then by cpu."""
    if len(rooms) <= ROWS_BY_SIDE**2:
        return [[room] for room in rooms]
    devices = sorted({name for room in rooms for name, _ in room} - set(_COMMON))
    first, second = (devices[0], CPU) if devices else (CPU, MEMORY)
    return [part for side in _split(rooms, first) for part in _split(side, second)]


def _split(rooms: Sequence[_Room], by: str) -> list[Sequence[_Room]]:
    """Splits into runs of about the same length, at most ROWS_BY_SIDE."""
    ordered = sorted(rooms, key=lambda room: (dict(room).get(by, 0), room))
    size = -(-len(ordered) // ROWS_BY_SIDE)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _least(rooms: Sequence[_Room], count: Mapping[_Room, int]) -> FreeNodes:
    """Returns what every one of them has."""
    least = dict(rooms[0])
    for room in rooms[1:]:
        other = dict(room)
        least = {name: min(amount, other[name]) for name, amount in least.items() if name in other}
    return FreeNodes(resources=least, count=sum(count[room] for room in rooms))


def of_pod(pod: Pod) -> Requests:
    """Returns what the scheduler reserves for a pod: `resource_requests.requests`, for a pod as it is cached (S-104)."""
    return of_spec(pod.spec)


def of_spec(spec: PodSpec) -> Requests:
    """Returns the requests of a spec. The API server has filled in requests from limits by the time a pod exists, but not
    those of the pod as a whole.
    """
    whole = spec.resources
    return resource_requests.formula(
        [resource_requests.amounts(container.resources.requests) for container in spec.containers],
        map(_of_init, spec.init_containers),
        resource_requests.amounts({**whole.limits, **whole.requests}) if whole is not None else NOTHING,
        resource_requests.amounts(spec.overhead),
    )


def _of_init(container: Container) -> tuple[bool, Requests]:
    return container.restart_policy == "Always", resource_requests.amounts(container.resources.requests)

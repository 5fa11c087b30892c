"""What a cluster has, what is taken, and the shape of what is free, in a size that does not grow with the cluster (S-034).

Free room is told as rows of "so many nodes with at least this much left", because ten nodes with one free core each do not
run a pod that wants two. The surprising rule: where many nodes share a row, it tells the least of each of them, so the rows
never promise a fit that no node has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pincompute.api import conditions, quantity
from pincompute.api.clusters import Capacity, FreeNodes
from pincompute.api.core import Container, Node, Pod, ResourceRequirements
from pincompute.domain import pods as states

ROWS_BY_SIDE = 4  # rows split by cpu, each split by memory: at most 16
_REPELLING = ("NoSchedule", "NoExecute")

Amount = tuple[int, int]
"""Milli-cores and bytes."""

NOTHING: Amount = (0, 0)


@dataclass(slots=True)
class _Use:
    """Taken on one node so far."""

    cpu: int = 0
    memory: int = 0
    pods: int = 0


def measure(nodes: Iterable[Node], pods: Iterable[Pod]) -> Capacity:
    """One pass over the pods, one over the nodes."""
    used: dict[str, _Use] = {}
    running = pending = 0
    for pod in pods:
        if states.is_finished(pod):
            continue
        if not pod.spec.node_name:
            pending += 1
            continue
        running += pod.status.phase == "Running"
        pending += pod.status.phase != "Running"
        _take(used.setdefault(pod.spec.node_name, _Use()), requests(pod))
    return _sum(tuple(nodes), used, running, pending)


def _release(version: str) -> tuple[int, ...]:
    """v1.9.3 is older than v1.10.0, whatever the alphabet says; what follows the three numbers does not count."""
    numbers = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, numbers.groups())) if numbers else ()


def _take(use: _Use, amount: Amount) -> None:
    use.cpu += amount[0]
    use.memory += amount[1]
    use.pods += 1


def _sum(nodes: Sequence[Node], used: Mapping[str, _Use], running: int, pending: int) -> Capacity:
    ready = [node for node in nodes if _is_ready(node)]
    usable = [node for node in ready if not _repels(node)]
    rooms = [_allocatable(node) for node in usable]
    return Capacity(
        nodes=len(nodes),
        ready_nodes=len(ready),
        cpu=sum(room.cpu for room in rooms),
        memory=sum(room.memory for room in rooms),
        pods=sum(room.pods for room in rooms),
        kubelet_version=min((n.status.node_info.kubelet_version for n in nodes), key=_release, default=""),
        requested_cpu=sum(use.cpu for use in _on(usable, used)),
        requested_memory=sum(use.memory for use in _on(usable, used)),
        running_pods=running,
        pending_pods=pending,
        free=rows([_left(room, used.get(node.metadata.name)) for node, room in zip(usable, rooms, strict=True)]),
    )


def _on(nodes: Iterable[Node], used: Mapping[str, _Use]) -> list[_Use]:
    return [used[node.metadata.name] for node in nodes if node.metadata.name in used]


def _is_ready(node: Node) -> bool:
    return not node.deleting and conditions.is_true(node.status.conditions, "Ready")


def _repels(node: Node) -> bool:
    """Cordoned, or tainted against everything that does not tolerate it by name."""
    return node.spec.unschedulable or any(taint.effect in _REPELLING for taint in node.spec.taints)


def _allocatable(node: Node) -> FreeNodes:
    given = node.status.allocatable
    return FreeNodes(
        cpu=_cpu(given.get("cpu", 0)), memory=_memory(given.get("memory", 0)), pods=_count(given.get("pods", 0)), count=1
    )


def _left(room: FreeNodes, use: _Use | None) -> FreeNodes:
    if use is None:
        return room
    return FreeNodes(cpu=room.cpu - use.cpu, memory=room.memory - use.memory, pods=room.pods - use.pods, count=1)


def rows(nodes: Sequence[FreeNodes]) -> tuple[FreeNodes, ...]:
    """Nodes with room, roomiest first: one row per different room while that is few, else the least of similar nodes."""
    free = [node for node in nodes if node.cpu > 0 and node.memory > 0 and node.pods > 0]
    alike: dict[tuple[int, int, int], int] = {}
    for node in free:
        room = (node.cpu, node.memory, node.pods)
        alike[room] = alike.get(room, 0) + node.count
    if len(alike) > ROWS_BY_SIDE**2:
        parts = [part for side in _split(sorted(alike)) for part in _split(sorted(side, key=lambda room: room[1]))]
        return _ordered(_least(part, alike) for part in parts)
    return _ordered(_least([room], alike) for room in alike)


def _split(rooms: Sequence[tuple[int, int, int]]) -> list[Sequence[tuple[int, int, int]]]:
    """In runs of about the same length, at most ROWS_BY_SIDE."""
    size = -(-len(rooms) // ROWS_BY_SIDE)
    return [rooms[start : start + size] for start in range(0, len(rooms), size)]


def _least(rooms: Sequence[tuple[int, int, int]], count: Mapping[tuple[int, int, int], int]) -> FreeNodes:
    cpu, memory, slots = (min(room[side] for room in rooms) for side in range(3))
    return FreeNodes(cpu=cpu, memory=memory, pods=slots, count=sum(count[room] for room in rooms))


def _ordered(free: Iterable[FreeNodes]) -> tuple[FreeNodes, ...]:
    return tuple(sorted(free, key=lambda row: (-row.cpu, -row.memory, -row.pods)))


def requests(pod: Pod) -> Amount:
    """What the scheduler reserves for a pod: `templates.requests`, for a pod as it is cached (S-104)."""
    spec = pod.spec
    running = NOTHING
    for container in spec.containers:
        running = _plus(running, _asked(container.resources))
    needed = _with_init(running, spec.init_containers) if spec.init_containers else running
    if spec.resources is not None:
        needed = _overridden(needed, spec.resources)
    return _plus(needed, _amount(spec.overhead)) if spec.overhead else needed


def _with_init(running: Amount, init: Iterable[Container]) -> Amount:
    """Sidecars run on beside the containers; a plain init container runs alone with the sidecars before it."""
    sidecars = starting = NOTHING
    for container in init:
        wants = _asked(container.resources)
        if container.restart_policy == "Always":
            sidecars = _plus(sidecars, wants)
            starting = _at_least(starting, sidecars)
        else:
            starting = _at_least(starting, _plus(sidecars, wants))
    return _at_least(_plus(running, sidecars), starting)


def _overridden(needed: Amount, whole: ResourceRequirements) -> Amount:
    given = {**whole.limits, **whole.requests}
    return (
        _cpu(given["cpu"]) if "cpu" in given else needed[0],
        _memory(given["memory"]) if "memory" in given else needed[1],
    )


def _asked(resources: ResourceRequirements) -> Amount:
    """The API server has filled in requests from limits by the time a pod exists."""
    return _amount(resources.requests) if resources.requests else NOTHING


def _amount(wants: Mapping[str, str | int | float]) -> Amount:
    return (_cpu(wants.get("cpu", 0)), _memory(wants.get("memory", 0)))


def _plus(one: Amount, other: Amount) -> Amount:
    return (one[0] + other[0], one[1] + other[1])


def _at_least(one: Amount, other: Amount) -> Amount:
    return (max(one[0], other[0]), max(one[1], other[1]))


# A cluster's pods ask for few different amounts: parsing each once makes a pass over 100,000 pods cheap.
_cpu = lru_cache(maxsize=4096)(quantity.cpu_millis)
_memory = lru_cache(maxsize=4096)(quantity.memory_bytes)


@lru_cache(maxsize=4096)
def _count(value: str | float) -> int:
    """The API server writes 1000 pods as 1k."""
    return quantity.parse(value).whole

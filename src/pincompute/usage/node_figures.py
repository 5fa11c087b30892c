"""Keeps the last figures of every node, and says of each node what is known and why the rest is not."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pincompute.api.labels import SIMULATED_NODE
from pincompute.api.usage import ContainerUsage, KubeletNode, NodeState, NodeUsage, UsageReport
from pincompute.domain import resource_usage
from pincompute.domain.resource_usage import UsageWindow

KEPT = 60.0  # seconds that the figures of a node stand after its last answer
SIMULATED = "is a simulated node, on which nothing runs"


@dataclass(slots=True)
class _KnownNode:
    window: UsageWindow = field(default_factory=UsageWindow)
    answered: float = 0.0  # monotonic
    at: datetime | None = None
    trouble: str = ""
    figures: dict[str, tuple[ContainerUsage, ...]] = field(default_factory=dict[str, tuple[ContainerUsage, ...]])


@dataclass(slots=True)
class NodeFigures:
    """By node. Nodes that are gone are forgotten by `keep`."""

    period: float
    _nodes: dict[str, _KnownNode] = field(default_factory=dict[str, _KnownNode])

    def keep(self, names: Iterable[str]) -> None:
        kept = frozenset(names)
        self._nodes = {name: node for name, node in self._nodes.items() if name in kept}

    def forget(self) -> None:
        """Forgets all figures. After a pause, those of before would make rates over all of it."""
        self._nodes.clear()

    def answered(self, name: str, text: bytes) -> None:
        """Takes a node's metrics. Raises NoMetrics."""
        reading = resource_usage.parse(text)
        node = self._nodes.setdefault(name, _KnownNode())
        node.window.add(reading, time.time())
        node.answered, node.at, node.trouble = time.monotonic(), datetime.now(UTC), ""
        grouped: dict[str, list[ContainerUsage]] = {}
        for each in node.window.containers():
            grouped.setdefault(each.namespace, []).append(each)
        node.figures = {namespace: tuple(found) for namespace, found in grouped.items()}

    def failed(self, name: str, why: str) -> None:
        self._nodes.setdefault(name, _KnownNode()).trouble = why

    def starting(self, name: str) -> bool:
        """Whether no rate can be known yet of a node that may still answer."""
        node = self._nodes.get(name)
        return node is None or (node.window.readings < 2 and not node.trouble)

    def report(self, nodes: Iterable[KubeletNode], namespace: str) -> UsageReport:
        return UsageReport(nodes=tuple(self._describe(node, namespace) for node in nodes), period=self.period)

    def _describe(self, node: KubeletNode, namespace: str) -> NodeUsage:
        name = node.metadata.name
        if is_simulated(node):
            return NodeUsage(name=name, state="simulated", reason=SIMULATED)
        known = self._nodes.get(name)
        if known is None:
            return NodeUsage(name=name, state="starting", reason="is being read for the first time")
        state: NodeState = "failed" if known.trouble else "starting" if self.starting(name) else "read"
        if time.monotonic() - known.answered > KEPT:
            return NodeUsage(name=name, state=state, at=known.at, reason=known.trouble or "has not answered yet")
        cpu, memory = known.window.node()
        return NodeUsage(
            name=name,
            state=state,
            at=known.at,
            reason=known.trouble,
            cpu=cpu,
            memory=memory,
            containers=resource_usage.of_namespace(known.figures, namespace),
        )


def is_simulated(node: KubeletNode) -> bool:
    return SIMULATED_NODE in node.metadata.annotations

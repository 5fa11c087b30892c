"""Reads all nodes of the member again and again, as long as somebody asks for the figures.

Nobody asked for some minutes: then no node is read until somebody asks again. Reads are spread by a jitter, so that the readers
of many members do not ask at the same time, and a bounded number of nodes is read at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram

from pincompute.api.usage import KubeletNode
from pincompute.domain.resource_usage import NoMetrics
from pincompute.usage.kubelet_client import KubeletClient, NotRead
from pincompute.usage.node_figures import NodeFigures, is_simulated

log = logging.getLogger(__name__)

PERIOD = 15.0  # seconds between two readings of a node
SOON = 5.0  # the same while no rate is known yet
JITTER = 0.1  # part of the period
AT_ONCE = 16  # nodes
UNASKED = 300.0  # seconds without a question after which nothing is read
UNEXPECTED = "answers with something that the usage reader does not expect: its log says what"


class ReadingMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.reads = Counter("pincompute_usage_reads", "Readings of nodes.", ["outcome"], registry=registry)
        self.seconds = Histogram("pincompute_usage_cycle_seconds", "Time to read all nodes once.", registry=registry)


@dataclass(slots=True)
class ReadingLoop:
    """`nodes` gives the present nodes, none before they are known."""

    kubelets: KubeletClient
    figures: NodeFigures
    nodes: Callable[[], Sequence[KubeletNode]]
    metrics: ReadingMetrics
    unasked: float = UNASKED
    _asked_at: float = field(default=float("-inf"), init=False)
    _asked: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def ask(self) -> None:
        """Somebody wants the figures now and probably soon again."""
        self._asked_at = time.monotonic()
        self._asked.set()

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await self._asked.wait()
            wait = await self._cycle()
            if time.monotonic() - self._asked_at > self.unasked:
                self._asked.clear()
                self.figures.forget()
                continue
            await asyncio.sleep(wait * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - spreads load only

    async def _cycle(self) -> float:
        """Reads every node once; returns the seconds until the next time."""
        real = [node for node in self.nodes() if not is_simulated(node)]
        self.figures.keep(node.metadata.name for node in real)
        places = asyncio.Semaphore(AT_ONCE)
        with self.metrics.seconds.time():
            await asyncio.gather(*(self._read(node, places) for node in real))
        return SOON if not real or any(self.figures.starting(node.metadata.name) for node in real) else self.figures.period

    async def _read(self, node: KubeletNode, places: asyncio.Semaphore) -> None:
        async with places:
            trouble = await self._trouble(node)
        if trouble:
            self.figures.failed(node.metadata.name, trouble)
        self.metrics.reads.labels("failed" if trouble else "read").inc()

    async def _trouble(self, node: KubeletNode) -> str:
        """Reads one node; returns why it has no new figures, empty where it has."""
        name = node.metadata.name
        try:
            self.figures.answered(name, await self.kubelets.read(node))
        except (NotRead, NoMetrics) as why:
            return str(why)
        except Exception:  # the answer of one node must not keep the figures of others
            log.exception("a node cannot be read", extra={"node": name})
            return UNEXPECTED
        return ""

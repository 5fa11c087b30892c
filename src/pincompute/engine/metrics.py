"""Defines the engine's metrics, in a registry of their own so that two engines in one process do not collide."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """The engine's metrics. Names follow the OpenMetrics conventions; controllers, kinds and verbs bound the labels."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.reconciliations = Counter(
            "pincompute_reconcile", "Reconciliations of keys, by outcome.", ("controller", "outcome"), registry=self.registry
        )
        self.duration = Histogram(
            "pincompute_reconcile_duration_seconds",
            "Time from taking a key to giving it back.",
            ("controller",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.latency = Histogram(
            "pincompute_reconcile_latency_seconds",
            "Time from the first event of a key to the end of the reconciliation that succeeded, retries included.",
            ("controller",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.depth = Gauge("pincompute_queue_depth", "Keys that wait for a worker.", ("controller",), registry=self.registry)
        self.failing = Gauge(
            "pincompute_queue_failing", "Keys whose last reconciliation failed.", ("controller",), registry=self.registry
        )
        self.writes = Counter(
            "pincompute_writes",
            "Executed actions, by outcome.",
            ("controller", "kind", "verb", "outcome"),
            registry=self.registry,
        )

    def watch_queue(self, controller: str, depth: Callable[[], int], failing: Callable[[], int]) -> None:
        """Adds gauges that read the queue when they are scraped."""
        self.depth.labels(controller).set_function(depth)
        self.failing.labels(controller).set_function(failing)

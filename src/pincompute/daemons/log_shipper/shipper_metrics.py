"""Defines the metrics of the log shipper. Projects and limits bound their labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Summary

from pincompute.daemons.log_shipper.container_shipping import ShippedRound

PREFIX = "pincompute_log_shipper"


class ShipperMetrics:
    """What the log shipper counts. A counter is shown with the suffix `_total`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.shipped = self._counter("shipped_bytes", "Bytes of lines written to the output.", "project")
        self.dropped = self._counter("dropped_bytes", "Bytes of the oldest lines dropped, by the limit.", "project", "limit")
        self.lost = self._counter("lost_bytes", "Bytes that were gone before they were shipped.", "project")
        self.cut = self._counter(
            "cut_lines", "Lines shipped in parts, as they were too long or their rest did not come.", "project"
        )
        self.malformed = self._counter("malformed_lines", "Lines copied as they are: no runtime wrote them so.", "project")
        self.failed = self._counter("failures", "Rounds of a container that failed, by the side that refused.", "side")
        self.backlog = self._gauge("backlog_bytes", "Bytes of logs that were seen and are not shipped yet.")
        self.output = self._gauge("output_bytes", "Bytes that the output takes.")
        self.containers = self._gauge("containers", "Containers whose logs are shipped.")
        self.left_out = self._gauge(
            "containers_left_out", "Containers of the node that are not shipped, as there are too many."
        )
        self.refused = self._gauge("refused_files", "Files beside logs that are links, pipes or devices, or too many.")
        self.absent = self._gauge("absent_projects", "Projects that have files and no container on the node.")
        self.full = self._gauge("output_full", "1 while the output takes no more.")
        self.rounds = Summary(
            f"{PREFIX}_round_duration_seconds", "Time in which every container had its turn.", registry=registry
        )

    def count(self, project: str, done: ShippedRound) -> None:
        """Counts what a round did. What it did not do makes no series."""
        for counter, amount in (
            (self.shipped, done.written),
            (self.cut, done.cut),
            (self.malformed, done.malformed),
        ):
            if amount:
                counter.labels(project).inc(amount)

    def lose(self, project: str, size: int) -> None:
        if size:
            self.lost.labels(project).inc(size)

    def drop(self, project: str, limit: str, size: int) -> None:
        self.dropped.labels(project, limit).inc(size)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", about, registry=self.registry)

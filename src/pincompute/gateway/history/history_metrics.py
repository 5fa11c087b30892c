"""How far history is behind, for /metrics; asked when it is scraped."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pincompute.gateway.history.history_recorder import HistoryRecorder
from pincompute.store.history_store import HistoryStore


class HistoryMetrics(Collector):
    """Registers itself."""

    def __init__(self, registry: CollectorRegistry, recorder: HistoryRecorder, store: HistoryStore) -> None:
        self._recorder = recorder
        self._store = store
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        health = self._store.health
        yield GaugeMetricFamily("pincompute_store_up", "The database answers.", value=not health.trouble)
        waiting = GaugeMetricFamily("pincompute_store_waiting", "Records that wait to be written.", labels=("where",))
        waiting.add_metric(("memory",), health.in_memory)
        waiting.add_metric(("disk",), health.on_disk)
        yield waiting
        yield CounterMetricFamily("pincompute_store_written", "Records written.", value=health.written)
        yield CounterMetricFamily("pincompute_store_refused", "Records the database will never take.", value=health.refused)
        yield CounterMetricFamily("pincompute_store_lost", "Records that found no room.", value=health.lost)
        yield CounterMetricFamily("pincompute_recorder_records", "Records made.", value=self._recorder.recorded)
        yield GaugeMetricFamily("pincompute_recorder_behind", "News not looked at yet.", value=self._recorder.behind)

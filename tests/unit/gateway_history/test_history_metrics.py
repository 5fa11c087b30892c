"""How far history is behind can be scraped, also while the database is away."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from history_samples import state
from prometheus_client import CollectorRegistry

from pincompute.gateway.history import HistoryMetrics, HistoryRecorder
from pincompute.kube.cluster_set import Clusters
from pincompute.store.database import DatabaseTimeouts
from pincompute.store.history_store import HistoryStore, StoreOptions

WITHIN = 20.0


async def test_figures_tell_what_waits_and_what_was_written(tmp_path: Path) -> None:
    registry, clusters = CollectorRegistry(), Clusters(user_agent="test")
    url, options = f"sqlite+aiosqlite:///{tmp_path}/history.db", StoreOptions(patience=DatabaseTimeouts(lock=0.1))
    async with HistoryStore(url, outbox=tmp_path / "outbox", options=options) as store:
        HistoryMetrics(registry, HistoryRecorder(clusters, store), store)
        await store.until_ready()
        store.record(state("Running", 1))
        assert await store.settled(WITHIN)
        assert registry.get_sample_value("pincompute_store_written_total") == 1
        assert registry.get_sample_value("pincompute_store_up") == 1
        holder = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        store.record(state("Degraded", 2))
        assert not await store.settled(1.0)
        waiting = [registry.get_sample_value("pincompute_store_waiting", {"where": where}) for where in ("memory", "disk")]
        assert sum(value or 0 for value in waiting) == 1
        assert registry.get_sample_value("pincompute_store_up") == 0
        holder.rollback()
        holder.close()
        assert await store.settled(WITHIN)
        assert registry.get_sample_value("pincompute_recorder_behind") == 0

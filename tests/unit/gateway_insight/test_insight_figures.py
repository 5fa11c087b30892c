"""How far history is behind can be scraped, also while the database is away."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from prometheus_client import CollectorRegistry
from stories import state

from pincompute.gateway.insight import Figures, Recorder
from pincompute.kube.clusters import Clusters
from pincompute.store.database import Patience
from pincompute.store.store import Options, Store

WITHIN = 20.0


async def test_figures_tell_what_waits_and_what_was_written(tmp_path: Path) -> None:
    registry, clusters = CollectorRegistry(), Clusters(user_agent="test")
    url, options = f"sqlite+aiosqlite:///{tmp_path}/history.db", Options(patience=Patience(lock=0.1))
    async with Store.open(url, spool=tmp_path / "spool", options=options) as store:
        Figures(registry, Recorder(clusters, store), store)
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

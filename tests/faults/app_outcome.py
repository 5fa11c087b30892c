"""Extracts an app's final state as users see it; it must equal that of an app without faults."""

from __future__ import annotations

from typing import Any

from live_region import Region, ask

from pincompute.api.shards import PINAPPSHARDS


def outcome(region: Region, project: str, name: str) -> dict[str, Any]:
    app = region.settled(project, name)
    pods = region.pods(project, name)
    shards = {cluster: member.get(PINAPPSHARDS, project, name) for cluster, member in region.members.items()}
    return {
        "ready by zone": region.spread(project, name),
        "versions": sorted(ask(placed.pod)["version"] for placed in pods),
        "revisions": {placed.pod.metadata.labels["pincompute.io/revision"] for placed in pods},
        "mixes": {c: [(s.revision, s.replicas) for s in shard.spec.mix] for c, shard in shards.items() if shard is not None},
        "says": (app.status.phase, app.status.where, app.status.revision, app.status.message),
        "unplaced": app.status.scheduling.unplaced if app.status.scheduling else None,
    }

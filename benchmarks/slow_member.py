"""Measures what a member that answers in 5 s costs the others, in one engine over four members.

Every key writes once to each of the four members and once to the host, all at the same time. What is counted is how many keys
are done in the host and the three quick members, a second, until all are.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.goals import Figure, at_least
from benchmarks.progress import Say
from pincompute.api.builtin import NAMESPACES
from pincompute.api.labels import HOST, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Key, Object, Resource
from pincompute.engine.controller import Card, Controller, ObserveContext, ReadAccess, WriteAccess, own_key
from pincompute.engine.engine import Engine
from pincompute.engine.plan import Apply, Plan, Ref, plan
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.testing.apiserver.cluster_store import ClusterStore
from pincompute.testing.apiserver.memory_server import MemoryServer

THINGS = Resource("example.org", "v1", "Thing", "things", True, Object)
PARTS = Resource("example.org", "v1", "Part", "parts", True, Object)
MEMBERS = ("a1", "b1", "c1", "d1")
KEYS = 400
SLOW = 5.0  # seconds that every answer of a1 takes
LONGEST = 300.0
OURS = {"metadata": {"labels": {MANAGED_BY: PINCOMPUTE}}}


@dataclass(frozen=True)
class ObservedThing:
    """A thing, and the clusters that lack its part."""

    key: Key
    lacking: tuple[str, ...]


def observe(key: Key, views: ObserveContext, _now: datetime) -> ObservedThing | None:
    if views.view(HOST, THINGS).get(key) is None:
        return None
    return ObservedThing(key, tuple(c for c in (HOST, *MEMBERS) if views.view(c, PARTS).get(key) is None))


def decide(seen: ObservedThing) -> Plan:
    return plan(tuple(Apply(Ref(cluster, PARTS, seen.key), OURS, "it is missing") for cluster in seen.lacking))


CONTROLLER = Controller(
    Card(
        name="benchmark.parts",
        promise="Every thing has its part in every cluster.",
        key="Thing",
        reads=(ReadAccess("host", THINGS, own_key), ReadAccess("host", PARTS, own_key), ReadAccess("members", PARTS, own_key)),
        writes=(WriteAccess("host", PARTS, ("apply",)), WriteAccess("members", PARTS, ("apply",))),
    ),
    observe,
    decide,
)


async def run(_options: BenchmarkOptions, say: Say) -> list[Figure]:
    """With all members quick, and with one slow."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # requests that the slow one still holds are cut at the end
    say(f"{KEYS} keys over four members")
    calm = await _rate(0.0)
    slow = await _rate(SLOW)
    return [
        Figure("keys done while all members are quick", calm, "keys/s"),
        Figure(
            f"keys done elsewhere while one of four answers in {SLOW:g} s",
            slow,
            "keys/s",
            at_least(calm / 4),
            "in the host and the three quick members; all servers share the engine's process",
        ),
    ]


async def _rate(delay: float) -> float:
    async with AsyncExitStack() as stack:
        clusters = Clusters(user_agent="benchmark")
        engine = Engine([CONTROLLER], clusters)
        await stack.enter_async_context(clusters)
        stores = {cluster: _store() for cluster in (HOST, *MEMBERS)}
        for cluster, store in stores.items():
            server = await stack.enter_async_context(MemoryServer(store))
            server.faults.affects = lambda verb, _path: verb == "PATCH"
            server.faults.delay = delay if cluster == MEMBERS[0] else 0.0
            await clusters.add(cluster, ClusterConfig(server.url))
        for cluster in stores:
            await clusters.until_synced(cluster)
        for number in range(KEYS):
            stores[HOST].create(THINGS, "shop", {"metadata": {"name": f"t{number}"}})
        quick = [stores[cluster] for cluster in stores if cluster != MEMBERS[0]]
        task = asyncio.create_task(engine.run())
        began = time.monotonic()
        while time.monotonic() - began < LONGEST and min(map(_parts, quick)) < KEYS:  # noqa: ASYNC110 - servers set no event
            await asyncio.sleep(0.05)
        seconds = time.monotonic() - began
        task.cancel()
        await asyncio.wait([task])
    return min(map(_parts, quick)) / seconds


def _store() -> ClusterStore:
    store = ClusterStore(resources=(THINGS, PARTS))
    store.create(NAMESPACES, "", {"metadata": {"name": "shop"}})
    return store


def _parts(store: ClusterStore) -> int:
    return len(store.list(PARTS).items)

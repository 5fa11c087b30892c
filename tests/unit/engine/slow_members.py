"""Simulates four members in virtual time, one of which is slow, and keys that write to all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import HOST, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Key, Object, ObjectMeta, Resource
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.engine import Engine
from pincompute.engine.plan import Apply, Plan, Ref, Replace, plan
from pincompute.kube.cache_views import Unknown

WIDGETS = Resource("example.org", "v1", "Widget", "widgets", True, Object)
MEMBERS = ("a1", "b1", "c1", "d1")
OURS = {"metadata": {"labels": {MANAGED_BY: PINCOMPUTE}}}


@dataclass
class FixedObjects:
    """A view of nothing: the controller's keys come from outside."""

    synced: bool = True

    def get(self, _key: Key) -> Any:
        return None

    def list(self, _namespace: str = "") -> Iterable[Any]:
        return ()

    def by(self, _index: str, _value: str) -> Iterable[Any]:
        return ()


@dataclass
class SlowWriter:
    """`Writer` to one cluster, whose every answer takes so many seconds."""

    seconds: float
    on_its_way: int = 0
    most: int = 0
    written: set[str] = field(default_factory=set)

    async def apply(self, _resource: Any, body: Any, _manager: str) -> None:
        await self._write(body["metadata"]["name"])

    async def update(self, _resource: Any, key: Key, _body: Any, _subresource: str, _manager: str) -> None:
        await self._write(key.name)

    async def _write(self, name: str) -> None:
        self.on_its_way += 1
        self.most = max(self.most, self.on_its_way)
        await asyncio.sleep(self.seconds)
        self.on_its_way -= 1
        self.written.add(name)


class SlowRegion:
    """Implements the engine's `Clusters`."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.hands = {cluster: SlowWriter(seconds.get(cluster, 0.01)) for cluster in (HOST, *MEMBERS)}

    def view(self, cluster: str, _resource: Any) -> FixedObjects:
        if cluster not in self.hands:
            raise Unknown(cluster)
        return FixedObjects()

    def members(self) -> tuple[str, ...]:
        return MEMBERS

    def reachable(self, _cluster: str) -> bool:
        return True

    def listen(self, _where: str, _resource: Any, _listener: Any, _part: Any = None) -> None:
        return

    def on_contact(self, _listener: Callable[[str], None]) -> None:
        return

    def writer(self, cluster: str) -> SlowWriter:
        return self.hands[cluster]


@dataclass
class Spread:
    """A key's work: one write to each of its members and, at the same time, one of its status on the host."""

    region: SlowRegion
    members: Callable[[Key], tuple[str, ...]]

    def observe(self, key: Key, _views: Any, _now: Any) -> Pod:
        return Pod(metadata=ObjectMeta(name=key.name, namespace=key.namespace, uid="u", resource_version="1"))

    def decide(self, seen: Pod) -> Plan:
        name, hands = seen.metadata.name, self.region.hands
        left = [member for member in self.members(seen.key) if name not in hands[member].written]
        writes = tuple(Apply(Ref(member, WIDGETS, seen.key), OURS, "its share") for member in left)
        status = Replace(Ref(HOST, WIDGETS, seen.key), {"status": {}}, "u", "1", "its status", "status")
        return plan((*writes, *(() if name in hands[HOST].written else (status,))))

    def engine(self) -> Engine:
        card = Card(
            name="test.spread",
            promise="Tests.",
            key="Widget",
            reads=(ReadAccess("host", WIDGETS, own_key), ReadAccess("members", PODS, own_key)),
            writes=(WriteAccess("host", WIDGETS, ("status",)), WriteAccess("members", WIDGETS, ("apply",))),
        )
        clock = asyncio.get_running_loop().time
        return Engine([Controller(card, self.observe, self.decide)], self.region, clock=clock)


async def looks_in(seconds: float, keys: int, slow: dict[str, float], members: Callable[[Key], tuple[str, ...]]) -> SlowRegion:
    """Runs the engine over so many keys for so long."""
    region = SlowRegion(slow)
    engine = Spread(region, members).engine()
    task = asyncio.create_task(engine.run())
    for number in range(keys):
        engine.enqueue("test.spread", Key("shop", f"w{number}"))
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])
    return region

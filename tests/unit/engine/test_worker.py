"""The engine over the real Kubernetes layer and the in-memory API server: events in, reconciliations, outcomes, writes out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from pincompute.api.builtin import NAMESPACES, PODDISRUPTIONBUDGETS, PODS
from pincompute.api.labels import HOST, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Key, Object, Resource, Struct
from pincompute.engine import worker
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.engine import Engine
from pincompute.engine.error_classification import Outcome
from pincompute.engine.interfaces import Unfenced, WriteLease
from pincompute.engine.plan import Action, Apply, Confirm, Create, Evict, Patch, Plan, Ref, plan
from pincompute.engine.worker import KeyTrouble
from pincompute.kube.cache_views import Unknown, Views
from pincompute.kube.cluster_connection import Liveness
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.testing.apiserver.disruption_controller import update_budgets
from pincompute.testing.apiserver.fault_injection import InjectedRefusal
from pincompute.testing.apiserver.memory_server import MemoryServer


class Spec(Struct):
    size: int = 0


class Widget(Object):
    spec: Spec = Spec()


WIDGETS = Resource("example.org", "v1", "Widget", "widgets", True, Widget)
PARTS = Resource("example.org", "v1", "Part", "parts", True, Widget)
OURS = {"labels": {MANAGED_BY: PINCOMPUTE}}


@dataclass
class WorkerBench:
    """A host and a member in memory, and one controller whose decision a test chooses."""

    decide: Callable[[Widget], Plan]
    observe: Callable[[Key, Views, datetime], Widget | None] = lambda key, views, _: views.view(HOST, WIDGETS).get(key)
    coalesce: float = 0.0
    clock: Callable[[], float] = time.monotonic
    lease: WriteLease = field(default_factory=Unfenced)
    reconciled: list[str] = field(default_factory=list)
    troubles: list[tuple[str, KeyTrouble | None]] = field(default_factory=list)
    host: MemoryServer = field(default_factory=MemoryServer)
    member: MemoryServer = field(default_factory=MemoryServer)
    engine: Engine = field(init=False)
    clusters: Clusters = field(init=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[WorkerBench]:
        for server in (self.host, self.member):
            server.store.register(WIDGETS)
            server.store.register(PARTS)
            server.store.create(NAMESPACES, "", {"metadata": {"name": "shop"}})
        async with self.host, self.member, Clusters(user_agent="test", liveness=Liveness(start=0.0)) as self.clusters:
            controllers = [Controller(self.card(), self._observe, self.decide)]
            self.engine = Engine(controllers, self.clusters, self.lease, on_trouble=self._trouble, clock=self.clock)
            await self.clusters.add(HOST, ClusterConfig(self.host.url))
            await self.clusters.add("a1", ClusterConfig(self.member.url))
            task = asyncio.create_task(self.engine.run())
            try:
                async with asyncio.timeout(20):
                    yield self
            finally:
                task.cancel()
                await asyncio.wait([task])
        assert task.cancelled(), task

    def acquainted(self) -> bool:
        """Both clusters have answered and every kind is synced, and no reconciliation follows from that any more."""
        return all(self._is_known(name) for name in (HOST, "a1")) and self.engine.idle

    def _is_known(self, cluster: str) -> bool:
        kinds = {reads.resource for reads in self.card().reads if (reads.where == "host") == (cluster == HOST)}
        return not self.clusters.trouble(cluster) and all(self.clusters.cache(cluster, kind).synced for kind in kinds)

    def card(self) -> Card:
        return Card(
            name="test.widgets",
            promise="Tests.",
            key="Widget",
            reads=(
                ReadAccess("host", WIDGETS, own_key),
                ReadAccess("members", PARTS, own_key),
                ReadAccess("members", PODS, lambda _cluster, _pod: ()),
            ),
            writes=(
                WriteAccess("host", WIDGETS, ("patch",)),
                WriteAccess("members", PARTS, ("apply", "create")),
                WriteAccess("members", PODS, ("evict",)),
            ),
            coalesce=self.coalesce,
        )

    def _observe(self, key: Key, views: Views, now: datetime) -> Widget | None:
        self.reconciled.append(key.name)
        return self.observe(key, views, now)

    def _trouble(self, _card: Card, key: Key, trouble: KeyTrouble | None) -> None:
        self.troubles.append((key.name, trouble))

    def make(self, name: str, size: int = 0) -> None:
        self.host.store.create(WIDGETS, "shop", {"metadata": {"name": name}, "spec": {"size": size}})

    def resize(self, name: str, size: int) -> None:
        self.host.store.patch(WIDGETS, Key("shop", name), {"spec": {"size": size}}, content_type="merge-patch")

    def parts(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.member.store.list(PARTS).items]

    def count(self, outcome: Outcome) -> float:
        labels = {"controller": "test.widgets", "outcome": outcome.value}
        return self.engine.metrics.registry.get_sample_value("pincompute_reconcile_total", labels) or 0.0


async def eventually(condition: Callable[[], Any]) -> None:
    """Waits until the condition holds; fails when it does not within the deadline."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - any condition, not only events
            await asyncio.sleep(0.005)


def part(widget: Widget, suffix: str = "") -> Apply:
    ref = Ref("a1", PARTS, Key("shop", widget.metadata.name + suffix))
    return Apply(ref, {"metadata": OURS, "spec": {"size": widget.spec.size}}, "a widget needs its part")


def one_part(widget: Widget) -> Plan:
    return plan((part(widget),))


async def test_news_becomes_writes_and_every_change_is_followed() -> None:
    async with WorkerBench(one_part).running() as bench:
        bench.make("one", 1)
        await eventually(lambda: bench.parts() == ["one"])
        bench.resize("one", 7)
        await eventually(lambda: bench.member.store.get(PARTS, Key("shop", "one"))["spec"]["size"] == 7)
        await eventually(lambda: bench.count(Outcome.ACTED) >= 2)


async def test_f12_a_poison_object_costs_the_others_nothing_and_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    def poisoned(widget: Widget) -> Plan:
        if widget.spec.size == 666:
            raise KeyError("poison")
        return one_part(widget)

    async with WorkerBench(poisoned).running() as bench:
        await eventually(bench.acquainted)
        bench.make("bad", 666)
        bench.make("good", 1)
        await eventually(lambda: bench.parts() == ["good"] and bench.troubles)
        assert bench.troubles[0] == ("bad", KeyTrouble(Outcome.BUG, "'poison'"))
        assert bench.reconciled.count("bad") == 1, "backed off far"
        alert = next(r for r in caplog.records if r.levelno == logging.ERROR)
        assert (alert.getMessage(), vars(alert)["key"], vars(alert)["alert"]) == (
            "bug in a controller, its key is degraded",
            "shop/bad",
            True,
        )
        bench.resize("bad", 1)  # whoever made it bad makes it good: that is an event
        await eventually(lambda: ("bad", None) in bench.troubles)
        assert bench.parts() == ["bad", "good"]


async def test_what_the_server_refuses_is_reported_and_not_hammered() -> None:
    """Time stands still until the test moves it, because the delay is a random one and may be nothing."""
    seconds = 0.0

    def invalid(widget: Widget) -> Plan:
        name = "No_Name" if widget.spec.size == 0 else widget.metadata.name
        ref = Ref("a1", PARTS, Key("shop", name))
        return plan((Apply(ref, {"metadata": OURS}, "why"),))

    async with WorkerBench(invalid, clock=lambda: seconds).running() as bench:
        await eventually(bench.acquainted)
        bench.make("one")
        await eventually(lambda: bench.troubles)
        name, trouble = bench.troubles[0]
        assert name == "one"
        assert trouble is not None
        assert trouble.outcome is Outcome.REFUSED
        assert "RFC 1123" in trouble.message
        await eventually(lambda: bench.engine.idle)
        assert bench.reconciled == ["one"]
        seconds += worker.FAR.base
        await eventually(lambda: bench.engine.idle)
        assert bench.reconciled == ["one", "one"]
        bench.resize("one", 1)
        await eventually(lambda: bench.troubles[-1] == ("one", None))


async def test_what_is_not_on_the_card_is_a_bug() -> None:
    def outside(widget: Widget) -> Plan:
        return plan((Create(Ref(HOST, PARTS, widget.key), {"metadata": OURS}, "why"),))

    async with WorkerBench(outside).running() as bench:
        bench.make("one")
        await eventually(lambda: bench.count(Outcome.BUG) == 1)
        assert "may not create parts.example.org in host" in (bench.troubles[0][1] or KeyTrouble(Outcome.BUG, "")).message
        assert bench.host.store.list(PARTS).items == []


async def test_an_answer_of_503_is_tried_again_until_it_succeeds() -> None:
    async with WorkerBench(one_part).running() as bench:
        await bench.clusters.until_synced("a1")
        bench.member.faults.affects = lambda verb, _path: verb == "PATCH"
        bench.member.faults.refusal = InjectedRefusal(503, times=2)
        bench.make("one", 1)
        await eventually(lambda: bench.parts() == ["one"])


async def test_a_conflict_is_looked_at_again_and_no_error() -> None:
    def stale_at_first(widget: Widget) -> Plan:
        if widget.metadata.labels:
            return Plan()
        version = widget.metadata.resource_version if len(bench.reconciled) > 3 else "1"
        ref = Ref(HOST, WIDGETS, widget.key)
        return plan((Patch(ref, {"metadata": {"labels": {"seen": "yes"}}}, widget.metadata.uid, version, "why"),))

    async with WorkerBench(stale_at_first).running() as bench:
        bench.make("one")
        await eventually(lambda: bench.host.store.get(WIDGETS, Key("shop", "one"))["metadata"].get("labels"))
        assert bench.count(Outcome.CONFLICT) == 3
        assert bench.troubles == []


async def test_conflicts_that_do_not_end_raise_an_alert(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "PERSISTENT", 3)

    def always_stale(widget: Widget) -> Plan:
        ref, body = Ref(HOST, WIDGETS, widget.key), {"metadata": {"labels": {"seen": "yes"}}}
        return plan((Patch(ref, body, widget.metadata.uid, "1", "why"),))

    async with WorkerBench(always_stale).running() as bench:
        bench.make("one")
        await eventually(lambda: "conflicts do not end" in caplog.text)
        assert bench.count(Outcome.CONFLICT) >= 3


async def test_conflicts_between_successes_raise_no_alert(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "PERSISTENT", 2)

    def stale_every_second_time(widget: Widget) -> Plan:
        tries = len(bench.reconciled)
        if tries > 12:
            return Plan()
        ref, body = Ref(HOST, WIDGETS, widget.key), {"metadata": {"labels": {"tries": str(tries)}}}
        return plan((Patch(ref, body, widget.metadata.uid, "1" if tries % 2 else widget.metadata.resource_version, "why"),))

    async with WorkerBench(stale_every_second_time).running() as bench:
        bench.make("one")
        await eventually(lambda: len(bench.reconciled) > 12)
        assert bench.count(Outcome.CONFLICT) >= 3
        assert bench.count(Outcome.ACTED) >= 3
        assert "conflicts do not end" not in caplog.text


async def test_unknown_changes_nothing_until_there_is_news() -> None:
    def blind(key: Key, views: Views, _now: datetime) -> Widget | None:
        widget = views.view(HOST, WIDGETS).get(key)
        if widget is not None and widget.spec.size == 0:
            raise Unknown("cannot see")
        return widget

    async with WorkerBench(one_part, blind).running() as bench:
        bench.make("one")
        await eventually(lambda: bench.count(Outcome.UNKNOWN) >= 1)
        assert bench.parts() == []
        assert bench.troubles == []
        bench.resize("one", 1)
        await eventually(lambda: bench.parts() == ["one"])


async def test_s010_a_member_that_syncs_late_wakes_what_waits_for_it() -> None:
    def sees_both(key: Key, views: Views, _now: datetime) -> Widget | None:
        views.view("a1", PARTS)
        return views.view(HOST, WIDGETS).get(key)

    bench = WorkerBench(one_part, sees_both)
    bench.member.faults.refusal = InjectedRefusal(503)
    bench.member.store.register(PARTS)
    bench.member.store.create(NAMESPACES, "", {"metadata": {"name": "old"}})
    bench.member.store.create(PARTS, "old", {"metadata": {"name": "other"}})
    async with bench.running():
        bench.make("one", 1)
        await eventually(lambda: bench.count(Outcome.UNKNOWN) >= 1)
        bench.member.faults.clear()
        await eventually(lambda: "other" in bench.reconciled)


@dataclass
class Switch:
    """A lease that a test gives and takes."""

    left: float = 0.0
    given: asyncio.Event = field(default_factory=asyncio.Event)

    def remaining(self) -> float:
        return self.left

    async def held(self) -> None:
        await self.given.wait()

    def give(self) -> None:
        self.left = 60.0
        self.given.set()


async def test_f7_nothing_is_looked_at_before_the_lease_is_held() -> None:
    lease = Switch()
    async with WorkerBench(one_part, lease=lease).running() as bench:
        bench.make("one", 1)
        await bench.clusters.until_synced("a1")
        assert bench.reconciled == []
        lease.give()
        await eventually(lambda: bench.parts() == ["one"])


async def test_f7_a_plan_stops_where_the_lease_is_lost() -> None:
    lease = Switch()

    def loses_it(widget: Widget) -> Plan:
        if "second" in bench.parts():
            return Plan()
        return plan((part(widget),), (part(widget, "-2"),))

    async with WorkerBench(loses_it, lease=lease).running() as bench:
        bench.member.store.subscribe(lambda resource, _event: resource == PARTS and setattr(lease, "left", 0.0))
        lease.give()
        bench.make("one", 1)
        await eventually(lambda: bench.count(Outcome.FENCED) >= 1)
        assert bench.parts() == ["one"]
        lease.give()
        await eventually(lambda: bench.parts() == ["one", "one-2"])


async def test_we_read_our_own_writes() -> None:
    """A controller that makes what it does not see makes it once, though the watch has not shown it yet."""

    def missing(key: Key, views: Views, _now: datetime) -> Widget | None:
        return views.view(HOST, WIDGETS).get(key) if views.view("a1", PARTS).get(key) is None else None

    def make_part(widget: Widget) -> Plan:
        return plan((Create(Ref("a1", PARTS, widget.key), {"metadata": OURS}, "missing"),))

    async with WorkerBench(make_part, missing).running() as bench:
        await bench.clusters.until_synced("a1")
        bench.member.faults.affects = lambda verb, _path: verb == "WATCH"
        bench.member.faults.silent = True
        bench.member.drop_watches()
        bench.make("one")
        await eventually(lambda: bench.parts() == ["one"])
        bench.resize("one", 5)
        await eventually(lambda: bench.reconciled.count("one") >= 2 and bench.engine.idle)
        assert bench.count(Outcome.CONFLICT) == 0


async def test_wake_after_is_honoured() -> None:
    async with WorkerBench(lambda _widget: Plan(wake_after=0.02)).running() as bench:
        bench.make("one")
        await eventually(lambda: len(bench.reconciled) >= 4)


async def test_a_stage_waits_for_the_one_before_and_a_failure_ends_the_plan() -> None:
    def in_stages(widget: Widget) -> Plan:
        first: tuple[Action, ...] = tuple(part(widget, f"-{n}") for n in range(5))
        proof = Confirm(Ref(HOST, WIDGETS, widget.key), widget.metadata.uid, widget.metadata.generation + widget.spec.size)
        return plan(first, (proof,), (part(widget, "-last"),))

    made: list[str] = []
    async with WorkerBench(in_stages).running() as bench:
        bench.member.store.subscribe(lambda _resource, event: made.append(event.object["metadata"]["name"]))
        bench.make("good")
        await eventually(lambda: "good-last" in made)
        assert made.index("good-last") == 5
        bench.make("bad", 1)
        await eventually(lambda: bench.count(Outcome.CONFLICT) >= 1)
        assert "bad-4" in made
        assert "bad-last" not in made


async def test_s014_a_member_that_hangs_holds_up_no_other_key() -> None:
    def own_place(widget: Widget) -> Plan:
        if widget.metadata.name == "stuck":
            return one_part(widget)
        if widget.metadata.labels:
            return Plan()
        meta = widget.metadata
        ref = Ref(HOST, WIDGETS, widget.key)
        return plan((Patch(ref, {"metadata": {"labels": {"seen": "yes"}}}, meta.uid, meta.resource_version, "why"),))

    async with WorkerBench(own_place).running() as bench:
        await bench.clusters.until_synced("a1")
        bench.member.faults.silent = True
        bench.make("stuck", 1)
        await eventually(lambda: "stuck" in bench.reconciled)
        bench.make("free")
        await eventually(lambda: bench.host.store.get(WIDGETS, Key("shop", "free"))["metadata"].get("labels"))
        assert bench.parts() == []


async def test_two_runs_that_write_are_a_coalesce_interval_apart() -> None:
    async with WorkerBench(one_part, coalesce=3600.0).running() as bench:
        await eventually(bench.acquainted)
        bench.make("one", 1)
        await eventually(lambda: bench.parts() == ["one"])
        for size in range(2, 6):
            bench.resize("one", size)
        bench.make("two", 1)
        await eventually(lambda: bench.parts() == ["one", "two"])
        assert bench.reconciled.count("one") == 1


async def test_a_look_can_be_asked_for_from_outside() -> None:
    async with WorkerBench(lambda _widget: Plan()).running() as bench:
        bench.engine.enqueue("test.widgets", Key("shop", "ghost"))
        bench.engine.enqueue("somebody.else", Key("shop", "nobody"))
        await eventually(lambda: bench.reconciled == ["ghost"])


async def test_latency_is_counted_from_the_first_news() -> None:
    async with WorkerBench(one_part).running() as bench:
        bench.make("one", 1)
        await eventually(lambda: bench.parts() == ["one"] and bench.engine.idle)
        value = bench.engine.metrics.registry.get_sample_value
        assert value("pincompute_reconcile_latency_seconds_count", {"controller": "test.widgets"}) or 0 >= 1
        labels = {"controller": "test.widgets", "kind": "Part", "verb": "apply", "outcome": "acted"}
        assert value("pincompute_writes_total", labels)


async def test_an_eviction_that_is_blocked_stops_nothing_alarms_nobody_and_is_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The stage after it runs, and when the disruption budget gives way the pod is evicted without any event."""
    bench, pod = WorkerBench(lambda _widget: Plan()), Key("shop", "web")
    store, uids = bench.member.store, list[str]()

    def evicts(widget: Widget) -> Plan:
        evict = Evict(Ref("a1", PODS, pod), uids[0], "its node is drained")
        return plan((evict,), (part(widget),)) if "deletionTimestamp" not in store.get(PODS, pod)["metadata"] else Plan()

    bench.decide = evicts
    async with bench.running():
        labels = {"app": "web"}
        store.create(
            PODS, "shop", {"metadata": {"name": "web", "labels": {**labels, **OURS["labels"]}}, "spec": {"nodeName": "n"}}
        )
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        store.patch(PODS, pod, {"status": ready}, content_type="merge-patch", subresource="status")
        uids.append(store.get(PODS, pod)["metadata"]["uid"])
        guard = {"metadata": {"name": "guard"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}}}
        store.create(PODDISRUPTIONBUDGETS, "shop", guard)
        update_budgets(store)
        await eventually(bench.acquainted)
        bench.make("one", 1)
        await eventually(lambda: bench.count(Outcome.BLOCKED) >= 1)
        assert bench.parts() == ["one"]
        assert bench.troubles == []
        change = {"spec": {"minAvailable": 0}}
        store.patch(PODDISRUPTIONBUDGETS, Key("shop", "guard"), change, content_type="merge-patch")
        update_budgets(store)
        await eventually(lambda: "deletionTimestamp" in store.get(PODS, pod)["metadata"])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

"""The recorder over API servers: what happens there is in history once, also after a restart and with several gateways."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from history_samples import done, template

from pincompute.api import labels
from pincompute.api.builtin import EVENTS, NAMESPACES, PODS
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.domain import operation_annotation
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.history import HistoryRecorder
from pincompute.kube import field_managers
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.store.history_store import HistoryStore
from pincompute.store.history_table import RecordFilter
from pincompute.store.records import (
    GONE,
    AnyRecord,
    DecisionRecord,
    EventRecord,
    ExitRecord,
    OperationRecord,
    RevisionRecord,
    StateRecord,
)
from pincompute.testing.apiserver.memory_server import MemoryServer

WITHIN = 20.0
HELLO = Key("demo", "hello")


@dataclass
class Region:
    """A host and a member `a1` with project demo, and the history of both."""

    host: MemoryServer
    member: MemoryServer
    store: HistoryStore
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def eventually(self, kind: type[AnyRecord], condition: Callable[[list[Any]], bool]) -> list[Any]:
        """Records of this kind, as soon as they are so; the oldest first."""
        found: list[Any] = []
        try:
            async with asyncio.timeout(WITHIN):
                while True:
                    page = await self.store.history.page(RecordFilter("demo"), limit=1000, oldest_first=True)
                    found = [record for record in page.records if isinstance(record, kind)]
                    if condition(found):
                        return found
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pytest.fail(f"within {WITHIN} s history did not show it; it has {found}")

    def make(self, **metadata: Any) -> Manifest:
        body = {"metadata": {"name": "hello", **metadata}, "spec": {"template": template(), "replicas": 3}}
        return self.host.store.create(PINAPPS, "demo", body)

    def change(self, patch: Manifest, subresource: str = "", manager: str = "") -> None:
        self.host.store.patch(PINAPPS, HELLO, patch, content_type="merge-patch", subresource=subresource, manager=manager)

    def status(self, phase: str, second: int, **status: Any) -> None:
        at = (self.began - timedelta(seconds=60 - second)).isoformat()
        self.change({"status": {"phase": phase, "lastUpdateTime": at, **status}}, "status")

    def pod(self, uid: str, name: str = "hello-a1-0") -> str:
        """Gives its own uid."""
        has = {
            labels.APP: "hello",
            labels.WORKLOAD: "PinApp",
            labels.ORIGIN_UID: uid,
            labels.ZONE: "a",
            labels.MANAGED_BY: labels.PINCOMPUTE,
        }
        body = {"metadata": {"name": name, "labels": has}, "spec": template()["spec"]}
        return str(self.member.store.create(PODS, "demo", body)["metadata"]["uid"])

    def crash(self, code: int = 137) -> None:
        ended = {"exitCode": code, "reason": "OOMKilled", "finishedAt": "2026-11-01T10:01:00Z"}
        status = {
            "name": "web",
            "ready": False,
            "restartCount": 1,
            "image": "",
            "imageID": "",
            "lastState": {"terminated": ended},
        }
        patch = {"status": {"containerStatuses": [status]}}
        self.member.store.patch(PODS, Key("demo", "hello-a1-0"), patch, content_type="merge-patch", subresource="status")

    def forge_event(self, kind: str, name: str, uid: str) -> None:
        """As a user of the project does with kubectl on the host, where no pod runs."""
        body = {
            "metadata": {"name": f"forged-{kind.lower()}"},
            "involvedObject": {"kind": kind, "namespace": "demo", "name": name, "uid": uid},
            "reason": "RolledBack",
            "message": "admin rolled it back",
            "source": {"component": "pincompute-federation"},
            "firstTimestamp": "2026-11-01T10:01:00Z",
        }
        self.host.store.create(EVENTS, "demo", body)

    def event(self, pod: str, uid: str, name: str = "e1", count: int = 1) -> None:
        body = {
            "metadata": {"name": name},
            "involvedObject": {"kind": "Pod", "namespace": "demo", "name": pod, "uid": uid},
            "reason": "BackOff",
            "message": "Back-off restarting failed container",
            "type": "Warning",
            "count": count,
            "firstTimestamp": "2026-11-01T10:01:00Z",
            "lastTimestamp": f"2026-11-01T10:01:{count:02}Z",
        }
        if count == 1:
            self.member.store.create(EVENTS, "demo", body)
        else:
            self.member.store.patch(EVENTS, Key("demo", name), body, content_type="merge-patch")


@asynccontextmanager
async def region(folder: Path) -> AsyncIterator[Region]:
    host, member = MemoryServer(), MemoryServer()
    for kind in (PINAPPS, PINPODS, PROJECTS, MEMBERCLUSTERS):
        host.store.register(kind)
    for server in (host, member):
        server.store.create(NAMESPACES, "", {"metadata": {"name": "demo"}})
    host.store.create(PROJECTS, "", {"metadata": {"name": "demo"}})
    url = f"sqlite+aiosqlite:///{folder}/history.db"
    async with host, member, HistoryStore(url, outbox=folder / "outbox of the test") as store:
        await store.until_ready()
        yield Region(host, member, store)


@asynccontextmanager
async def gateway(there: Region, name: str = "one") -> AsyncIterator[HistoryStore]:
    """A recorder at work, with a connection of its own to the same history."""
    folder = Path(there.store.database.url.database or "").parent
    clusters = Clusters(user_agent="test")
    url = f"sqlite+aiosqlite:///{folder}/history.db"
    async with HistoryStore(url, outbox=folder / f"outbox of {name}") as store:
        CacheReads(clusters)
        recorder = HistoryRecorder(clusters, store)
        async with clusters:
            task = asyncio.create_task(recorder.run())
            await clusters.add(HOST, ClusterConfig(there.host.url))
            await clusters.add("a1", ClusterConfig(there.member.url))
            try:
                yield store
            finally:
                task.cancel()
                await asyncio.wait([task])


async def test_the_life_of_an_app(tmp_path: Path) -> None:
    async with region(tmp_path) as there, gateway(there):
        uid = there.make()["metadata"]["uid"]
        await there.eventually(RevisionRecord, lambda found: len(found) == 1)
        note = operation_annotation.annotation(done("scale", at=datetime.now(UTC), generation=2))
        there.change({"metadata": {"annotations": note}, "spec": {"replicas": 6}})
        revisions = await there.eventually(RevisionRecord, lambda found: len(found) == 2)
        assert [(r.generation, r.author, r.spec["replicas"], r.uid) for r in revisions] == [
            (1, "", 3, uid),
            (2, "alice", 6, uid),
        ]
        (operation,) = await there.eventually(OperationRecord, bool)
        assert (operation.author, operation.reason, operation.generation) == ("alice", "load test", 2)

        placed = {"generation": 2, "placement": [{"cluster": "a1", "zone": "a", "replicas": 6}]}
        there.status("Progressing", 1, scheduling=placed)
        there.status("Running", 2)
        there.status("Running", 3, message="the same phase is no change")
        there.status("Degraded", 4)
        states = await there.eventually(StateRecord, lambda found: len(found) == 3)
        assert [(s.before, s.after) for s in states] == [
            ("", "Progressing"),
            ("Progressing", "Running"),
            ("Running", "Degraded"),
        ]
        (decision,) = await there.eventually(DecisionRecord, bool)
        assert decision.scheduling.placement[0].replicas == 6

        there.host.store.delete(PINAPPS, HELLO)
        states = await there.eventually(StateRecord, lambda found: len(found) == 4)
        assert (states[-1].before, states[-1].after, states[-1].uid) == ("Degraded", GONE, uid)


async def test_exits_and_events_of_pods_belong_to_their_app(tmp_path: Path) -> None:
    async with region(tmp_path) as there, gateway(there):
        uid = there.make()["metadata"]["uid"]
        pod = there.pod(uid)
        there.event("hello-a1-0", pod)
        there.crash()
        there.event("hello-a1-0", pod, count=12)
        (crash,) = await there.eventually(ExitRecord, bool)
        assert (crash.name, crash.uid, crash.cluster, crash.zone, crash.code) == ("hello", uid, "a1", "a", 137)
        (event,) = await there.eventually(EventRecord, lambda found: bool(found) and found[0].count == 12)
        assert (event.name, event.uid, event.object, event.warning) == ("hello", uid, "hello-a1-0", True)


async def test_events_of_pods_that_are_gone_are_found_by_their_name_and_others_are_not_ours(tmp_path: Path) -> None:
    async with region(tmp_path) as there:
        uid = there.make()["metadata"]["uid"]
        there.event("hello-a1-3", "long gone")
        there.event("someone-elses", "u1", "e2")
        there.event("unit-a1", "u2", "e3")
        async with gateway(there):
            events = await there.eventually(EventRecord, lambda found: len(found) >= 2)
    found = sorted((e.workload, e.name, e.uid) for e in events)
    assert found == [("PinApp", "hello", uid), ("PinPod", "unit", "")]


async def test_an_event_that_a_user_writes_on_the_host_is_no_history(tmp_path: Path) -> None:
    async with region(tmp_path) as there:
        uid = there.make()["metadata"]["uid"]
        pod = there.pod(uid)
        there.forge_event("PinApp", "hello", uid)
        there.forge_event("Pod", "hello-a1-0", pod)
        async with gateway(there):
            there.event("hello-a1-0", pod)
            there.event("hello-a1-0", pod, count=2)
            events = await there.eventually(EventRecord, lambda found: any(event.count == 2 for event in found))
    assert {event.reason for event in events} == {"BackOff"}


async def test_an_event_that_comes_before_its_pod_waits_for_it(tmp_path: Path) -> None:
    """Names that were cut short tell nothing."""
    async with region(tmp_path) as there, gateway(there):
        uid = there.make()["metadata"]["uid"]
        there.event("cut-0123abcd-0", "uid-of-pod")
        await there.eventually(RevisionRecord, bool)
        body = {
            "metadata": {"name": "cut-0123abcd-0", "labels": {labels.APP: "hello", labels.WORKLOAD: "PinApp"}},
            "spec": template()["spec"],
        }
        body["metadata"]["labels"] |= {labels.ORIGIN_UID: uid, labels.MANAGED_BY: labels.PINCOMPUTE}
        made = there.member.store.create(PODS, "demo", body)
        there.event("cut-0123abcd-0", made["metadata"]["uid"], "e2")
        events = await there.eventually(EventRecord, bool)
        assert {(e.name, e.uid) for e in events} == {("hello", uid)}


async def test_several_gateways_record_everything_once(tmp_path: Path) -> None:
    async with region(tmp_path) as there, gateway(there, "one") as one, gateway(there, "two") as two:
        pod = there.pod(there.make()["metadata"]["uid"])
        for store in (one, two):
            await _until_written(store, 1)
        for second, phase in enumerate(("Progressing", "Running", "Degraded", "Running")):
            there.status(phase, second)
        there.crash()
        there.event("hello-a1-0", pod)
        there.change({"spec": {"replicas": 6}})
        await there.eventually(RevisionRecord, lambda found: len(found) == 2)
        there.host.store.delete(PINAPPS, HELLO)
        for store in (one, two):
            await _until_written(store, 9)
        await there.eventually(
            StateRecord, lambda found: len(found) == 5
        )  # a revision is written again once its author is known
        records = (await there.store.history.page(RecordFilter("demo"), limit=1000)).records
        kinds = sorted(type(record).__name__ for record in records)
        assert Counter(kinds) == {"EventRecord": 1, "ExitRecord": 1, "RevisionRecord": 2, "StateRecord": 5}


async def _until_written(store: HistoryStore, count: int) -> None:
    async with asyncio.timeout(WITHIN):
        while store.health.written < count:  # noqa: ASYNC110 - another task writes, which sets no event
            await asyncio.sleep(0.01)


async def test_a_gateway_that_comes_back_catches_up_and_repeats_nothing(tmp_path: Path) -> None:
    async with region(tmp_path) as there:
        uid = there.make()["metadata"]["uid"]
        there.status("Running", 1, scheduling={"generation": 1})
        async with gateway(there):
            await there.eventually(StateRecord, lambda found: len(found) == 1)
            await there.eventually(DecisionRecord, bool)
        there.status("Degraded", 2)
        there.change({"spec": {"replicas": 9}})
        there.pod(uid)
        there.crash()
        async with gateway(there):
            await there.eventually(ExitRecord, bool)
            states = await there.eventually(StateRecord, lambda found: len(found) == 2)
            revisions = await there.eventually(RevisionRecord, lambda found: len(found) == 2)
        assert [(s.before, s.after) for s in states] == [("", "Running"), ("Running", "Degraded")]
        assert [r.spec["replicas"] for r in revisions] == [3, 9]
        async with gateway(there) as store:
            await _until_written(store, 1)  # exits are told again; their keys are known
        before = len((await there.store.history.page(RecordFilter("demo"), limit=1000)).records)
        assert before == 2 + 2 + 1 + 1


async def test_what_was_deleted_while_no_gateway_looked_has_an_end(tmp_path: Path) -> None:
    async with region(tmp_path) as there:
        there.make()
        there.status("Running", 1)
        async with gateway(there):
            await there.eventually(StateRecord, bool)
        there.host.store.delete(PINAPPS, HELLO)
        second = there.make()["metadata"]["uid"]
        async with gateway(there):
            states = await there.eventually(StateRecord, lambda found: len(found) == 2)
            await there.eventually(RevisionRecord, lambda found: len(found) == 2)
        assert (states[-1].after, states[-1].before) == (GONE, "Running")
        assert states[-1].uid != second


async def test_who_changed_it_past_the_gateway_is_told_by_their_program(tmp_path: Path) -> None:
    """A change of metadata or status by another program in between is not theirs."""
    async with region(tmp_path) as there, gateway(there):
        there.make()
        await there.eventually(RevisionRecord, lambda found: len(found) == 1)
        there.change({"spec": {"replicas": 6}}, manager="kubectl-edit")
        there.change({"metadata": {"finalizers": ["pincompute.io/shards"]}}, manager="pincompute-federation")
        there.change({"status": {"phase": "Running"}}, "status", manager="pincompute-federation")
        revisions = await there.eventually(RevisionRecord, lambda found: bool(found[1:]) and found[1].manager != "")
        assert (revisions[1].manager, revisions[1].author) == ("kubectl-edit", "")


async def test_nobody_is_asked_for_an_author_that_the_object_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> str:
        raise AssertionError

    monkeypatch.setattr(field_managers, "of_spec", refuse)
    async with region(tmp_path) as there, gateway(there):
        there.make()
        await there.eventually(RevisionRecord, lambda found: len(found) == 1)
        annotations = {labels.CHANGED_BY: "2 bob"}
        there.change({"spec": {"replicas": 6}, "metadata": {"annotations": annotations}}, manager="kubectl-edit")
        revisions = await there.eventually(RevisionRecord, lambda found: len(found) == 2)
        assert [r.author for r in revisions] == ["", "bob"]


async def test_a_program_is_found_for_what_was_changed_while_no_gateway_looked(tmp_path: Path) -> None:
    async with region(tmp_path) as there:
        there.make()
        async with gateway(there):
            await there.eventually(RevisionRecord, lambda found: len(found) == 1)
            there.status("Running", 1)
            await there.eventually(StateRecord, bool)
        there.change({"spec": {"replicas": 6}}, manager="argocd")
        async with gateway(there):
            await there.eventually(RevisionRecord, lambda found: bool(found[1:]) and found[1].manager == "argocd")

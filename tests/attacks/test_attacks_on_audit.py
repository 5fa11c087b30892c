"""What who owns a gateway's disk can do to its audit log, and how `pin admin audit verify` shows it: by anchors elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from pincompute.api.builtin import NAMESPACES
from pincompute.api.labels import AUDIT_HEADS, HOST, SYSTEM_NAMESPACE
from pincompute.api.meta import Key
from pincompute.gateway.audit import AuditLog, AuditQuery, AuditReport, HeadAnchors, head_anchors, search, verify
from pincompute.gateway.audit import hash_chain as chains
from pincompute.gateway.audit.head_anchors import CONFIGMAPS
from pincompute.gateway.call_context import Call, Caller, Operation
from pincompute.gateway.gateway_settings import AuditSettings, GatewaySettings
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import ApiStatus, Refused, RequestInfo
from pincompute.kube.clock import SYSTEM
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.testing.apiserver.memory_server import MemoryServer

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
SETTINGS = GatewaySettings(audit=AuditSettings(name="gw"))


class Day:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class Host:
    """The host with the ConfigMap as it is installed, and the gateways that come and go before it."""

    def __init__(self, memory: MemoryServer, client: ApiClient, path: Path) -> None:
        self.memory, self.client, self.path, self.day = memory, client, path, Day()
        self.clock = replace(SYSTEM, wall=self.day)

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[tuple[AuditLog, HeadAnchors]]:
        """One life of a gateway: it compares its log with the host's head before it goes on."""
        clusters: Any = SimpleNamespace(client=lambda _: self.client)
        async with AuditLog(AuditSettings(), self.path, self.clock) as audit:
            anchors = HeadAnchors(audit, clusters, SETTINGS, self.clock)
            await anchors._try_to_anchor()
            yield audit, anchors
            await anchors._try_to_anchor()

    async def write(self, count: int, caller: str = "mallory") -> None:
        async with self.gateway() as (audit, _):
            for number in range(count):
                await audit.record(call(number, caller), allowed=True, status=200)

    async def verify(self) -> AuditReport:
        async with AuditLog(AuditSettings(), self.path.with_name("unused.log"), self.clock) as audit:
            clusters: Any = SimpleNamespace(client=lambda _: self.client)
            return verify(self.path, "", await HeadAnchors(audit, clusters, SETTINGS, self.clock).read())

    def data(self) -> dict[str, str]:
        return self._stored()["data"]

    def version(self) -> str:
        return self._stored()["metadata"]["resourceVersion"]

    def _stored(self) -> Any:
        return self.memory.store.get(CONFIGMAPS, Key(SYSTEM_NAMESPACE, AUDIT_HEADS))


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    memory = MemoryServer()
    memory.store.create(NAMESPACES, "", {"metadata": {"name": SYSTEM_NAMESPACE}})
    memory.store.create(CONFIGMAPS, SYSTEM_NAMESPACE, {"metadata": {"name": AUDIT_HEADS}})
    async with memory, ApiClient(ClusterConfig(memory.url), name=HOST) as client:
        yield Host(memory, client, tmp_path / "audit.log")


def call(number: int, caller: str = "mallory") -> Call:
    return Call(f"r{number}", Caller(caller), Operation("shells", "open"), "shop", "web", "10.0.0.1", NOON)


def whats(report: AuditReport) -> str:
    return "; ".join(fault.what for fault in report.faults)


def written_anew(path: Path, keep: int | None = None) -> None:
    """Rewrites the whole chain so that every hash is right and mallory was never there."""
    lines, previous = path.read_bytes().splitlines()[:keep], chains.START
    made: list[bytes] = []
    for line in lines:
        record = msgspec.json.decode(line.replace(b"mallory", b"alice"), type=chains.AuditRecord)
        fields = {f: getattr(record, f) for f in chains.AuditEntry.__struct_fields__}
        encoded, previous = chains.encode(chains.AuditEntry(**fields), record.seq, previous)
        made.append(encoded)
    path.write_bytes(b"".join(made))


async def test_a_log_that_is_left_alone_is_proved_until_its_last_anchored_record(host: Host):
    await host.write(5)
    host.day.now += timedelta(days=1)
    await host.write(3)
    report = await host.verify()
    assert (report.faults, report.unproved, report.stopped) == ((), 0, "")
    assert [(proof.until, proof.since) for proof in report.proofs] == [(5, NOON), (8, NOON + timedelta(days=1))]


async def test_a_gateway_whose_growth_was_taken_up_anchors_in_steps(host: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(head_anchors, "AUDIT_HEAD_BURST", 3)
    sent = host.client.request
    steps: list[int] = []

    async def limited(method: str, path: str, **options: Any) -> bytes:
        """Answers as the policy `audit-heads` does where the time allows no growth beyond the burst."""
        if method == "PATCH":
            new = int(msgspec.json.decode(options["body"])["data"]["gw"][:20])
            before = int(host.data()["gw"][:20])
            if new - before > 3:
                raise Refused(
                    RequestInfo(HOST, method, path), ApiStatus(code=422, reason="Invalid", message="grows by too many")
                )
            steps.append(new)
        return await sent(method, path, **options)

    await host.write(2)
    monkeypatch.setattr(host.client, "request", limited)
    await host.write(8)
    assert steps == [5, 8, 10]
    report = await host.verify()
    assert (report.faults, report.unproved) == ((), 0)


async def test_a_chain_that_was_written_anew_shows(host: Host):
    await host.write(5)
    written_anew(host.path)
    assert not verify(host.path).faults, "its hashes are right"
    assert "record 5 is not the one that was anchored" in whats(await host.verify())


async def test_a_chain_that_was_written_anew_shows_also_after_the_gateway_went_on(host: Host):
    await host.write(5)
    written_anew(host.path)
    await host.write(5)
    host.day.now += timedelta(days=3)
    await host.write(5)
    said = whats(await host.verify())
    assert "record 5 is not the one that was anchored" in said
    assert "the gateway found when it started: record 5 is not the one that was anchored" in said


async def test_a_tail_that_was_cut_off_shows_before_and_after_the_gateway_went_on(host: Host):
    await host.write(10)
    written_anew(host.path, keep=0)
    host.path.unlink()
    await host.write(2)  # a log that begins again
    report = await host.verify()
    assert "the log ends with record 0, and record 10 was anchored" in whats(report)
    assert report.last == 13


async def test_a_tail_that_was_cut_off_by_some_records_shows(host: Host):
    await host.write(10)
    host.path.write_bytes(b"\n".join(host.path.read_bytes().splitlines()[:7]) + b"\n")
    assert not verify(host.path).faults
    assert "record 10, which was anchored on 2026-11-29 12:00:00Z, is gone" in whats(await host.verify())
    await host.write(1)
    assert "record 11 follows record 7" in whats(await host.verify())


async def test_anchors_that_were_removed_show_at_once(host: Host):
    await host.write(5)
    assert (await host.verify()).faults == ()
    host.memory.store.delete(CONFIGMAPS, Key(SYSTEM_NAMESPACE, AUDIT_HEADS))
    report = await host.verify()
    assert f"the {head_anchors.PLACE} is gone, and with it every proof" in whats(report)
    assert report.proofs == ()


async def test_a_gateway_that_is_kept_from_the_host_shows_after_ten_minutes(host: Host):
    await host.write(5)
    host.memory.store.delete(CONFIGMAPS, Key(SYSTEM_NAMESPACE, AUDIT_HEADS))
    host.day.now += timedelta(minutes=1)
    await host.write(2)
    assert (await host.verify()).stopped == ""
    host.day.now += timedelta(hours=1)
    report = await host.verify()
    assert (report.proofs, report.unproved) == ((), 7)
    assert "nothing since record 1 of 2026-11-29 12:00:00Z is anchored: the anchors cannot be read" in report.stopped


async def test_a_forged_second_head_of_a_record_does_not_hide_the_first(host: Host):
    """Who has the gateway's credential as well may add heads, and an admission policy lets nobody change one."""
    await host.write(5)
    written_anew(host.path)
    forged = f"{5:020d} {verify(host.path).head} 2026-11-30T12:00:00Z"
    body = msgspec.json.encode({"data": {"gw_2026-11-30": forged}})
    path = CONFIGMAPS.path(SYSTEM_NAMESPACE, AUDIT_HEADS)
    await host.client.request("PATCH", path, body=body, content_type="application/merge-patch+json")
    report = await host.verify()
    assert "record 5 is not the one that was anchored on 2026-11-29" in whats(report)
    assert report.proofs == ()


async def test_a_forged_newer_head_shows_and_what_follows_is_proved_again(host: Host):
    """The policy of the host takes a head that lies ahead by what a gateway writes in the time between."""
    await host.write(5)
    forged = f"{10_005:020d} {'b' * 64} 2026-11-29T12:00:00Z"
    body = msgspec.json.encode({"data": {"gw": forged}})
    path = CONFIGMAPS.path(SYSTEM_NAMESPACE, AUDIT_HEADS)
    await host.client.request("PATCH", path, body=body, content_type="application/merge-patch+json")
    await host.write(3)
    report = await host.verify()
    assert "the log ends with record 5, and record 10005 was anchored" in whats(report)
    assert (report.proofs[-1].until, report.last, report.unproved) == (10_009, 10_009, 0)


async def test_heads_are_anchored_when_there_are_new_records_and_not_otherwise(host: Host):
    async with host.gateway() as (audit, anchors):
        await audit.record(call(1), allowed=True, status=200)
        await anchors._try_to_anchor()
        before = host.version()
        await anchors._try_to_anchor()
        after = host.version()
    assert before == after
    assert set(host.data()) == {"gw", "gw_2026-11-29"}


async def test_a_search_is_bounded_and_goes_on_where_it_stopped(tmp_path: Path):
    path = tmp_path / "audit.log"
    async with AuditLog(AuditSettings(rotate=20_000), path) as audit:
        for number in range(300):
            await audit.record(call(number, "alice" if number % 10 else "mallory"), allowed=number % 20 != 0, status=200)
    query, cursor, found, pages = AuditQuery(caller="mallory"), "", [], 0
    while True:
        page = search(path, query, cursor, limit=7, most=10_000)
        found += [record.request for record in page.items]
        cursor, pages = page.cursor, pages + 1
        if not cursor:
            break
    assert found == [f"r{number}" for number in range(290, -1, -10)]
    assert pages > 8
    assert [r.request for r in search(path, AuditQuery(request="r123")).items] == ["r123"]
    assert len(search(path, AuditQuery(denied=True)).items) == 15
    assert search(path, AuditQuery(resource="shells", verb="delete")).items == ()
    with pytest.raises(ValueError, match="not a cursor"):
        search(path, query, "9" * 6000 + "-1")

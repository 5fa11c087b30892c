"""Streams of changes: the whole state, then every change once, over reconnections as well (S-251)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from workload_gateway import WITHIN, Running

from pincompute.api.meta import Key, Object, ObjectMeta
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS
from pincompute.gateway.workloads import event_stream
from pincompute.gateway.workloads.change_journal import ChangeJournal

APPS = "/v1/projects/shop/apps"
LABELS = {"team": "web"}


def manifest(name: str) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "web", "image": "hello:1"}]}}
    return {"metadata": {"name": name, "namespace": "shop", "labels": LABELS}, "spec": {"template": template}}


class Reader:
    """What a browser's EventSource would make of a stream."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._lines = answer.content
        self.last_id = ""

    async def next(self) -> tuple[str, str]:
        """Kind and name of the next event."""
        found: dict[str, str] = {}
        async with asyncio.timeout(WITHIN):
            while True:
                line = (await self._lines.readline()).decode().rstrip("\n")
                if not line and found:
                    break
                key, _, value = line.partition(": ")
                if key:
                    found[key] = value
        self.last_id = found.get("id", self.last_id)
        return found["event"], json.loads(found["data"]).get("name", "")

    async def until(self, kind: str) -> list[tuple[str, str]]:
        seen = []
        while not seen or seen[-1][0] != kind:
            seen.append(await self.next())
        return seen


class Streams:
    def __init__(self, gateway: Running) -> None:
        self._gateway = gateway

    def open(self, caller: str, path: str, last_id: str = "") -> Any:
        headers = {"X-Caller": caller, **({"Last-Event-ID": last_id} if last_id else {})}
        return self._gateway.http.get(self._gateway.url + path, headers=headers)


async def test_the_whole_state_and_then_every_change(gateway: Running) -> None:
    store = gateway.host.store
    store.create(PINAPPS, "shop", manifest("ant"))
    await gateway.caught_up()
    async with Streams(gateway).open("vera", f"{APPS}/watch") as answer:
        assert answer.content_type == "text/event-stream"
        reader = Reader(answer)
        assert await reader.until("synced") == [("reset", ""), ("added", "ant"), ("synced", "")]
        store.create(PINAPPS, "shop", manifest("bee"))
        store.patch(PINAPPS, Key("shop", "ant"), {"spec": {"replicas": 5}}, content_type="merge-patch")
        store.delete(PINAPPS, Key("shop", "bee"))
        assert [await reader.next() for _ in range(3)] == [("added", "bee"), ("modified", "ant"), ("deleted", "bee")]


async def test_nothing_is_lost_or_doubled_over_a_reconnection(gateway: Running) -> None:
    store, streams = gateway.host.store, Streams(gateway)
    async with streams.open("vera", f"{APPS}/watch") as answer:
        reader = Reader(answer)
        await reader.until("synced")
        store.create(PINAPPS, "shop", manifest("ant"))
        assert await reader.next() == ("added", "ant")
    for name in ("bee", "cat"):
        store.create(PINAPPS, "shop", manifest(name))
    await gateway.caught_up()
    async with streams.open("vera", f"{APPS}/watch", reader.last_id) as answer:
        again = Reader(answer)
        assert [await again.next() for _ in range(2)] == [("added", "bee"), ("added", "cat")]
        await gateway.ask("dan", "PATCH", f"{APPS}/ant", {"replicas": 3})
        assert await again.next() == ("modified", "ant")


async def test_a_former_project_of_the_name_is_not_shown_to_the_members_of_the_new_one(gateway: Running) -> None:
    store, streams, key = gateway.host.store, Streams(gateway), Key("", "lab")
    async with streams.open("vera", "/v1/projects/watch") as answer:
        reader = Reader(answer)
        await reader.until("synced")
    store.create(PROJECTS, "", {"metadata": {"name": "lab"}, "spec": {"members": [{"name": "carl", "role": "owner"}]}})
    store.patch(PROJECTS, key, {"spec": {"description": "a secret"}}, content_type="merge-patch")
    store.delete(PROJECTS, key)
    store.create(PROJECTS, "", {"metadata": {"name": "lab"}, "spec": {"members": [{"name": "vera", "role": "owner"}]}})
    await gateway.caught_up()
    async with streams.open("vera", "/v1/projects/watch", reader.last_id) as answer:
        again = Reader(answer)
        assert await again.next() == ("added", "lab")
        store.patch(PROJECTS, key, {"spec": {"description": "ours"}}, content_type="merge-patch")
        assert await again.next() == ("modified", "lab")


async def test_an_unknown_place_is_answered_with_the_whole_state(gateway: Running) -> None:
    gateway.host.store.create(PINAPPS, "shop", manifest("ant"))
    await gateway.caught_up()
    for last_id in ("0000-12", "nonsense", "-"):
        async with Streams(gateway).open("vera", f"{APPS}/watch", last_id) as answer:
            assert await Reader(answer).until("synced") == [("reset", ""), ("added", "ant"), ("synced", "")]


async def test_a_410_behind_the_gateway_is_not_seen(gateway: Running) -> None:
    store = gateway.host.store
    store.create(PINAPPS, "shop", manifest("ant"))
    await gateway.caught_up()
    async with Streams(gateway).open("vera", f"{APPS}/watch") as answer:
        reader = Reader(answer)
        await reader.until("synced")
        store.delete(PINAPPS, Key("shop", "ant"))
        store.create(PINAPPS, "shop", manifest("bee"))
        store.compact()
        gateway.host.drop_watches()
        seen = [await reader.next() for _ in range(2)]
        assert sorted(seen) == [("added", "bee"), ("deleted", "ant")]


async def test_what_leaves_the_filter_is_gone_from_the_stream(gateway: Running) -> None:
    async with Streams(gateway).open("vera", f"{APPS}/watch?label=team=web") as answer:
        reader = Reader(answer)
        await reader.until("synced")
        gateway.host.store.create(PINAPPS, "shop", manifest("ant"))
        assert await reader.next() == ("added", "ant")
        await gateway.ask("dan", "PATCH", f"{APPS}/ant", {"labels": {"team": "data"}})
        assert await reader.next() == ("deleted", "ant")


async def test_one_object_can_be_watched_alone(gateway: Running) -> None:
    async with Streams(gateway).open("vera", f"{APPS}/bee/watch") as answer:
        reader = Reader(answer)
        await reader.until("synced")
        for name in ("ant", "bee"):
            gateway.host.store.create(PINAPPS, "shop", manifest(name))
        assert await reader.next() == ("added", "bee")


async def test_a_stream_ends_when_the_right_is_withdrawn(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-255."""
    monkeypatch.setattr(event_stream, "RECHECK", 0.1)
    async with Streams(gateway).open("vera", f"{APPS}/watch") as answer:
        await Reader(answer).until("synced")
        gateway.host.store.patch(PROJECTS, Key("", "shop"), {"spec": {"members": []}}, content_type="merge-patch")
        async with asyncio.timeout(WITHIN):
            assert await answer.content.read() == b""


async def test_whose_projects_change_gets_the_whole_state_anew(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "RECHECK", 0.1)
    gateway.host.store.create(PINAPPS, "shop", manifest("ant"))
    await gateway.caught_up()
    async with Streams(gateway).open("root", "/v1/apps/watch") as answer:
        reader = Reader(answer)
        await reader.until("synced")
        gateway.host.store.create(PROJECTS, "", {"metadata": {"name": "more"}, "spec": {}})
        assert await reader.until("synced") == [("reset", ""), ("added", "ant"), ("synced", "")]


def test_a_journal_knows_what_it_has_forgotten() -> None:
    journal = ChangeJournal(length=3)
    for number in range(5):
        journal.record(_object(f"a{number}"), gone=False)
    assert (journal.begin, journal.end) == (2, 5)
    assert journal.since(1) is None
    assert journal.since(6) is None
    known = journal.since(3)
    assert known is not None
    assert [change.last.metadata.name for change in known] == ["a3", "a4"]


def _object(name: str) -> Any:
    return Object(metadata=ObjectMeta(name=name, namespace="shop"))

"""The in-memory API server misbehaves on demand, and only then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from pincompute.testing.apiserver.fault_injection import InjectedRefusal
from pincompute.testing.apiserver.memory_server import MemoryServer
from pincompute.testing.apiserver.served_kinds import CONFIGMAPS

PATH = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def server() -> AsyncIterator[MemoryServer]:
    async with MemoryServer() as server:
        yield server


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


async def test_a_refusal_counts_down(server: MemoryServer, session: aiohttp.ClientSession) -> None:
    server.faults.refusal = InjectedRefusal(429, retry_after=3, times=1)
    async with session.get(server.url + PATH) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "3")
        assert (await response.json())["reason"] == "TooManyRequests"
    async with session.get(server.url + PATH) as response:
        assert response.status == 200


async def test_a_connection_is_cut(server: MemoryServer, session: aiohttp.ClientSession) -> None:
    server.faults.cut = True
    with pytest.raises(aiohttp.ClientError):
        await session.get(server.url + PATH)
    server.faults.clear()
    async with session.get(server.url + PATH) as response:
        assert response.status == 200


async def test_silence_is_no_answer(server: MemoryServer, session: aiohttp.ClientSession) -> None:
    server.faults.silent = True
    with pytest.raises(TimeoutError):
        await session.get(server.url + PATH, timeout=aiohttp.ClientTimeout(total=0.1))


async def test_faults_can_be_limited(server: MemoryServer, session: aiohttp.ClientSession) -> None:
    server.faults.refusal = InjectedRefusal(503)
    server.faults.affects = lambda verb, _path: verb == "POST"
    async with session.get(server.url + PATH) as response:
        assert response.status == 200
    async with session.post(server.url + PATH, json={"metadata": {"name": "a"}}) as response:
        assert response.status == 503


async def test_stale_reads_show_the_past(server: MemoryServer, session: aiohttp.ClientSession) -> None:
    server.faults.stale_at = server.store.resource_version
    server.store.create(CONFIGMAPS, "default", {"metadata": {"name": "a"}})
    async with session.get(server.url + PATH) as response:
        assert (await response.json())["items"] == []
    async with session.get(f"{server.url}{PATH}/a") as response:
        assert response.status == 404
    server.faults.clear()
    async with session.get(f"{server.url}{PATH}/a") as response:
        assert response.status == 200


async def test_watches_are_dropped(server: MemoryServer, session: aiohttp.ClientSession) -> None:
    server.store.create(CONFIGMAPS, "default", {"metadata": {"name": "a"}})
    async with session.get(server.url + PATH, params={"watch": "true"}) as response:
        assert json.loads(await response.content.readline())["type"] == "ADDED"
        assert server.drop_watches() == 1
        with pytest.raises(aiohttp.ClientError):
            await response.content.readline()


async def test_a_forgotten_version_as_a_status(server: MemoryServer, session: aiohttp.ClientSession) -> None:
    server.store.compact()
    query = {"watch": "true", "resourceVersion": "1"}
    async with session.get(server.url + PATH, params=query) as response:
        assert response.status == 200
        assert json.loads(await response.content.readline())["type"] == "ERROR"
    server.faults.gone_as_status = True
    async with session.get(server.url + PATH, params=query) as response:
        assert (response.status, (await response.json())["reason"]) == (410, "Expired")


async def test_bookmarks_come_regularly(server: MemoryServer, session: aiohttp.ClientSession) -> None:
    server.faults.bookmark_every = 0.01
    query = {"watch": "true", "resourceVersion": server.store.resource_version, "allowWatchBookmarks": "true"}
    async with asyncio.timeout(10), session.get(server.url + PATH, params=query) as response:
        for _ in range(2):
            event = json.loads(await response.content.readline())
            assert event["type"] == "BOOKMARK"
            assert event["object"]["metadata"]["resourceVersion"] == server.store.resource_version


async def test_tokens_decide_who_is_let_in(session: aiohttp.ClientSession) -> None:
    async with MemoryServer(tokens=("right",)) as server:
        for token, code in (("wrong", 401), ("right", 200)):
            async with session.get(server.url + PATH, headers={"Authorization": f"Bearer {token}"}) as response:
                assert response.status == code

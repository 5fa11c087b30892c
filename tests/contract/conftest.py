"""The contract runs twice: against the in-memory API server and against a real kube-apiserver.

Where they disagree the real one is right, and the in-memory one is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import aiohttp
import pytest
from contract_client import WIDGET_DEFINITION, Api, until
from real_api_server import TOKEN, RealServer, running

from pincompute.testing.apiserver.memory_server import MemoryServer

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with running(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@asynccontextmanager
async def _memory() -> AsyncIterator[Api]:
    async with MemoryServer() as server, aiohttp.ClientSession(headers={"User-Agent": "contract/1"}) as session:

        async def compact() -> None:
            server.store.compact()

        yield Api(session, server.url, compact)


@asynccontextmanager
async def _real(server: RealServer) -> AsyncIterator[Api]:
    headers = {"Authorization": f"Bearer {TOKEN}", "User-Agent": "contract/1"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def compact() -> None:
            await asyncio.to_thread(server.compact)

        yield Api(session, server.url, compact)


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.region)])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """A server with the Widget kind and a namespace of this test's own."""
    chosen = _memory() if request.param == "memory" else _real(request.getfixturevalue("real_server"))
    async with chosen as api:
        await _install_widgets(api)
        created = (await api.post("/api/v1/namespaces", {"metadata": {"generateName": "contract-"}})).ok(201)
        api.namespace = created["metadata"]["name"]
        yield api


async def _install_widgets(api: Api) -> None:
    answer = await api.post(DEFINITIONS, WIDGET_DEFINITION)
    assert answer.code in (201, 409), answer.body

    async def served() -> bool:
        return (await api.get("/apis/contract.pincompute.io/v1/widgets")).code == 200

    await until(served, "widgets to be served")


@pytest.fixture
def unique() -> str:
    """A name that no other test has."""
    return f"t{uuid4().hex[:10]}"

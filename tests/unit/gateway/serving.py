"""A whole gateway for tests: the real composition over API servers in memory, served over HTTP on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from pincompute.api.clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS, PROJECTS
from pincompute.api.core import NAMESPACES
from pincompute.api.labels import HOST
from pincompute.api.shards import PINAPPSHARDS, PINPODSHARDS
from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.gateway import server
from pincompute.gateway.access.tokens import Scope
from pincompute.gateway.calls import Caller
from pincompute.gateway.composition import Composition, compose
from pincompute.gateway.settings import Access, Listen, Settings
from pincompute.kube.clusters import Clusters
from pincompute.kube.config import ClusterConfig
from pincompute.kube.memory.server import MemoryServer

WITHIN = 15.0
KINDS = (PINAPPS, PINPODS, PROJECTS, MEMBERCLUSTERS, PINAPPSHARDS, PINPODSHARDS, CLUSTERCAPACITIES)
ROLES = {"alice": "owner", "olga": "operator", "dan": "developer", "vera": "viewer"}


@dataclass
class Running:
    """`url` is the gateway's; `alice` and the others of ROLES are members of project shop, `root` is an administrator."""

    url: str
    gateway: Composition
    host: MemoryServer
    member: MemoryServer
    http: aiohttp.ClientSession

    async def token(self, subject: str, project: str = "*") -> str:
        """A service token with all that its subject may do."""
        scope = Scope(project, operations=("*:*",))
        secret, _ = await self.gateway.tokens.create("test", Caller(subject), subject, scope, timedelta(hours=1))
        return secret

    async def ask(self, subject: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Status, decoded body and headers."""
        bearer = {"Authorization": f"Bearer {await self.token(subject)}"} if subject else {}
        async with self.http.request(method, self.url + path, json=body, headers={**bearer, **headers}) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers


@asynccontextmanager
async def running(folder: Path, **changes: Any) -> AsyncIterator[Running]:
    """Everything is synced when the block begins."""
    settings = Settings(
        **{
            "listen": Listen(port=_free_port()),
            "access": Access(platform_roles={"admin": ("root",)}),
            "folder": str(folder),
            **changes,
        }
    )
    host, member = MemoryServer(), MemoryServer()
    for memory in (host, member):
        for kind in KINDS:
            memory.store.register(kind)
    _project(host)
    clusters = Clusters(user_agent="test")
    async with host, member, compose(settings, clusters) as gateway, clusters, aiohttp.ClientSession() as http:
        await clusters.add(HOST, ClusterConfig(host.url))
        await clusters.add("a1", ClusterConfig(member.url))
        serving = server.make(gateway.app, settings)
        tasks = [asyncio.create_task(part) for part in (*gateway.background(), server.serve(serving))]
        try:
            async with asyncio.timeout(WITHIN):
                await clusters.until_synced(HOST)
                await clusters.until_synced("a1")
                while not serving.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.01)
            yield Running(f"http://127.0.0.1:{settings.listen.port}", gateway, host, member, http)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def _project(host: MemoryServer) -> None:
    members = [{"name": name, "role": role} for name, role in ROLES.items()]
    host.store.create(NAMESPACES, "", {"metadata": {"name": "shop", "labels": {"pincompute.io/project": "shop"}}})
    host.store.create(PROJECTS, "", {"metadata": {"name": "shop"}, "spec": {"members": members}})
    reference = {"name": "member-a1", "namespace": "pincompute-system"}
    host.store.create(MEMBERCLUSTERS, "", {"metadata": {"name": "a1"}, "spec": {"zone": "a", "kubeconfig": reference}})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]

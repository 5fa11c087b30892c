"""A whole gateway for tests: the real composition over API servers in memory, served over HTTP on loopback."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey

from pincompute.api import kinds
from pincompute.api.builtin import NAMESPACES, SECRETS
from pincompute.api.daemons import PINDAEMONS
from pincompute.api.labels import AUDIT_HEADS, HOST, SYSTEM_NAMESPACE
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.projects import PROJECTS
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.settings import PINCONFIGS, PINSECRETS
from pincompute.api.sidecars import PINSIDECARS
from pincompute.gateway import gateway_settings, http_server
from pincompute.gateway.access.service_tokens import TokenScope
from pincompute.gateway.audit.head_anchors import CONFIGMAPS
from pincompute.gateway.call_context import Caller
from pincompute.gateway.composition import Composition, compose
from pincompute.gateway.gateway_settings import AccessSettings, GatewaySettings, ListenSettings
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.testing.apiserver.memory_server import MemoryServer

WITHIN = 60.0
OTHERS = (PINREVISIONS, PROJECTS, MEMBERCLUSTERS, CLUSTERCAPACITIES, SECRETS, PINSECRETS, PINCONFIGS, PINSIDECARS, PINDAEMONS)
KINDS = (*(r for kind in kinds.KINDS for r in (kind.workload, kind.shard)), *OTHERS)
ROLES = {"alice": "owner", "olga": "operator", "dan": "developer", "vera": "viewer"}


class Answer(NamedTuple):
    status: int
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Issuer:
    """Gives out keys and tokens as an OIDC issuer does, without asking anybody for a password."""

    url: str
    key: ECKey

    def token(self, name: str, *groups: str) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "pincompute", "sub": name, "preferred_username": name, "groups": list(groups)}
        header = {"alg": "ES256", "kid": self.key.kid}
        return jwt.encode(header, {**claims, "iat": now, "nbf": now, "exp": now + 3600}, self.key)


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    key = ECKey.generate_key("P-256", auto_kid=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    async def discovery(_: web.Request) -> web.Response:
        return web.json_response({"issuer": url, "jwks_uri": f"{url}/keys"})

    async def keys(_: web.Request) -> web.Response:
        return web.json_response({"keys": [key.as_dict(private=False, use="sig", alg="ES256")]})

    application = web.Application()
    application.router.add_get("/.well-known/openid-configuration", discovery)
    application.router.add_get("/keys", keys)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield Issuer(url, key)
    finally:
        await runner.cleanup()


@dataclass
class Running:
    """`url` is the gateway's; `alice` and the others of ROLES are members of project shop, `root` is an administrator."""

    url: str
    gateway: Composition
    host: MemoryServer
    member: MemoryServer
    http: aiohttp.ClientSession
    issuer: Issuer

    async def token(self, subject: str, project: str = "*") -> str:
        """A service token with all that its subject may do."""
        scope = TokenScope(project, operations=("*:*",))
        secret, _ = await self.gateway.tokens.create("test", Caller(subject), subject, scope, timedelta(hours=1))
        return secret

    async def _bearer(self, subject: str) -> str:
        """A login, where the gateway trusts our issuer."""
        return self.issuer.token(subject) if self._is_trusted() else await self.token(subject)

    def _is_trusted(self) -> bool:
        return self.issuer.url in [issuer.url for issuer in self.gateway.settings.issuers]

    async def until_logins_count(self) -> None:
        """Waits until the gateway has our issuer's keys: a busy machine exceeds the seconds that it gives one try."""
        while self._is_trusted() and await self._logins_wait():  # noqa: ASYNC110 - the gateway tells nobody
            await asyncio.sleep(0.2)

    async def _logins_wait(self) -> bool:
        return (await self.send("GET", "/v1/session", None, self.issuer.token("vera"))).status == 503

    async def send(self, method: str, path: str, body: Any, bearer: str) -> Answer:
        headers = {"Authorization": f"Bearer {bearer}"}
        async with self.http.request(method, self.url + path, json=body, headers=headers) as answer:
            return Answer(answer.status, await answer.text())

    async def ask(self, subject: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Status, decoded body and headers."""
        bearer = {"Authorization": f"Bearer {await self._bearer(subject)}"} if subject else {}
        async with self.http.request(method, self.url + path, json=body, headers={**bearer, **headers}) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers


@asynccontextmanager
async def running(folder: Path, **changes: Any) -> AsyncIterator[Running]:
    """Everything is synced when the block begins; a store that the test itself names may be away."""
    async with issuing() as issuer:
        issuers = (gateway_settings.IssuerSettings(url=issuer.url),)
        async with _running(folder, issuer, {"issuers": issuers, **changes}) as found:
            yield found


@asynccontextmanager
async def _running(folder: Path, issuer: Issuer, changes: dict[str, Any]) -> AsyncIterator[Running]:
    asked = GatewaySettings(
        **{
            "listen": ListenSettings(port=free_port()),
            "access": AccessSettings(platform_roles={"admin": ("root",)}),
            "folder": str(folder),
            **changes,
        }
    )
    host, member = MemoryServer(), MemoryServer()
    for memory in (host, member):
        for kind in KINDS:
            memory.store.register(kind)
    populate(host)
    clusters = Clusters(user_agent="test")
    async with host, member, compose(asked, clusters) as gateway, clusters, aiohttp.ClientSession() as http:
        await clusters.add(HOST, ClusterConfig(host.url))
        await clusters.add("a1", ClusterConfig(member.url))
        serving = http_server.make(gateway.app, asked)
        tasks = [asyncio.create_task(part) for part in (*gateway.background(), serving.serve())]
        try:
            async with asyncio.timeout(WITHIN):
                if "store" not in changes:
                    await gateway.store.until_ready()
                await clusters.until_synced(HOST)
                await clusters.until_synced("a1")
                while not serving.uvicorn.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.01)
                made = Running(f"http://127.0.0.1:{asked.listen.port}", gateway, host, member, http, issuer)
                await made.until_logins_count()
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def populate(host: MemoryServer) -> None:
    """Project shop with its members, and member cluster a1."""
    members = [{"name": name, "role": role} for name, role in ROLES.items()]
    host.store.create(NAMESPACES, "", {"metadata": {"name": "shop", "labels": {"pincompute.io/project": "shop"}}})
    host.store.create(PROJECTS, "", {"metadata": {"name": "shop"}, "spec": {"members": members}})
    host.store.create(NAMESPACES, "", {"metadata": {"name": SYSTEM_NAMESPACE}})
    host.store.create(CONFIGMAPS, SYSTEM_NAMESPACE, {"metadata": {"name": AUDIT_HEADS}})
    reference = {"name": "member-a1", "namespace": "pincompute-system"}
    host.store.create(MEMBERCLUSTERS, "", {"metadata": {"name": "a1"}, "spec": {"zone": "a", "kubeconfig": reference}})


# Below the ports that outgoing connections are given, which nobody can keep free. Each worker of a run has its own ports, and
# each run begins elsewhere.
_SLICE = 1_500
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_ports = (20_000 + _WORKER * _SLICE + number % _SLICE for number in itertools.count(os.getpid() * 37))


def free_port() -> int:
    """A port that is free now, and that no connection will take before it is listened on."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")

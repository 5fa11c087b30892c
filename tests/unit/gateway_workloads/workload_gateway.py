"""The workload API alone for tests: its real routes, reads and rights over API servers in memory, served over HTTP.

Callers say who they are by a header; how callers prove it is tested elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
from gateway.served_gateway import WITHIN, free_port, populate
from litestar import post

from pincompute.api import kinds, labels
from pincompute.api.daemons import PINDAEMONS
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.meta import Key
from pincompute.api.projects import PROJECTS, Project
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.settings import PINCONFIGS, PINSECRETS
from pincompute.api.sidecars import PINSIDECARS
from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.gateway import application, http_server
from pincompute.gateway.access import Authorizer, Roles
from pincompute.gateway.audit import AuditLog
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Caller
from pincompute.gateway.gateway_settings import AccessSettings, GatewaySettings, LimitSettings, ListenSettings
from pincompute.gateway.images.image_digests import ImageDigests
from pincompute.gateway.images.registry_storage import RegistryStorage
from pincompute.gateway.images.stored_bytes import StoredBytes
from pincompute.gateway.middleware import RequestGuards
from pincompute.gateway.model import APP, UNIT
from pincompute.gateway.openapi_document import OpenApiDocument
from pincompute.gateway.operation import lifecycle_handlers
from pincompute.gateway.operation.lifecycle_service import LifecycleService
from pincompute.gateway.operation.replica_access import ReplicaAccess
from pincompute.gateway.operation.replica_lookup import ReplicaLookup
from pincompute.gateway.operation.rollback_candidates import RollbackCandidates
from pincompute.gateway.workloads import object_handlers, project_handlers, setting_handlers
from pincompute.gateway.workloads.read_service import ReadService
from pincompute.gateway.workloads.write_service import UNRESOLVED, WriteService
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.store.database import StoreUnavailable
from pincompute.store.history_store import HistoryStore
from pincompute.testing.apiserver.memory_server import MemoryServer

ROUTES = (
    *object_handlers.routes(APP),
    *object_handlers.routes(UNIT),
    *project_handlers.ROUTES,
    *setting_handlers.ROUTES,
    *(each for each in lifecycle_handlers.routes(kinds.KINDS) if isinstance(each, post) and "rollback" in str(each.paths)),
)


class _ByHeader:
    async def identify(self, scope: Any, *, basic: bool = False) -> Caller:
        return Caller(dict(scope["headers"]).get(b"x-caller", b"nobody").decode())


class _NoHistory:
    async def page(self, *_: Any, **__: Any) -> Any:
        raise StoreUnavailable("no store")


class _Unlimited:
    def admit(self, caller: Caller, operation: Any, project: str) -> Any:
        return nullcontext()


@dataclass
class Running:
    """`dan` and the others of ROLES are members of project shop, `root` is an administrator."""

    url: str
    clusters: Clusters
    host: MemoryServer
    member: MemoryServer
    http: aiohttp.ClientSession

    async def ask(self, caller: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Status, decoded body and headers."""
        said = {"X-Caller": caller, **headers}
        async with self.http.request(method, self.url + path, json=body, headers=said) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers

    async def send(self, caller: str, path: str, body: bytes, content_type: str) -> tuple[int, Any]:
        said = {"X-Caller": caller, "Content-Type": content_type}
        async with self.http.post(self.url + path, data=body, headers=said) as answer:
            return answer.status, await answer.json(content_type=None)

    async def superseded(self, app: str, revision: str, template: Any = None) -> None:
        """Keeps a former template of an app of shop, else its present one, as the federation does."""
        obj = self.host.store.get(PINAPPS, Key("shop", app))
        owner = {"apiVersion": obj["apiVersion"], "kind": "PinApp", "name": app, "uid": obj["metadata"]["uid"]}
        metadata = {
            "name": f"pinapp-{app}-{revision}",
            "labels": {labels.MANAGED_BY: labels.PINCOMPUTE},
            "ownerReferences": [owner],
        }
        spec = {"revision": revision, "number": 1, "template": template or obj["spec"]["template"]}
        made = self.host.store.create(PINREVISIONS, "shop", {"metadata": metadata, "spec": spec})
        async with asyncio.timeout(WITHIN):
            await self.clusters.cache(HOST, PINREVISIONS).until(int(made["metadata"]["resourceVersion"]))

    async def caught_up(self) -> None:
        """The gateway has seen everything that the host holds."""
        async with asyncio.timeout(WITHIN):
            for kind in (PINAPPS, PINPODS, PROJECTS):
                newest = max((int(o["metadata"]["resourceVersion"]) for o in self.host.store.list(kind).items), default=0)
                await self.clusters.cache(HOST, kind).until(newest)


_ON_HOST = (PINAPPS, PINPODS, PINREVISIONS, PROJECTS, MEMBERCLUSTERS, PINSECRETS, PINCONFIGS, PINSIDECARS, PINDAEMONS)


@asynccontextmanager
async def running(folder: Path, images: ImageDigests = UNRESOLVED) -> AsyncIterator[Running]:
    """Everything is synced when the block begins."""
    host, member = MemoryServer(), MemoryServer()
    for memory in (host, member):
        for kind in (*_ON_HOST, CLUSTERCAPACITIES):
            memory.store.register(kind)
    populate(host)
    clusters = Clusters(user_agent="test")
    settings = GatewaySettings(listen=ListenSettings(port=free_port()), limits=LimitSettings(body=1 << 19))
    audit = AuditLog(settings.audit, folder / "audit.log")
    serving = http_server.make(_app(clusters, settings, audit, images), settings)
    async with host, member, audit, clusters, aiohttp.ClientSession() as http:
        await clusters.add(HOST, ClusterConfig(host.url))
        await clusters.add("a1", ClusterConfig(member.url))
        task = asyncio.create_task(serving.serve())
        try:
            async with asyncio.timeout(WITHIN):
                await clusters.until_synced(HOST)
                await clusters.until_synced("a1")
                while not serving.uvicorn.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.01)
            yield Running(f"http://127.0.0.1:{settings.listen.port}", clusters, host, member, http)
        finally:
            serving.uvicorn.force_exit = True
            task.cancel()
            await asyncio.wait([task])


def _app(clusters: Clusters, settings: GatewaySettings, audit: AuditLog, images: ImageDigests) -> Any:
    def project(name: str) -> Project | None:
        return clusters.view(HOST, PROJECTS).get(Key("", name))

    roles = Roles(AccessSettings(platform_roles={"admin": ("root",), "project-creator": ("carl",)}))
    authorizer = Authorizer(roles, project, lambda _: None, time.time)
    reads = CacheReads(clusters)
    given = {
        "roles": roles,
        "authorizer": authorizer,
        "reader": ReadService(clusters, reads, authorizer),
        "writer": WriteService(reads, authorizer, images),
        "lifecycle": LifecycleService(
            reads,
            ReplicaLookup(reads),
            ReplicaAccess(clusters),
            RollbackCandidates(reads, cast("HistoryStore", SimpleNamespace(history=_NoHistory()))),
            authorizer,
            images,
        ),
        "stored": StoredBytes(RegistryStorage()),
    }
    guards = RequestGuards(_ByHeader(), _Unlimited(), authorizer, audit)
    return application.build(application.ApplicationParts(settings, reads, guards, OpenApiDocument(str), given), ROUTES)

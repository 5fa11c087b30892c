"""Puts the gateway together: its services, its routes and its background tasks."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import msgspec
from litestar import Litestar
from litestar.types import ControllerRouterHandler

from pincompute.api.labels import HOST
from pincompute.api.meta import Key
from pincompute.api.projects import PROJECTS, Project
from pincompute.gateway import access_handlers, application, audit_handlers, cluster_handlers, openapi_document
from pincompute.gateway.access import Authenticator, Authorizer, Roles, ServiceTokens
from pincompute.gateway.audit import AuditLog, HeadAnchors
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.gateway_settings import GatewaySettings
from pincompute.gateway.history import HistoryRecorder, HistoryService, OperationRecorder, history_handlers
from pincompute.gateway.host_clock import HostClock
from pincompute.gateway.images import image_handlers, registry_handlers
from pincompute.gateway.images.image_digests import ImageDigests
from pincompute.gateway.images.image_garbage_collection import ImageGarbageCollector, freed_within
from pincompute.gateway.images.image_inventory import ImageInventory
from pincompute.gateway.images.image_leases import ImageLeases
from pincompute.gateway.images.image_removal import ImageRemoval
from pincompute.gateway.images.owner_files import OwnerFiles
from pincompute.gateway.images.registry_reader import RegistryReader
from pincompute.gateway.images.registry_storage import RegistryStorage
from pincompute.gateway.images.registry_tokens import RegistryTokens
from pincompute.gateway.images.repository_ownership import RepositoryOwnership
from pincompute.gateway.images.stored_bytes import StoredBytes
from pincompute.gateway.images.stored_manifest import StoredManifests
from pincompute.gateway.middleware import RequestGuards
from pincompute.gateway.model import KINDS, SimpleKinds, in_projects, of_workloads
from pincompute.gateway.openapi_document import OpenApiDocument
from pincompute.gateway.operation import lifecycle_handlers
from pincompute.gateway.operation.lifecycle_service import LifecycleService
from pincompute.gateway.operation.logs.log_handlers import LogService
from pincompute.gateway.operation.pod_troubles import PodTroubles
from pincompute.gateway.operation.replica_access import ReplicaAccess
from pincompute.gateway.operation.replica_lookup import ReplicaLookup
from pincompute.gateway.operation.replica_streams.stream_service import ReplicaStreamService
from pincompute.gateway.operation.rollback_candidates import RollbackCandidates
from pincompute.gateway.operation.stream_permissions import StreamPermissions
from pincompute.gateway.request_limits import RequestLimiter
from pincompute.gateway.usage import usage_handlers
from pincompute.gateway.usage.usage_readers import UsageReaders
from pincompute.gateway.workloads import daemon_handlers, object_handlers, project_handlers, setting_handlers, sidecar_handlers
from pincompute.gateway.workloads.read_service import ReadService
from pincompute.gateway.workloads.write_service import WriteService
from pincompute.kube.cache_views import Unknown
from pincompute.kube.clock import SYSTEM
from pincompute.kube.cluster_set import Clusters
from pincompute.store.history_store import HistoryStore
from pincompute.store.token_table import TokenTable


def routes(kinds: SimpleKinds = KINDS) -> Sequence[ControllerRouterHandler]:
    """Returns the routes of a gateway that serves these kinds."""
    workloads = of_workloads(kinds)
    return (
        *(route for kind in in_projects(kinds) for route in object_handlers.routes(kind)),
        *project_handlers.ROUTES,
        *setting_handlers.ROUTES,
        *lifecycle_handlers.routes(workloads),
        *history_handlers.routes(workloads),
        *access_handlers.ROUTES,
        *audit_handlers.ROUTES,
        *cluster_handlers.ROUTES,
        *sidecar_handlers.ROUTES,
        *daemon_handlers.ROUTES,
        *registry_handlers.ROUTES,
        *image_handlers.ROUTES,
        *usage_handlers.routes(workloads),
    )


GIVEN = (
    "roles",
    "tokens",
    "authorizer",
    "lifecycle",
    "logs",
    "shells",
    "troubles",
    "history",
    "reader",
    "writer",
    "digests",
    "anchors",
    "registry",
    "inventory",
    "usage",
    "ownership",
    "removal",
    "stored",
)  # services that routes ask for by name


@dataclass(frozen=True, slots=True)
class Composition:
    """A gateway that can be served; `background` must run while it is."""

    settings: GatewaySettings
    clusters: Clusters
    app: Litestar
    store: HistoryStore
    tokens: ServiceTokens
    recorder: HistoryRecorder
    document: OpenApiDocument
    permissions: StreamPermissions
    anchors: HeadAnchors
    ownership: RepositoryOwnership
    garbage_collector: ImageGarbageCollector

    @property
    def address(self) -> str:
        return f"{self.settings.listen.address}:{self.settings.listen.port}"

    def background(self) -> tuple[Coroutine[Any, Any, None], ...]:
        images = self.ownership.run(), self.garbage_collector.run()
        return self.tokens.run(), self.recorder.run(), self.document.make(), self.anchors.run(), *images

    def missing(self) -> tuple[str, ...]:
        """What it waits for before it can answer; a store that is away is no reason not to."""
        waits = [f"contact with the host: {self.clusters.trouble(HOST)}"] if not self.clusters.answers(HOST) else []
        try:
            self.clusters.view(HOST, PROJECTS)
        except Unknown as unknown:
            waits.append(str(unknown))
        return tuple(waits)


@asynccontextmanager
async def compose(settings: GatewaySettings, clusters: Clusters, kinds: SimpleKinds = KINDS) -> AsyncGenerator[Composition]:
    """Composes a gateway. Enter it before the first cluster is added. Raises what a part raises about its settings."""
    clock = replace(SYSTEM, wall=HostClock(clusters))
    async with (
        HistoryStore(settings.database, outbox=settings.path("outbox")) as store,
        AuditLog(settings.audit, settings.path(settings.audit.file), clock) as audit,
        AsyncExitStack() as closing,
    ):
        tokens = ServiceTokens(TokenTable(store.database), records=clock)
        reads = CacheReads(clusters, kinds)
        roles = Roles(settings.access, reads.workloads)

        def project(name: str) -> Project | None:
            return clusters.view(HOST, PROJECTS).get(Key("", name))

        authorizer = Authorizer(roles, project, tokens.in_force, time.time)
        recorder = HistoryRecorder(clusters, store, clock, reads.workloads)
        auditor = OperationRecorder(audit, recorder, reads)
        guards = RequestGuards(
            authenticator=Authenticator(settings.issuers, tokens, settings.access.leeway),
            limiter=RequestLimiter(settings.limits, authorizer.belongs),
            authorizer=authorizer,
            audit=auditor,
            now=clock.wall,
        )
        replicas, access = ReplicaLookup(reads), ReplicaAccess(clusters)
        permissions = StreamPermissions(authorizer, project, time.time)
        clusters.listen(HOST, PROJECTS, permissions.project_changed)
        tokens.on_end(permissions.token_ended)
        anchors = HeadAnchors(audit, clusters, settings, clock)
        usage = UsageReaders(clusters)
        closing.push_async_callback(usage.close)
        served = OpenApiDocument(lambda: printed_document(kinds))
        signer = RegistryTokens(settings.registry, time.time)
        registry = RegistryReader(settings.registry, signer)
        storage = RegistryStorage(settings.path(settings.registry.storage) if settings.registry.storage else None)
        owners, manifests = OwnerFiles(storage), StoredManifests(storage)
        within = freed_within(settings.registry.garbage_collection_period)
        stored, inventory = StoredBytes(storage, within), ImageInventory(storage, manifests)
        closing.push_async_callback(stored.close)
        ownership = RepositoryOwnership(clusters, owners)
        leases = ImageLeases(storage)
        digests = ImageDigests(registry, ownership, storage, leases)
        lifecycle = LifecycleService(reads, replicas, access, RollbackCandidates(reads, store), authorizer, digests)
        garbage_collector = ImageGarbageCollector(
            reads, storage, owners, leases, time.time, settings.registry.garbage_collection_period
        )
        given: Mapping[str, Any] = {
            "roles": roles,
            "tokens": tokens,
            "authorizer": authorizer,
            "lifecycle": lifecycle,
            "logs": LogService(lifecycle, replicas, access, permissions),
            "shells": ReplicaStreamService(reads, lifecycle, replicas, access, permissions, settings, auditor),
            "history": HistoryService(reads, store, replicas, clock),
            "troubles": PodTroubles(store),
            "reader": ReadService(clusters, reads, authorizer),
            "writer": WriteService(reads, authorizer, digests),
            "digests": digests,
            "anchors": anchors,
            "registry": signer,
            "inventory": inventory,
            "usage": usage,
            "ownership": ownership,
            "removal": ImageRemoval(storage, manifests, inventory, leases, owners, time.time),
            "stored": stored,
        }
        built = application.build(application.ApplicationParts(settings, reads, guards, served, given), routes(kinds))
        yield Composition(
            settings, clusters, built, store, tokens, recorder, served, permissions, anchors, ownership, garbage_collector
        )


@cache
def printed_document(kinds: SimpleKinds = KINDS) -> str:
    """The OpenAPI document, without a region; it takes seconds, and is the same for every gateway of this version."""
    clusters = Clusters(user_agent="document")
    unused: Any = None
    guards = RequestGuards(unused, unused, unused, unused)
    parts = application.ApplicationParts(GatewaySettings(), CacheReads(clusters, kinds), guards, unused, dict.fromkeys(GIVEN))
    found = openapi_document.of(application.build(parts, routes(kinds), openapi_document.CONFIG))
    return msgspec.json.format(msgspec.json.encode(found)).decode() + "\n"

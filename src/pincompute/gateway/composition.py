"""The gateway put together: every service it is made of, every group of routes, and what runs in the background."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import msgspec
from litestar import Litestar
from litestar.types import ControllerRouterHandler

from pincompute.api.clusters import PROJECTS, Project
from pincompute.api.labels import HOST
from pincompute.api.meta import Key
from pincompute.gateway import app, document
from pincompute.gateway.access import Authenticator, Authorizer, Roles, ServiceTokens
from pincompute.gateway.access.tokens import ServiceToken
from pincompute.gateway.administration import routes as administration
from pincompute.gateway.audit import AuditLog
from pincompute.gateway.calls import Caller
from pincompute.gateway.document import Document
from pincompute.gateway.door import Guards
from pincompute.gateway.insight import Insight, Operations, Recorder
from pincompute.gateway.insight import routes as insight
from pincompute.gateway.limits import Limiter
from pincompute.gateway.model import KINDS, Kinds, in_projects, of_workloads
from pincompute.gateway.operation import routes as operation
from pincompute.gateway.operation import services as operations
from pincompute.gateway.past import KnownRevisions
from pincompute.gateway.reads import Reads
from pincompute.gateway.region_time import RegionTime
from pincompute.gateway.settings import Settings
from pincompute.gateway.workloads import projects, resources
from pincompute.gateway.workloads.catalog import Catalog
from pincompute.gateway.workloads.desk import Desk
from pincompute.kube.clock import SYSTEM
from pincompute.kube.clusters import Clusters
from pincompute.kube.views import Unknown
from pincompute.store.store import Store
from pincompute.store.tokens import Tokens


def routes(kinds: Kinds = KINDS) -> Sequence[ControllerRouterHandler]:
    """Of a gateway that serves these kinds."""
    workloads = of_workloads(kinds)
    return (
        *(route for kind in in_projects(kinds) for route in resources.routes(kind)),
        *projects.ROUTES,
        *operation.routes(workloads),
        *insight.routes(workloads),
        *administration.ROUTES,
    )


GIVEN = (
    "roles",
    "store",
    "tokens",
    "authorizer",
    "audit",
    *operations.NAMES,
    "insight",
    "catalog",
    "desk",
)  # services that routes ask for by name


@dataclass(frozen=True, slots=True)
class Composition:
    """A gateway that can be served; `background` must run while it is."""

    settings: Settings
    clusters: Clusters
    app: Litestar
    store: Store
    tokens: ServiceTokens
    recorder: Recorder
    document: Document

    @property
    def address(self) -> str:
        return f"{self.settings.listen.address}:{self.settings.listen.port}"

    def background(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return self.tokens.run(), self.recorder.run(), self.document.make()

    def missing(self) -> tuple[str, ...]:
        """What it waits for before it can answer; a store that is away is no reason not to."""
        waits = [f"contact with the host: {self.clusters.trouble(HOST)}"] if not self.clusters.reachable(HOST) else []
        try:
            self.clusters.view(HOST, PROJECTS)
        except Unknown as unknown:
            waits.append(str(unknown))
        return tuple(waits)


@asynccontextmanager
async def compose(settings: Settings, clusters: Clusters, kinds: Kinds = KINDS) -> AsyncGenerator[Composition]:
    """To be entered before the first cluster is added. Raises what a part raises that its settings do not suit."""
    clock = replace(SYSTEM, wall=RegionTime(clusters))
    async with (
        Store.open(settings.database, spool=settings.path("spool")) as store,
        AuditLog(settings.audit, settings.path(settings.audit.file), clock) as audit,
    ):
        tokens = ServiceTokens(Tokens(store.database, ServiceToken), clock)
        reads = Reads(clusters, kinds)
        roles = Roles(settings.access, reads.workloads)
        authorizer = Authorizer(roles, _projects(clusters), tokens.in_force, time.time)
        recorder = Recorder(clusters, store, clock, reads.workloads)
        guards = Guards(
            authenticator=Authenticator(settings.issuers, tokens, settings.access.leeway),
            limiter=Limiter(settings.limits, _belongs(authorizer)),
            authorizer=authorizer,
            audit=Operations(audit, recorder, reads),
            now=clock.wall,
        )
        served = Document(lambda: printed_document(kinds))
        given: Mapping[str, Any] = {
            "roles": roles,
            "store": store,
            "tokens": tokens,
            "authorizer": authorizer,
            "audit": audit,
            **operations.make(reads, authorizer, KnownRevisions(reads, store), settings),
            "insight": Insight(reads, store, clock),
            "catalog": Catalog(clusters, reads, authorizer),
            "desk": Desk(reads),
        }
        built = app.build(app.Parts(settings, reads, guards, served, given), routes(kinds))
        yield Composition(settings, clusters, built, store, tokens, recorder, served)


def _projects(clusters: Clusters) -> Any:
    def find(name: str) -> Project | None:
        return clusters.view(HOST, PROJECTS).get(Key("", name))

    return find


def _belongs(authorizer: Authorizer) -> Any:
    def belongs(caller: Caller, project: str) -> bool:
        return bool(authorizer.standing(caller, project).rights)

    return belongs


@cache
def printed_document(kinds: Kinds = KINDS) -> str:
    """The OpenAPI document, without a region; it takes seconds, and is the same for every gateway of this version."""
    clusters = Clusters(user_agent="document")
    unused: Any = None
    guards = Guards(unused, unused, unused, unused)
    parts = app.Parts(Settings(), Reads(clusters, kinds), guards, unused, dict.fromkeys(GIVEN))
    found = document.of(app.build(parts, routes(kinds), document.CONFIG))
    return msgspec.json.format(msgspec.json.encode(found)).decode() + "\n"

"""Reads of all kinds: lists as ready bytes, and streams. Both show what the caller may see, and nothing waits for a cluster."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from pincompute.api.clusters import PROJECTS
from pincompute.api.meta import Object
from pincompute.gateway.calls import Call, Caller, Operation
from pincompute.gateway.model import Kind, joined
from pincompute.gateway.reads import Freshness, Reads
from pincompute.gateway.workloads import queries
from pincompute.gateway.workloads.feeds import Feeds
from pincompute.gateway.workloads.queries import Query
from pincompute.gateway.workloads.watching import Stream, View
from pincompute.kube.clusters import Clusters

REMEMBERED = 256  # lists whose bytes are kept, for those who ask the same again


class Permits(Protocol):
    """What a catalog asks of authorization."""

    def permitted(self, caller: Caller, operation: Operation, projects: Iterable[str]) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """Which objects: of one project, or of all that the caller may see when it is empty; one name, or all."""

    call: Call
    project: str
    query: Query
    name: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    freshness: Freshness
    missing: tuple[str, ...]


class _Tail(msgspec.Struct, omit_defaults=True):
    """A list's members behind its items."""

    version: str
    cursor: str = ""
    missing: tuple[str, ...] = ()


class Catalog:
    """Must be made before the first cluster is added."""

    def __init__(self, clusters: Clusters, reads: Reads, permits: Permits) -> None:
        self._reads = reads
        self._permits = permits
        self._feeds = Feeds(clusters)
        self._kept: dict[tuple[Any, ...], tuple[Any, bytes]] = {}

    def listed(self, kind: Kind[Any], asked: Asked, cursor: str) -> Answer:
        """One page. The same list of an unchanged state is the same bytes as before."""
        freshness = self._reads.freshness(kind.resource)
        missing = self._reads.silent()
        projects = self._projects(kind, asked)
        place = (kind.path, projects, asked.query, cursor)
        state = (self._feeds.of(kind.resource).end, freshness.version, missing)
        known = self._kept.get(place)
        if known is not None and known[0] == state:
            return Answer(known[1], freshness, missing)
        page = queries.page(self._objects(kind, projects), asked.query, cursor)
        tail = msgspec.json.encode(_Tail(str(freshness.version), page.cursor, missing))
        body = b'{"items":' + joined(page.objects) + b"," + tail[1:]
        self._keep(place, (state, body))
        return Answer(body, freshness, missing)

    def stream(self, kind: Kind[Any], asked: Asked, last_id: str) -> AsyncGenerator[bytes]:
        """Events of what is asked for, until the caller may not see it any more."""
        view = View(
            everything=lambda: self._objects(kind, self._projects(kind, asked)),
            sees=lambda obj: asked.name in ("", obj.metadata.name) and asked.query.matches(obj),
            allowed=lambda: self._projects(kind, asked),
            project_of=project_of(kind),
        )
        self._reads.host(kind.resource)  # before it has synced there is nothing to begin with
        return Stream(self._feeds.of(kind.resource), self._feeds.instance, view).events(last_id)

    def _projects(self, kind: Kind[Any], asked: Asked) -> frozenset[str]:
        """Those asked for in which the caller may do this."""
        among = (asked.project,) if asked.project else [p.metadata.name for p in self._reads.host(PROJECTS).list()]
        return self._permits.permitted(asked.call.caller, asked.call.operation, among)

    def _objects(self, kind: Kind[Any], projects: frozenset[str]) -> Iterable[Object]:
        cache = self._reads.host(kind.resource)
        if kind.in_project and len(projects) == 1:
            return cache.list(next(iter(projects)))
        owner = project_of(kind)
        return [obj for obj in cache.list() if owner(obj) in projects]

    def _keep(self, place: tuple[Any, ...], made: tuple[Any, bytes]) -> None:
        if place not in self._kept and len(self._kept) >= REMEMBERED:
            del self._kept[next(iter(self._kept))]
        self._kept[place] = made


def project_of(kind: Kind[Any]) -> Any:
    """The project an object is in, or is."""
    if kind.in_project:
        return lambda obj: obj.metadata.namespace
    return lambda obj: obj.metadata.name

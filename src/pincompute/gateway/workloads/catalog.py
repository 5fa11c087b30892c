"""Reads of all kinds: lists as ready bytes, and streams. Both show what the caller may see, and nothing waits for a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import msgspec
from litestar import Response
from litestar.response import Stream as StreamResponse

from pincompute.api.clusters import PROJECTS
from pincompute.api.meta import Object
from pincompute.gateway import problems
from pincompute.gateway.calls import Call, Caller, Operation
from pincompute.gateway.model import Kind, encoded, etag, joined
from pincompute.gateway.reads import Reads
from pincompute.gateway.workloads import answers, outcomes, queries, watching
from pincompute.gateway.workloads.feeds import Feeds
from pincompute.gateway.workloads.queries import Query
from pincompute.gateway.workloads.watching import Stream, View
from pincompute.kube.clusters import Clusters

REMEMBERED = 256  # lists whose bytes are kept, for those who ask the same again


Names: TypeAlias = tuple[str, str]
"""Project, empty for kinds outside of projects, and name."""
Bytes: TypeAlias = tuple[bytes, dict[str, str]]
"""A body and the headers that belong to it."""
Seen: TypeAlias = tuple[str, tuple[str, ...]]
"""The version that a list shows, and the members that are silent."""


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

    async def shown(self, kind: Kind[Any], names: Names, min_version: str) -> Response[bytes]:
        """Raises Problem."""
        await answers.caught_up(self._reads, min_version)
        return answers.read(*self.one(kind, names))

    async def listed(self, kind: Kind[Any], asked: Asked, cursor: str, min_version: str) -> Response[bytes]:
        """One page. Raises Problem."""
        await answers.caught_up(self._reads, min_version)
        return answers.read(*self.page(kind, asked, cursor))

    def one(self, kind: Kind[Any], names: Names) -> Bytes:
        """As the cache has it now. Raises Problem."""
        found = self._reads.get(kind.resource, *names)
        if found is None:
            raise problems.not_found(outcomes.what(kind, *names))
        headers = answers.fresh(self._reads.freshness(kind.resource))
        return encoded(found), {**headers, "ETag": etag(found)}

    def page(self, kind: Kind[Any], asked: Asked, cursor: str = "") -> Bytes:
        """As the cache has it now. Raises Problem."""
        freshness, missing = self._reads.freshness(kind.resource), self._reads.silent()
        body = self._page(kind, asked, cursor, (str(freshness.version), missing))
        return body, answers.fresh(freshness, missing)

    def _page(self, kind: Kind[Any], asked: Asked, cursor: str, seen: Seen) -> bytes:
        """The same page of an unchanged state is the same bytes as before."""
        projects = self._projects(asked)
        place = (kind.path, projects, asked.query, cursor)
        state = (self._feeds.of(kind.resource).end, seen)
        known = self._kept.get(place)
        if known is not None and known[0] == state:
            return known[1]
        page = queries.page(self._objects(kind, projects), asked.query, cursor)
        version, missing = seen
        tail = msgspec.json.encode(_Tail(version, page.cursor, missing))
        body = b'{"items":' + joined(page.objects) + b"," + tail[1:]
        self._keep(place, (state, body))
        return body

    def stream(self, kind: Kind[Any], asked: Asked, last_id: str) -> StreamResponse:
        """Events of what is asked for, until the caller may not see it any more. Raises Problem."""
        self._reads.host(kind.resource)  # before it has synced there is nothing to begin with
        view = View(
            everything=lambda: self._objects(kind, self._projects(asked)),
            sees=lambda obj: asked.name in ("", obj.metadata.name) and asked.query.matches(obj),
            allowed=lambda: self._projects(asked),
            project_of=project_of(kind),
        )
        events = Stream(self._feeds.of(kind.resource), self._feeds.instance, view).events(last_id)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamResponse(events, media_type=watching.MEDIA_TYPE, headers=headers)

    def _projects(self, asked: Asked) -> frozenset[str]:
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


def project_of(kind: Kind[Any]) -> Callable[[Object], str]:
    """The project an object is in, or is."""
    if kind.in_project:
        return lambda obj: obj.metadata.namespace
    return lambda obj: obj.metadata.name

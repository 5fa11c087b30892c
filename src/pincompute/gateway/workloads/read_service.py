"""Reads objects, lists and streams of all kinds from the cache, as far as the caller may see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import msgspec
from litestar.response import Stream as StreamResponse

from pincompute.api.meta import Object
from pincompute.api.projects import PROJECTS, Project
from pincompute.gateway.access import Authorizer
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call
from pincompute.gateway.model import SIMPLE, ObjectEncoder, SimpleKind, etag
from pincompute.gateway.workloads import event_stream, list_query, responses
from pincompute.gateway.workloads.change_journal import ChangeJournals
from pincompute.gateway.workloads.event_stream import EventStream, StreamView
from pincompute.gateway.workloads.list_query import ListQuery
from pincompute.gateway.workloads.responses import ObjectName
from pincompute.kube.cluster_set import Clusters

CACHED = 64 << 20  # bytes of pages that are cached for repeated requests


Bytes: TypeAlias = tuple[bytes, dict[str, str]]
"""A body and the headers that belong to it."""
Seen: TypeAlias = tuple[str, tuple[str, ...]]
"""The version that a list shows, and the zones that do not answer, at least in part."""


@dataclass(frozen=True, slots=True)
class ListRequest:
    """Selects objects by project, name and filters, and their form. An empty project selects all that the caller may see."""

    call: Call
    project: str
    query: ListQuery
    name: str = ""
    form: ObjectEncoder = SIMPLE


class _ListTail(msgspec.Struct, omit_defaults=True):
    """The fields of a list that follow its items."""

    version: str
    cursor: str = ""
    unreachable: tuple[str, ...] = ()


class ReadService:
    """Create it before the first cluster is added."""

    def __init__(self, clusters: Clusters, reads: CacheReads, permissions: Authorizer) -> None:
        self._reads = reads
        self._permissions = permissions
        self._journals = ChangeJournals(clusters, reads.kinds)
        self._pages = _PageCache()

    def one(self, kind: SimpleKind[Any], names: ObjectName, form: ObjectEncoder = SIMPLE) -> Bytes:
        """Answers from the cache at once. Raises Problem."""
        found = self._reads.existing(kind, *names)
        headers = responses.fresh(self._reads.freshness(kind.resource))
        return form.encoded(kind, found), {**headers, "ETag": etag(found)}

    def page(self, kind: SimpleKind[Any], request: ListRequest, cursor: str = "") -> Bytes:
        """Answers from the cache at once. Raises Problem."""
        freshness, unreachable = self._reads.freshness(kind.resource), self._reads.unreachable_zones()
        body = self._page(kind, request, cursor, (freshness.version, unreachable))
        return body, responses.fresh(freshness, unreachable)

    def _page(self, kind: SimpleKind[Any], request: ListRequest, cursor: str, seen: Seen) -> bytes:
        """Returns the cached page while the state has not changed."""
        projects = self._projects(request)
        place = (kind.path, request.form, projects, request.query, cursor)
        state = (self._journals.of(kind.resource).end, seen)
        known = self._pages.find(place, state)
        if known is not None:
            return known
        page = list_query.page(self._objects(kind, projects), request.query, cursor)
        version, unreachable = seen
        tail = msgspec.json.encode(_ListTail(version, page.cursor, unreachable))
        body = b'{"items":' + request.form.joined(kind, page.objects) + b"," + tail[1:]
        self._pages.keep(place, state, body)
        return body

    def stream(self, kind: SimpleKind[Any], request: ListRequest, last_id: str) -> StreamResponse:
        """Streams events of the selected objects until the caller loses permission. Raises Problem."""
        self._reads.host(kind.resource)  # before it has synced there is nothing to begin with
        view = StreamView(
            everything=lambda: self._objects(kind, self._projects(request)),
            sees=lambda obj: (
                request.name in ("", obj.metadata.name) and request.query.matches(obj) and not self._is_former(obj)
            ),
            allowed=lambda: self._projects(request),
            project_of=project_of(kind),
            encoded=partial(SIMPLE.encoded, kind),
        )
        events = EventStream(self._journals.of(kind.resource), self._journals.instance, view).events(last_id)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamResponse(events, media_type=event_stream.MEDIA_TYPE, headers=headers)

    def _is_former(self, obj: Object) -> bool:
        """Returns whether it was in a former project of the name, or was that: the journal knows what its members saw."""
        if isinstance(obj, Project):
            present = self._reads.get(PROJECTS, "", obj.metadata.name)
            return present is not None and present.metadata.uid != obj.metadata.uid
        project = self._reads.get(PROJECTS, "", obj.metadata.namespace) if obj.metadata.namespace else None
        made, created = obj.metadata.creation_timestamp, project.metadata.creation_timestamp if project is not None else None
        return made is not None and created is not None and made < created

    def _projects(self, request: ListRequest) -> frozenset[str]:
        """The selected projects in which the caller has permission."""
        among = (request.project,) if request.project else [p.metadata.name for p in self._reads.host(PROJECTS).list()]
        return self._permissions.permitted(request.call.caller, request.call.operation, among)

    def _objects(self, kind: SimpleKind[Any], projects: frozenset[str]) -> Iterable[Object]:
        cache = self._reads.host(kind.resource)
        if kind.in_project and len(projects) == 1:
            return cache.list(next(iter(projects)))
        owner = project_of(kind)
        return [obj for obj in cache.list() if owner(obj) in projects]


class _PageCache:
    """Caches pages with the state they show; it drops the oldest when they take too much memory."""

    def __init__(self) -> None:
        self._lists: dict[tuple[Any, ...], tuple[Any, bytes]] = {}
        self._size = 0

    def find(self, place: tuple[Any, ...], state: Any) -> bytes | None:
        """Returns the page; None for one that shows another state."""
        shown, body = self._lists.get(place, (None, b""))
        return body if shown == state else None

    def keep(self, place: tuple[Any, ...], state: Any, body: bytes) -> None:
        self._drop(place)
        self._lists[place] = state, body
        self._size += len(body)
        while self._size > CACHED:
            self._drop(next(iter(self._lists)))

    def _drop(self, place: tuple[Any, ...]) -> None:
        _, body = self._lists.pop(place, (None, b""))
        self._size -= len(body)


def project_of(kind: SimpleKind[Any]) -> Callable[[Object], str]:
    """Gives the project that an object is in, or is."""
    if kind.in_project:
        return lambda obj: obj.metadata.namespace
    return lambda obj: obj.metadata.name

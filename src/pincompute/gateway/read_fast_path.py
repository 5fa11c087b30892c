"""The most frequent requests, answered without the router: one object, and the first page of a project's list.

They pass the same door as the same operations; the router costs more than all the rest of such an answer. Whatever is not
plainly one of them goes to the router. The surprising rule: what has passed the door here never goes to the router as well,
also not when it fails, because the door there would charge and record it a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

from pincompute.gateway import exception_mapping, problems
from pincompute.gateway.call_context import Verb, may
from pincompute.gateway.middleware import CALL, RequestGuards, RequestMiddleware, request_id
from pincompute.gateway.model import RESOURCE, SIMPLE, ObjectEncoder, SimpleKind, SimpleKinds, in_projects
from pincompute.gateway.problems import Problem
from pincompute.gateway.workloads.list_query import ListQuery
from pincompute.gateway.workloads.read_service import ListRequest, ReadService

ROOTS = {"/v1/projects/": SIMPLE, "/v1/resources/projects/": RESOURCE}
EVERYTHING = ListQuery()
WATCH = "watch"  # stands where a name could
ROUTED_HEADERS = frozenset({b"pincompute-min-version"})  # who sends one of these wants more than a plain read


@dataclass(frozen=True, slots=True)
class _FastRoute:
    """Stands where the door expects a route."""

    opt: dict[str, Any]
    door: RequestMiddleware

    @classmethod
    def of(cls, kind: SimpleKind[Any], verb: Verb, answer: Any, guards: RequestGuards) -> _FastRoute:
        return cls(may(kind.path, verb, noun=kind.noun), RequestMiddleware(answer, guards))


@dataclass(slots=True)
class _ResponseStart:
    """Remembers whether an answer has begun, after which there can be no other."""

    send: Send
    begun: bool = False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self.send(message)


class ReadFastPath:
    """ASGI around the router."""

    def __init__(self, router: ASGIApp, guards: RequestGuards, reader: ReadService, among: SimpleKinds) -> None:
        self._router = router
        self._reader = reader
        kinds = in_projects(among)
        forms = tuple(ROOTS.values())
        self._ones = {
            (form, kind.path): _FastRoute.of(kind, "get", partial(self._one, kind, form), guards)
            for form in forms
            for kind in kinds
        }
        self._lists = {
            (form, kind.path): _FastRoute.of(kind, "list", partial(self._list, kind, form), guards)
            for form in forms
            for kind in kinds
        }

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        read = self._match(scope) if scope["type"] == "http" else None
        if read is None:
            await self._router(scope, receive, send)
            return
        scope["route_handler"] = read
        answer = _ResponseStart(send)
        try:
            await read.door(scope, receive, answer)
        except Exception as error:
            if answer.begun:
                raise  # nothing can be said any more: the server ends the connection
            await _refuse(exception_mapping.told(error, scope), request_id(scope), send)

    def _match(self, scope: Any) -> _FastRoute | None:
        """Also says which project and name in the scope."""
        if scope["method"] != "GET" or scope["query_string"]:
            return None
        root = next((root for root in ROOTS if scope["path"].startswith(root)), "")
        if not root or any(name in ROUTED_HEADERS for name, _ in scope["headers"]):
            return None
        form = ROOTS[root]
        match scope["path"][len(root) :].split("/"):
            case [project, kind, name] if project and name and name != WATCH:
                scope["path_params"] = {"project": project, "name": name}
                return self._ones.get((form, kind))
            case [project, kind] if project:
                scope["path_params"] = {"project": project}
                return self._lists.get((form, kind))
            case _:
                return None

    async def _one(self, kind: SimpleKind[Any], form: ObjectEncoder, scope: Any, _: Receive, send: Send) -> None:
        names = scope["path_params"]
        await _answer(*self._reader.one(kind, (names["project"], names["name"]), form), send)

    async def _list(self, kind: SimpleKind[Any], form: ObjectEncoder, scope: Any, _: Receive, send: Send) -> None:
        call = scope[CALL]
        await _answer(*self._reader.page(kind, ListRequest(call, call.project, EVERYTHING, form=form)), send)


async def _answer(body: bytes, headers: dict[str, str], send: Send) -> None:
    lines = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    lines += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": lines})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _refuse(problem: Problem, identity: str, send: Send) -> None:
    body = problems.encode(problem, identity)
    headers = {"content-type": problems.MEDIA_TYPE, "content-length": str(len(body)), "x-request-id": identity}
    lines: Sequence[tuple[str, str]] = [*headers.items(), *problem.headers.items()]
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in lines]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})

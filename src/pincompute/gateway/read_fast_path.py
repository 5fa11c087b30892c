"""Answers the most frequent requests without the router: one object, and the first page of a project's list.

It exists for its figures: through Litestar's router a GET costs the gateway twice the processor time, all of HTTP and TLS
included, and the goal of three times kube-apiserver's rate is missed. Everything else goes to the router.

These requests pass the same middleware as their operations do behind the router. A request that has passed it here never goes
to the router as well, not even when it fails, because the middleware there would charge and record it a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar.types import ASGIApp, Receive, Send

from pincompute.gateway import exception_mapping, problems
from pincompute.gateway.call_context import may
from pincompute.gateway.middleware import CALL, RequestGuards, RequestMiddleware, StatusRecorder, request_id
from pincompute.gateway.model import RESOURCE, SIMPLE, ObjectEncoder, SimpleKind, SimpleKinds, in_projects
from pincompute.gateway.workloads.list_query import ListQuery
from pincompute.gateway.workloads.read_service import ListRequest, ReadService

ROOTS = {"/v1/projects/": SIMPLE, "/v1/resources/projects/": RESOURCE}
EVERYTHING = ListQuery()
WATCH = "watch"  # stands where a name could
ROUTED_HEADERS = frozenset({b"pincompute-min-version"})  # a request with one of these wants more than a plain read


@dataclass(frozen=True, slots=True)
class _FastRoute:
    """Answers one operation. The middleware takes it for a route of Litestar's, of which it knows `opt` only."""

    kind: SimpleKind[Any]
    form: ObjectEncoder
    reads: ReadService
    opt: dict[str, Any]

    async def __call__(self, scope: Any, _: Receive, send: Send) -> None:
        project, name = scope["path_params"]["project"], scope["path_params"].get("name")
        if name:
            body, headers = self.reads.one(self.kind, (project, name), self.form)
        else:
            body, headers = self.reads.page(self.kind, ListRequest(scope[CALL], project, EVERYTHING, form=self.form))
        lines = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        lines += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": lines})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class ReadFastPath:
    """ASGI around the router."""

    def __init__(self, router: ASGIApp, guards: RequestGuards, reads: ReadService, kinds: SimpleKinds) -> None:
        self._router = router
        self._routes = {
            (form, kind.path, verb): RequestMiddleware(
                _FastRoute(kind, form, reads, may(kind.path, verb, noun=kind.noun)),  # type: ignore[arg-type]
                guards,
            )
            for form in ROOTS.values()
            for kind in in_projects(kinds)
            for verb in ("get", "list")
        }

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        route = self._match(scope) if scope["type"] == "http" else None
        if route is None:
            await self._router(scope, receive, send)
            return
        scope["route_handler"] = route.app
        answer = StatusRecorder(send)
        try:
            await route(scope, receive, answer)
        except Exception as error:
            if answer.status:
                raise  # the answer has begun, so the server can only end the connection
            await problems.send_to(send, exception_mapping.problem_for(error, scope), request_id(scope))

    def _match(self, scope: Any) -> RequestMiddleware | None:
        """Also says which project and name in the scope."""
        if scope["method"] != "GET" or scope["query_string"]:
            return None
        root = next((root for root in ROOTS if scope["path"].startswith(root)), "")
        if not root or any(name in ROUTED_HEADERS for name, _ in scope["headers"]):
            return None
        match scope["path"][len(root) :].split("/"):
            case [project, kind, name] if project and name and name != WATCH:
                scope["path_params"] = {"project": project, "name": name}
                return self._routes.get((ROOTS[root], kind, "get"))
            case [project, kind] if project:
                scope["path_params"] = {"project": project}
                return self._routes.get((ROOTS[root], kind, "list"))
            case _:
                return None

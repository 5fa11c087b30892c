"""Builds the Litestar application: every route behind the middleware, every failure as a problem document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from litestar import Litestar, Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.routes import HTTPRoute, WebSocketRoute
from litestar.types import ControllerRouterHandler, Scope

from pincompute import __version__
from pincompute.gateway import exception_mapping, problems, request_parameters
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import OPERATION, PUBLIC, Call, public
from pincompute.gateway.gateway_settings import GatewaySettings
from pincompute.gateway.middleware import ALLOW, CALL, RequestGuards, RequestMiddleware, request_id
from pincompute.gateway.openapi_document import OpenApiDocument, Service
from pincompute.gateway.problems import Problem
from pincompute.gateway.read_fast_path import ReadFastPath
from pincompute.gateway.request_parameters import PARAMETERS, RouteParameters
from pincompute.gateway.sdk_deprecation import SdkDeprecationMiddleware


@dataclass(frozen=True, slots=True)
class ApplicationParts:
    """What routes need. `given` holds further services by the names under which handlers ask for them."""

    settings: GatewaySettings
    reads: CacheReads
    guards: RequestGuards
    document: OpenApiDocument
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])


def build(parts: ApplicationParts, routes: Sequence[ControllerRouterHandler], openapi: OpenAPIConfig | None = None) -> Litestar:
    """Raises RuntimeError for a route that does not say which operation it is."""
    discovery = _service(parts.settings)
    services = {
        "settings": parts.settings,
        "reads": parts.reads,
        "document": parts.document,
        "discovery": discovery,
        **parts.given,
    }
    app = Litestar(
        route_handlers=[*routes, healthz, well_known, interface],
        dependencies={
            "call": Provide(_call, sync_to_thread=False),
            **{name: _provide(service) for name, service in services.items()},
        },
        middleware=[partial(RequestMiddleware, guards=parts.guards)],
        exception_handlers={Problem: _problem, HTTPException: _http, Exception: _failure},
        openapi_config=openapi,
        request_max_body_size=parts.settings.limits.body,
        logging_config=None,
    )
    _check(app)
    if "reader" in parts.given:
        app.asgi_handler = ReadFastPath(app.asgi_handler, parts.guards, parts.given["reader"], parts.reads.kinds)
    if parts.settings.sdk.oldest:
        app.asgi_handler = SdkDeprecationMiddleware(app.asgi_handler, parts.settings.sdk)
    return app


def _check(app: Litestar) -> None:
    """Deny by default: no route starts without a declared operation, and none accepts unknown parameters."""
    for route in app.routes:
        for handler, model in _handlers(route):
            handler.opt[PARAMETERS] = request_parameters.of(handler.opt, model, _signatures(handler))
            if _of_framework(handler):
                handler.opt |= public() | {ALLOW: ", ".join(sorted(route.methods))}
            if OPERATION not in handler.opt and PUBLIC not in handler.opt:
                raise RuntimeError(f"route {route.path} declares no operation: give it opt=may(...) or opt=public()")


def _signatures(handler: BaseRouteHandler) -> Iterator[Any]:
    """Yields the signature of the function itself, and of those that give it what it depends on."""
    yield handler.parsed_fn_signature
    for given in handler.resolve_dependencies().values():
        yield given.parsed_fn_signature


def _handlers(route: Any) -> Iterator[tuple[BaseRouteHandler, Any]]:
    """Yields the handlers of a route, each with what Litestar knows of its parameters."""
    match route:
        case HTTPRoute():
            yield from dict.fromkeys(route.route_handler_map.values())
        case WebSocketRoute():
            yield route.route_handler, route.handler_parameter_model
        case _:
            raise TypeError(f"route {route.path} is of a kind that nothing is known of")


def _of_framework(handler: BaseRouteHandler) -> bool:
    """Litestar's own answer to OPTIONS knows the methods of a path's first handler only. The middleware gives ours."""
    return getattr(handler, "http_methods", None) == {"OPTIONS"}


@get("/healthz", opt=public(), include_in_schema=False, media_type="text/plain")
async def healthz() -> str:
    """The process answers. Readiness is on the health port."""
    return "ok\n"


@get("/.well-known/pincompute", opt=public(), operation_id="getService", tags=["service"])
async def well_known(discovery: NamedDependency[Service]) -> Service:
    """What a client must know before it has a token: the version, where to log in, and where the registry is."""
    return discovery


@get("/openapi.json", opt=public(), include_in_schema=False, media_type="application/json")
async def interface(document: NamedDependency[OpenApiDocument]) -> bytes:
    """This interface, as OpenAPI 3.1."""
    return document.content


def _service(settings: GatewaySettings) -> Service:
    issuer = settings.issuers[0] if settings.issuers else None
    return Service(
        version=__version__,
        issuer=issuer.url if issuer else "",
        client_id=issuer.client_id if issuer else "",
        registry=settings.registry.address,
        registry_ca=settings.registry.authority(),
        platform=settings.registry.platform,
    )


def _call(scope: Scope) -> Call:
    return scope[CALL]  # type: ignore[literal-required]


def _provide(service: Any) -> Provide:
    return Provide(lambda: service, sync_to_thread=False)


def _problem(request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    identity = request_id(request.scope)
    return Response(
        problems.encode(problem, identity),
        status_code=problem.status,
        media_type=problems.MEDIA_TYPE,
        headers={**problem.headers, "X-Request-Id": identity},
    )


_OF_STATUS = {404: "unknown-path", 405: "method-not-allowed", 413: "too-large", 415: "unsupported-media-type"}


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Litestar's own refusals as problem documents."""
    if isinstance(error, ValidationException):
        return _problem(request, _validation(error, request.scope["route_handler"].opt[PARAMETERS]))
    code = _OF_STATUS.get(error.status_code, "malformed" if error.status_code < 500 else "internal")
    detail = f"there is nothing at {request.url.path}" if code == "unknown-path" else error.detail
    return _problem(request, Problem(code, detail, "see /openapi.json for what there is", headers=error.headers))


def _validation(error: ValidationException, known: RouteParameters) -> Problem:
    entries = cast("list[dict[str, Any]]", error.extra or [])
    found = [known.error(entry) for entry in entries if "key" in entry and "message" in entry]
    remedy = "see /openapi.json for what is expected"
    if not found:
        return problems.malformed(error.detail, remedy)
    return request_parameters.wrong(found, remedy)


def _failure(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return _problem(request, exception_mapping.problem_for(error, request.scope))

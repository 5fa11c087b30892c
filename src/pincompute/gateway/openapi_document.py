"""Makes the gateway's OpenAPI document: what Litestar derives from the routes, and what holds for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
from litestar import Litestar, Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute

from pincompute import __version__
from pincompute.gateway import problems, reason_header
from pincompute.gateway.call_context import OPERATION, public
from pincompute.gateway.problems import CODES, MEDIA_TYPE, ProblemBody

PROBLEM = "Problem"
REASON = {
    "name": reason_header.HEADER,
    "in": "header",
    "description": reason_header.DESCRIPTION,
    "schema": {"type": "string", "pattern": reason_header.PATTERN, "maxLength": reason_header.LONGEST_ENCODED},
}
METHODS = ("get", "put", "post", "delete", "patch")


class Service(msgspec.Struct, frozen=True, rename="camel"):
    """The gateway's version, and the OIDC issuer and client id with which to log in; empty when there is none.

    `registry` is the address to which images of the region are pushed; empty when it has no registry of its own. `registryCa`
    is the authority of its certificate, in PEM; `platform` is that of the region's nodes, such as linux/amd64.
    """

    version: str
    issuer: str
    client_id: str
    registry: str = ""
    registry_ca: str = ""
    platform: str = ""


class OpenApiDocument:
    """The document as it is served. It takes seconds of processor time, so it is made once, outside requests."""

    def __init__(self, printed: Callable[[], str]) -> None:
        self._printed = printed
        self._made = b""

    async def make(self) -> None:
        self._made = (await asyncio.to_thread(self._printed)).encode()

    @property
    def content(self) -> bytes:
        """Raises Problem 503 in the first seconds of a gateway."""
        if not self._made:
            raise problems.unavailable("the document is being made", 1.0)
        return self._made


CONFIG = OpenAPIConfig(
    title="pincompute",
    version=__version__,
    openapi_router=Router("/schema", route_handlers=[], opt=public(), include_in_schema=False),
    render_plugins=[JsonRenderPlugin()],
)
"""For an application that is only there to be documented: the framework's own route would make it inside of a request."""


def of(app: Litestar) -> dict[str, Any]:
    found = completed(app.openapi_schema.to_schema())
    recorded = _recorded(app)
    for operation in _operations(found):
        if operation.get("operationId") in recorded:
            operation.setdefault("parameters", []).append(REASON)
    return found


def _recorded(app: Litestar) -> frozenset[Any]:
    """Ids of the operations that leave a record."""
    handlers = (handler for route in app.routes if isinstance(route, HTTPRoute) for handler in route.route_handlers)
    return frozenset(h.operation_id for h in handlers if OPERATION in h.opt and h.opt[OPERATION].audited)


def completed(found: dict[str, Any]) -> dict[str, Any]:
    """Every operation may answer with a problem document; all but public ones want a bearer token."""
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    (body,), refs = msgspec.json.schema_components([ProblemBody], ref_template="#/components/schemas/{name}")
    schemas |= refs
    schemas[PROBLEM] = {**refs.get("ProblemBody", body), "title": PROBLEM}
    schemas.pop("ProblemBody", None)
    schemas[PROBLEM]["properties"]["code"] = {"type": "string", "enum": sorted(CODES)}
    found["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"bearer": []}]
    answer = {
        "description": "A problem document (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{PROBLEM}"}}},
    }
    for operation in _operations(found):
        responses: dict[str, Any] = operation.setdefault("responses", {})
        responses.pop("400", None)
        responses["default"] = answer
        _admit_no_body(operation)
        _never_null(operation)
        _offer_text(responses)
        _close(operation.get("requestBody", {}), schemas)
        if operation.get("operationId") == "getService":
            operation["security"] = []
    _link(found["paths"], schemas)
    return found


def _admit_no_body(operation: dict[str, Any]) -> None:
    """A body that may be null may be omitted."""
    body = operation.get("requestBody", {})
    for content in body.get("content", {}).values():
        if {"type": "null"} in content["schema"].get("oneOf", ()):
            body["required"] = False


def _never_null(operation: dict[str, Any]) -> None:
    """Null stands for an omitted parameter. Nobody can send it."""
    for parameter in operation.get("parameters", ()):
        schema: dict[str, Any] = parameter["schema"]
        options = [each for each in schema.get("oneOf", ()) if each != {"type": "null"}]
        if len(options) == 1:
            del schema["oneOf"]
            parameter["schema"] = options[0] | schema


def _offer_text(responses: dict[str, Any]) -> None:
    """Answers of many lines are available as text and as events too."""
    content = responses.get("200", {}).get("content", {})
    if "application/x-ndjson" in content:
        content |= {kind: {"schema": {"type": "string"}} for kind in ("text/plain", "text/event-stream")}


def _close(part: Any, schemas: dict[str, Any]) -> None:
    """Bodies refuse unknown fields at every level, and the document says so."""
    if isinstance(part, list):
        for each in cast("list[Any]", part):
            _close(each, schemas)
    if not isinstance(part, dict):
        return
    found = cast("dict[str, Any]", part)
    if "properties" in found and "additionalProperties" not in found:
        found["additionalProperties"] = False
    reference = found.get("$ref", "")
    named = schemas.get(reference.rpartition("/")[2]) if reference else None
    if named is not None and named.get("additionalProperties") is not False:
        _close(named, schemas)
    for each in found.values():
        _close(each, schemas)


def _link(paths: dict[str, dict[str, Any]], schemas: dict[str, Any]) -> None:
    """The answer to a creation links the operations on what was created: those below the collection's path."""
    for path, item in paths.items():
        created = item.get("post", {}).get("responses", {}).get("201")
        if created is not None:
            one = f"{path}/{{name}}"
            below = (each for place, each in paths.items() if place == one or place.startswith(f"{one}/"))
            names = [found["operationId"] for each in below for found in _of(each)]
            given = {"name": _name_in(created, schemas)} | ({"project": "$request.path.project"} if "{project}" in path else {})
            created["links"] = {name: {"operationId": name, "parameters": given} for name in names}


def _name_in(answer: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Where an answer holds the name of what was created: in itself, or in its item."""
    _, _, schema = answer["content"]["application/json"]["schema"].get("$ref", "").rpartition("/")
    return "$response.body#/item/name" if "item" in schemas.get(schema, {}).get("properties", {}) else "$response.body#/name"


def _operations(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = found.get("paths", {})
    for item in paths.values():
        yield from _of(item)


def _of(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (item[method] for method in METHODS if method in item)

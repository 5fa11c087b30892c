"""Reads an OpenAPI 3.1 document into what a client needs: models, and operations with names.

Names come from paths, not from operation ids: `POST /v1/projects/{project}/apps/{name}/pause` is `apps.pause(project, name)`,
and `GET /v1/resources/projects/{project}/apps/{name}` is `apps.get_in_full(project, name)`.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import sdk_models
from sdk_models import Model, Schema, resolve, sentence, snake, type_of

JSON_TYPES = ("application/json", "application/merge-patch+json")
EVENTS = "text/event-stream"
OURS = "Pincompute-"  # begins headers that others do not have; a client's own words need it not
LINES = "application/x-ndjson"
METHODS = ("get", "put", "post", "delete", "patch")
VERBS = {"get": "get", "put": "replace", "post": "create", "delete": "delete", "patch": "patch"}
KEYED = frozenset({"pause", "resume", "stop", "start", "restart", "scale", "rollback"})


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    wire: str
    place: str  # path, query or header
    type: str
    required: bool
    doc: str


@dataclass(frozen=True, slots=True)
class Operation:
    resource: str
    name: str
    method: str
    route: str
    doc: str
    parameters: tuple[Parameter, ...]
    body: str  # Python type; empty without one
    body_required: bool
    content: str
    result: str  # Python type of the answer
    item: str  # of a page: the type of its items
    accept: str
    keyed: bool
    events: bool  # can be followed, and taken up again
    lines: bool  # one JSON value a line

    @property
    def constant(self) -> str:
        return f"{self.resource}_{self.name}".upper()


@dataclass(frozen=True, slots=True)
class Interface:
    title: str
    version: str
    models: tuple[Model, ...]
    operations: tuple[Operation, ...]
    resources: Mapping[str, str] = field(default_factory=dict[str, str])  # description by name


def read(document: Schema) -> Interface:
    schemas: Schema = document.get("components", {}).get("schemas", {})
    operations = tuple(sorted(_operations(document, schemas), key=lambda o: (o.resource, o.name)))
    _unique(operations)
    info = document["info"]
    tags = {tag["name"]: tag.get("description", "") for tag in document.get("tags", [])}
    return Interface(info["title"], info["version"], sdk_models.models(schemas), operations, tags)


def _operations(document: Schema, schemas: Schema) -> Iterator[Operation]:
    paths: Schema = document["paths"]
    for route, item in paths.items():
        for method in METHODS:
            if method in item:
                yield _operation(document, schemas, route, method)


def _operation(document: Schema, schemas: Schema, route: str, method: str) -> Operation:
    item = document["paths"][route]
    said = item[method]
    parameters = [_parameter(p, schemas) for p in (*item.get("parameters", ()), *said.get("parameters", ()))]
    parameters.sort(key=lambda p: route.find("{" + p.wire + "}") if p.place == "path" else len(route))
    result, item_type, accept, events = _answer(said, schemas)
    body, content, required = _request(said, schemas)
    resource, name = _name(document, route, method, listed=_items(_good(said), schemas) is not None)
    wires = {p.wire for p in parameters}
    return Operation(
        resource=resource,
        name=name,
        method=method.upper(),
        route=route,
        doc=_operation_doc(said),
        parameters=tuple(p for p in parameters if p.wire not in ("Idempotency-Key", "Last-Event-ID", "Pincompute-Min-Version")),
        body=body,
        body_required=required,
        content=content,
        result=result,
        item=item_type,
        accept=accept,
        keyed=_keyed(method, route, wires),
        events=events or "Last-Event-ID" in wires,
        lines=accept == LINES,
    )


def _keyed(method: str, route: str, wires: set[str]) -> bool:
    """A key makes a repetition safe: where the document asks for one, and with the verbs, which are known again by it."""
    return "Idempotency-Key" in wires or (method == "post" and route.rpartition("/")[2] in KEYED)


def _parameter(said: Schema, schemas: Schema) -> Parameter:
    schema = said.get("schema", {})
    kind = type_of(schema, schemas, literal=True)
    required = bool(said.get("required")) or said["in"] == "path"
    described = sentence(said.get("description") or schema.get("description", ""))
    name = snake(said["name"].removeprefix(OURS))
    return Parameter(
        f"{name}_" if hasattr(builtins, name) else name,
        said["name"],
        said["in"],
        kind.removesuffix(" | None"),
        required,
        described,
    )


def _request(said: Schema, schemas: Schema) -> tuple[str, str, bool]:
    """Python type, media type and whether a body must be there."""
    content: Schema = said.get("requestBody", {}).get("content", {})
    if not content:
        return "", "application/json", False
    media, of = next(iter(content.items()))
    kind = type_of(of.get("schema", {}), schemas) if "json" in media else "bytes"
    kind = "dict[str, Any]" if media == "application/merge-patch+json" or (kind == "Any" and "json" in media) else kind
    return kind.removesuffix(" | None"), media, bool(said["requestBody"].get("required")) and not kind.endswith("| None")


def _answer(said: Schema, schemas: Schema) -> tuple[str, str, str, bool]:
    """Python type, type of a page's items, media types to ask for, and whether it can be followed as events."""
    content = _good(said)
    whole = [media for media in content if media != EVENTS]
    events = EVENTS in content
    if not whole:
        return "None", "", EVENTS if events else "application/json", events
    if whole[0] == LINES:
        return type_of(content[LINES].get("schema", {}), schemas), "", LINES, events
    if whole[0] not in JSON_TYPES:
        return ("str" if whole[0].startswith("text/") else "bytes"), "", whole[0], events
    schema = content[whole[0]].get("schema", {})
    items = _items(content, schemas)
    cursor = "cursor" in resolve(schema, schemas).get("properties", {})
    return type_of(schema, schemas), type_of(items, schemas) if items and cursor else "", whole[0], events


def _good(said: Schema) -> Schema:
    """The content of the answer to a call that went well, by media type."""
    found = [of for status, of in said.get("responses", {}).items() if status.startswith("2")]
    return found[0].get("content", {}) if found else {}


def _items(content: Schema, schemas: Schema) -> Schema | None:
    """The schema of a list's items; None for what is no list."""
    media = next((media for media in content if media in JSON_TYPES), "")
    schema: Schema = content[media].get("schema", {}) if media else {}
    return resolve(schema, schemas).get("properties", {}).get("items", {}).get("items")


def _name(document: Schema, route: str, method: str, *, listed: bool) -> tuple[str, str]:
    parts = [part for part in route.split("/") if part]
    if parts[0] != "v1":
        return document["paths"][route][method].get("tags", ["service"])[0], VERBS[method]
    if parts[1] == "resources":  # the same objects in their other form
        resource, name = _name(document, route.replace("/resources", "", 1), method, listed=listed)
        return resource, f"{name}_in_full"
    parts = parts[1:]
    in_project = parts[:2] == ["projects", "{project}"] and len(parts) > 2
    own = parts[2:] if in_project else parts
    words = [snake(part) for part in own[1:] if not part.startswith("{")]
    resource = snake(own[0])
    if words:
        many = sum(m in document["paths"][route] for m in METHODS) > 1
        name = "_".join([VERBS[method] if method != "put" else "put", *words] if many else words)
        name += "_one" if route.replace("/{name}", "") != route and route.replace("/{name}", "") in document["paths"] else ""
    else:
        name = "list" if method == "get" and not own[-1].startswith("{") and listed else VERBS[method]
    twin = f"/v1/projects/{{project}}/{'/'.join(parts)}"
    return resource, f"{name}_all" if not in_project and twin in document["paths"] else name


def _unique(operations: tuple[Operation, ...]) -> None:
    seen: dict[str, str] = {}
    for operation in operations:
        at = f"{operation.method} {operation.route}"
        if operation.constant in seen:
            raise ValueError(f"{at} and {seen[operation.constant]} would both be {operation.resource}.{operation.name}")
        seen[operation.constant] = at


def _operation_doc(said: Schema) -> str:
    """A summary of one word is only the handler's name."""
    summary = said.get("summary", "")
    return sentence(said.get("description") or (summary if " " in summary else ""))

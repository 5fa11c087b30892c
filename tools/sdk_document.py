"""Reads an OpenAPI 3.1 document into what a client needs: models with Python types, and operations with names.

Names come from paths, not from operation ids: `POST /v1/projects/{project}/apps/{name}/pause` is `apps.pause(project, name)`.
The surprising rule: an enumeration in an answer is a plain `str`, so that a value added by a newer server does not break an
older client; in parameters it is a Literal.
"""

from __future__ import annotations

import builtins
import json
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

Schema: TypeAlias = Mapping[str, Any]

JSON_TYPES = ("application/json", "application/merge-patch+json")
EVENTS = "text/event-stream"
LINES = "application/x-ndjson"
METHODS = ("get", "put", "post", "delete", "patch")
VERBS = {"get": "get", "put": "replace", "post": "create", "delete": "delete", "patch": "patch"}
KEYED = frozenset({"pause", "resume", "stop", "start", "restart", "scale", "rollback"})
TAGS = ("type", "kind")  # fields with one value each, by which objects are told apart
SIMPLE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


@dataclass(frozen=True, slots=True)
class Field:
    name: str  # in Python
    wire: str
    type: str
    default: str | None  # an expression; None when the field is required
    doc: str


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    doc: str
    fields: tuple[Field, ...]
    tag: str  # class arguments that tell the options of a union apart


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
    models = tuple(_model(name, schema, schemas) for name, schema in sorted(schemas.items()) if _is_model(schema))
    operations = tuple(sorted(_operations(document, schemas), key=lambda o: (o.resource, o.name)))
    _unique(operations)
    info = document["info"]
    tags = {tag["name"]: tag.get("description", "") for tag in document.get("tags", [])}
    return Interface(info["title"], info["version"], models, operations, tags)


def class_name(name: str) -> str:
    """Litestar writes the module into names that occur twice: the last part is kept with its distinction."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name) if part)


def snake(name: str) -> str:
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).replace("-", "_").replace(".", "_").lower()
    return f"{words}_" if keyword.iskeyword(words) else words


def _is_model(schema: Schema) -> bool:
    return schema.get("type") == "object" and "properties" in schema


def _model(name: str, schema: Schema, schemas: Schema) -> Model:
    required = set(schema.get("required", ()))
    tag = _tag(schema)
    said = {wire: of for wire, of in schema["properties"].items() if not (tag and wire == tag[0])}
    found = [_field(wire, of, wire in required, schemas) for wire, of in said.items()]
    ordered = sorted(found, key=lambda f: f.default is not None)
    arguments = f', tag_field="{tag[0]}", tag="{tag[1]}"' if tag else ""
    return Model(class_name(name), _sentence(schema.get("description", "")), tuple(ordered), arguments)


def _tag(schema: Schema) -> tuple[str, str] | None:
    """Field and value: a `type` or `kind` that must be there and has one value. It is then always written."""
    properties: Schema = schema.get("properties", {})
    for name in TAGS:
        said: Schema = properties.get(name, {}) if name in schema.get("required", ()) else {}
        values: list[Any] = said.get("enum", [said.get("const")])
        if len(values) == 1 and isinstance(values[0], str):
            return name, values[0]
    return None


def _field(wire: str, schema: Schema, required: bool, schemas: Schema) -> Field:
    said = _type(schema, schemas)
    doc = _described(schema)
    if required:
        return Field(snake(wire), wire, said, None, doc)
    default = _default(schema, said, schemas)
    if default == "None" and "None" not in said.split(" | ") and said != "Any":
        said = f"{said} | None"
    return Field(snake(wire), wire, said, default, doc)


def _default(schema: Schema, said: str, schemas: Schema) -> str:
    value = schema.get("default")
    if said.endswith("| None"):
        return "None"  # not said, which is not the same as said to be empty
    if said.startswith("tuple["):
        return "()"
    if said.startswith("dict["):
        return "{}"
    target = _reference(schema)
    if target and not _resolve(target, schemas).get("required"):
        return f"msgspec.field(default_factory=lambda: {_target_name(target)}())  # noqa: PLW0108 - it is defined further down"
    if isinstance(value, bool | int | float | str):
        return repr(value)
    return "None"


def _reference(schema: Schema) -> Schema | None:
    """The schema that holds `$ref`: this one, or the only one of an `allOf` that adds a description."""
    whole = schema.get("allOf", ())
    return schema if "$ref" in schema else _reference(whole[0]) if len(whole) == 1 else None


def _target_name(reference: Schema) -> str:
    return class_name(reference["$ref"].rsplit("/", 1)[1])


def _type(schema: Schema, schemas: Schema, *, literal: bool = False) -> str:
    reference = _reference(schema)
    if reference is not None:
        target = _resolve(reference, schemas)
        return _target_name(reference) if _is_model(target) else _type(target, schemas, literal=literal)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            tagged = all(_tag(_resolve(option, schemas)) for option in schema[union] if option.get("type") != "null")
            return _union([_type(option, schemas, literal=literal) for option in schema[union]], tagged=tagged)
    if "enum" in schema or "const" in schema:
        return _enumeration(schema, literal)
    kind: Any = schema.get("type")
    if isinstance(kind, list):
        return _union([_type({**schema, "type": one}, schemas, literal=literal) for one in cast("list[str]", kind)])
    return _of_kind(kind, schema, schemas)


def _of_kind(kind: Any, schema: Schema, schemas: Schema) -> str:
    if kind == "array":
        return f"tuple[{_type(schema.get('items', {}), schemas)}, ...]"
    if kind == "object":
        values: Any = schema.get("additionalProperties")
        return f"dict[str, {_type(cast('Schema', values), schemas) if isinstance(values, dict) else 'Any'}]"
    if kind == "string" and schema.get("format") == "date-time":
        return "datetime"
    return SIMPLE.get(kind, "Any")


def _enumeration(schema: Schema, literal: bool) -> str:
    values = schema.get("enum", [schema.get("const")])
    if literal:
        return f"Literal[{', '.join(repr(value) for value in values)}]"
    kinds = {"bool" if isinstance(v, bool) else "int" if isinstance(v, int) else "None" if v is None else "str" for v in values}
    return _union(sorted(kinds, key=lambda kind: kind == "None"))


def _union(options: list[str], *, tagged: bool = False) -> str:
    """msgspec decodes at most one untagged struct, list or map of a union; what it could not is Any."""
    flat = list(dict.fromkeys(part for option in options for part in option.split(" | ")))
    plain = {"str", "int", "float", "bool", "None", "datetime"}
    if tagged and "Any" not in flat:
        return " | ".join(sorted(flat, key=lambda part: part == "None"))
    if "Any" in flat or len([part for part in flat if part not in plain]) > 1 or {"str", "datetime"} <= set(flat):
        return "Any"
    return " | ".join(sorted(flat, key=lambda part: part == "None"))


def _resolve(schema: Schema, schemas: Schema) -> Schema:
    return schemas[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


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
    kind = _type(schema, schemas, literal=True)
    required = bool(said.get("required")) or said["in"] == "path"
    described = _sentence(said.get("description") or schema.get("description", ""))
    name = snake(said["name"])
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
    kind = _type(of.get("schema", {}), schemas) if "json" in media else "bytes"
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
        return _type(content[LINES].get("schema", {}), schemas), "", LINES, events
    if whole[0] not in JSON_TYPES:
        return ("str" if whole[0].startswith("text/") else "bytes"), "", whole[0], events
    schema = content[whole[0]].get("schema", {})
    items = _items(content, schemas)
    cursor = "cursor" in _resolve(schema, schemas).get("properties", {})
    return _type(schema, schemas), _type(items, schemas) if items and cursor else "", whole[0], events


def _good(said: Schema) -> Schema:
    """The content of the answer to a call that went well, by media type."""
    found = [of for status, of in said.get("responses", {}).items() if status.startswith("2")]
    return found[0].get("content", {}) if found else {}


def _items(content: Schema, schemas: Schema) -> Schema | None:
    """The schema of a list's items; None for what is no list."""
    media = next((media for media in content if media in JSON_TYPES), "")
    schema: Schema = content[media].get("schema", {}) if media else {}
    return _resolve(schema, schemas).get("properties", {}).get("items", {}).get("items")


def _name(document: Schema, route: str, method: str, *, listed: bool) -> tuple[str, str]:
    parts = [part for part in route.split("/") if part]
    if parts[0] != "v1":
        return document["paths"][route][method].get("tags", ["service"])[0], VERBS[method]
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
    return _sentence(said.get("description") or (summary if " " in summary else ""))


def _described(schema: Schema) -> str:
    doc = _sentence(schema.get("description", ""))
    values = schema.get("enum") or next((o["enum"] for u in ("anyOf", "oneOf") for o in schema.get(u, ()) if "enum" in o), None)
    if not values:
        return doc
    listed = ", ".join(json.dumps(value).strip('"') for value in values)
    return f"{doc} One of: {listed}.".strip()


def _sentence(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines()).replace("\\", "\\\\").replace('"""', "'''")

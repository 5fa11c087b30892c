"""Turns the models of an OpenAPI 3.1 document into Python types.

An enumeration in an answer is a plain `str`, so that a value added by a newer server does not break an older client. In
parameters it is a Literal.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

Schema: TypeAlias = Mapping[str, Any]

SIMPLE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
TAGS = ("type", "kind")  # fields with one value each, by which objects are told apart


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


def models(schemas: Schema) -> tuple[Model, ...]:
    return _ordered([_model(name, schema, schemas) for name, schema in sorted(schemas.items()) if _is_model(schema)])


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
    return Model(class_name(name), sentence(schema.get("description", "")), tuple(ordered), arguments)


def _ordered(models: list[Model]) -> tuple[Model, ...]:
    """By name, but a model whose objects are defaults of another stands before it."""
    by_name = {model.name: model for model in models}
    done: dict[str, Model] = {}

    def place(model: Model) -> None:
        defaults = [(each.default or "").removesuffix("()") for each in model.fields]
        for used in defaults:
            if used in by_name and used not in done:
                place(by_name[used])
        done[model.name] = model

    for model in models:
        if model.name not in done:
            place(model)
    return tuple(done.values())


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
    said = type_of(schema, schemas)
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
    if target and not resolve(target, schemas).get("required"):
        return f"{_target_name(target)}()"  # the very object, so that it is known to be the default and not sent
    if isinstance(value, bool | int | float | str):
        return repr(value)
    return "None"


def _reference(schema: Schema) -> Schema | None:
    """The schema that holds `$ref`: this one, or the only one of an `allOf` that adds a description."""
    whole = schema.get("allOf", ())
    return schema if "$ref" in schema else _reference(whole[0]) if len(whole) == 1 else None


def _target_name(reference: Schema) -> str:
    return class_name(reference["$ref"].rsplit("/", 1)[1])


def type_of(schema: Schema, schemas: Schema, *, literal: bool = False) -> str:
    reference = _reference(schema)
    if reference is not None:
        target = resolve(reference, schemas)
        return _target_name(reference) if _is_model(target) else type_of(target, schemas, literal=literal)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            tagged = all(_tag(resolve(option, schemas)) for option in schema[union] if option.get("type") != "null")
            return _union([type_of(option, schemas, literal=literal) for option in schema[union]], tagged=tagged)
    if "enum" in schema or "const" in schema:
        return _enumeration(schema, literal)
    kind: Any = schema.get("type")
    if isinstance(kind, list):
        return _union([type_of({**schema, "type": one}, schemas, literal=literal) for one in cast("list[str]", kind)])
    return _of_kind(kind, schema, schemas)


def _of_kind(kind: Any, schema: Schema, schemas: Schema) -> str:
    if kind == "array":
        return f"tuple[{type_of(schema.get('items', {}), schemas)}, ...]"
    if kind == "object":
        values: Any = schema.get("additionalProperties")
        return f"dict[str, {type_of(cast('Schema', values), schemas) if isinstance(values, dict) else 'Any'}]"
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


def resolve(schema: Schema, schemas: Schema) -> Schema:
    return schemas[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def _described(schema: Schema) -> str:
    doc = sentence(schema.get("description", ""))
    values = schema.get("enum") or next((o["enum"] for u in ("anyOf", "oneOf") for o in schema.get(u, ()) if "enum" in o), None)
    if not values:
        return doc
    listed = ", ".join(json.dumps(value).strip('"') for value in values)
    return f"{doc} One of: {listed}.".strip()


def sentence(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines()).replace("\\", "\\\\").replace('"""', "'''")

"""Turns structs into structural OpenAPI v3 schemas, the form that CustomResourceDefinitions need.

A field's description is its `doc(...)`, or else the first paragraph of its struct's docstring. A spec's schema contains the
defaults, so that users see them. A status has none, so that a controller reads back exactly what it wrote.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeAlias, cast

import msgspec
from msgspec import inspect as types

from pincompute.api.meta import Manifest, Object

Schema: TypeAlias = dict[str, Any]

# Kubernetes takes times from the year 0 on, and an offset can lead beyond the year 9999. Python can hold neither.
YEARS = "^[12][0-9]{3}-.*$"

_ANY_OBJECT: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_INT_OR_STRING: Schema = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}


def opaque(description: str) -> Schema:
    """An object that the API server stores as it comes and takes for one field."""
    return {**_ANY_OBJECT, "x-kubernetes-map-type": "atomic", "description": description}


class UndescribedError(Exception):
    """A field that users see has no description."""


def of_kind(kind: type[Object]) -> Schema:
    """Schema of a whole object. Its metadata is the API server's to check."""
    info = cast("types.StructType", types.type_info(kind))
    fields = {field.encode_name: field for field in info.fields if field.name != "metadata"}
    properties: Schema = {
        "apiVersion": {"type": "string", "description": "Group and version of this form of the object."},
        "kind": {"type": "string", "description": "What the object is."},
        "metadata": {"type": "object"},
    }
    for name, field in fields.items():
        properties[name] = _field(kind, field, defaults=name == "spec")
    required = [name for name, field in fields.items() if field.required]
    made: Schema = {"type": "object", "description": first_paragraph(kind), "properties": properties}
    _refuse_unions(made)
    return made | ({"required": required} if required else {})


def _refuse_unions(schema: Schema) -> None:
    if "anyOf" in schema and schema != schema | _INT_OR_STRING:
        raise TypeError(f"no structural schema for the union {schema['anyOf']}: only `X | None` and `int | str` have one")
    below: Schema = schema.get("properties", {})
    for part in (*below.values(), *(schema[name] for name in ("items", "additionalProperties") if name in schema)):
        _refuse_unions(part)


def of_struct(kind: type[msgspec.Struct]) -> Schema:
    """Schema of a struct that no API server stores. It may have unions, which structural schemas do not allow.

    A class attribute `one_of` names fields of which an object sets one at most; the schema keeps it as `x-one-of`.
    """
    info = cast("types.StructType", types.type_info(kind))
    made = _struct(info, defaults=False)
    tag: Schema = {info.tag_field: {"type": "string"}} if info.tag_field else {}
    return {**made, "properties": {**made["properties"], **tag}}


def first_paragraph(struct: type[Any]) -> str:
    text = inspect.cleandoc(struct.__dict__.get("__doc__") or "")
    return " ".join(text.split("\n\n")[0].split())


def _struct(info: types.StructType, *, defaults: bool) -> Schema:
    properties = {field.encode_name: _field(info.cls, field, defaults=defaults) for field in info.fields}
    required = sorted(field.encode_name for field in info.fields if field.required)
    made: Schema = {"type": "object", "description": first_paragraph(info.cls), "properties": properties}
    exclusive: tuple[str, ...] = getattr(info.cls, "one_of", ())
    return made | ({"x-one-of": exclusive} if exclusive else {}) | ({"required": required} if required else {})


def _field(owner: type[Any], field: types.Field, *, defaults: bool) -> Schema:
    made = _schema(field.type, defaults=defaults)
    if not made.get("description"):
        raise UndescribedError(f"{owner.__name__}.{field.name} needs a description: Annotated[..., doc('...')]")
    if defaults and (given := _default(field)) is not None:
        made["default"] = given
        if not isinstance(given, dict):
            made["description"] += f" Default: {str(given).lower() if isinstance(given, bool) else given}."
    return made


def _default(field: types.Field) -> Any:
    """What the API server should fill in; nothing for empty lists, maps and strings, which read the same when absent."""
    value = field.default_factory() if callable(field.default_factory) else field.default
    if value is msgspec.NODEFAULT or value is None or value in ("", (), {}):
        return None
    return msgspec.json.decode(msgspec.json.encode(value))  # lists as JSON has them


def _schema(info: types.Type, *, defaults: bool) -> Schema:
    match info:
        case types.Metadata():
            words = cast("Schema", info.extra_json_schema or {}) | cast("Schema", info.extra or {})  # pyright: ignore[reportUnknownMemberType]
            return _schema(info.type, defaults=defaults) | words
        case types.StructType():
            return _struct(info, defaults=defaults)
        case types.UnionType():
            return _union(info, defaults=defaults)
        case types.VarTupleType():
            items = _undescribed(_schema(info.item_type, defaults=defaults))
            return {"type": "array", "x-kubernetes-list-type": "atomic", "items": items}
        case types.DictType():
            return _dictionary(info, defaults=defaults)
        case _:
            return _scalar(info)


def _scalar(info: types.Type) -> Schema:
    match info:
        case types.LiteralType():
            return {"type": "string", "enum": list(info.values)}
        case types.BoolType():
            return {"type": "boolean"}
        case types.IntType():
            return {"type": "integer", "format": "int64"}
        case types.FloatType():
            return {"type": "number"}
        case types.StrType():
            return {"type": "string"} | ({"pattern": info.pattern} if info.pattern else {})
        case types.DateTimeType():
            return {"type": "string", "format": "date-time", "pattern": YEARS}
        case _:
            raise TypeError(f"no structural schema for {info}: use a struct, tuple, dict, literal or plain value")


def _union(info: types.UnionType, *, defaults: bool) -> Schema:
    kinds = [kind for kind in info.types if not isinstance(kind, types.NoneType)]
    if len(kinds) == 1:
        return _schema(kinds[0], defaults=defaults)
    if {type(kind) for kind in kinds} == {types.IntType, types.StrType}:
        return dict(_INT_OR_STRING)
    if any(isinstance(kind, types.FloatType) for kind in kinds):  # a number, so whole ones too
        kinds = [kind for kind in kinds if not isinstance(kind, types.IntType)]
    return {"anyOf": [_undescribed(_schema(kind, defaults=defaults)) for kind in kinds]}


def _dictionary(info: types.DictType, *, defaults: bool) -> Schema:
    if isinstance(info.value_type, types.AnyType):
        return dict(_ANY_OBJECT)
    return {"type": "object", "additionalProperties": _undescribed(_schema(info.value_type, defaults=defaults))}


def _undescribed(made: Schema) -> Schema:
    """Elements are described where their list or map is."""
    return {key: value for key, value in made.items() if key != "description"}


def at(schema: Manifest, path: str) -> Schema:
    """The schema of one field: `at(spec, "template.spec.containers[].ports")`."""
    for part in path.replace("[]", ".[]").split("."):
        schema = schema["items"] if part == "[]" else schema["properties"][part]
    return schema

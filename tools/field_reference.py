"""Makes docs/app.md: every field of app.yaml, from the simple form, its tables and the schema of the resource.

Where a field stands in the resource is found by its example: the page says which part of the resource the example adds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pincompute.api import crds, structural_schema
from pincompute.gateway.model import APP, UNIT, SimpleKind, field_mapping
from pincompute.gateway.model.codecs import DURATION
from pincompute.gateway.model.container_form import InitContainer
from pincompute.gateway.model.simple_kind import ANSWERS

Data = dict[str, Any]
PAGE = "docs/app.md"
FOLDER = Path(__file__).parent
EXAMPLES: dict[str, Data] = yaml.safe_load((FOLDER / "field_examples.yaml").read_text("utf-8"))
INTRODUCTION = (FOLDER / "field_reference.md").read_text("utf-8")
COLUMNS = "| field | value | default | meaning | example | in the resource |\n| --- | --- | --- | --- | --- | --- |\n"
DEFAULT = re.compile(r" ?Default: ([^.]*(?:\.\w[^.]*)*)\.$")
KEYS = {"files": "/etc/NAME"}  # of maps whose keys are no names
PLAIN = {"boolean": True, "integer": 1, "number": 1, "object": {}}


@dataclass(frozen=True, slots=True)
class Section:
    """The fields of one struct, and where it first stands in a document."""

    struct: type[msgspec.Struct]
    path: tuple[str, ...]
    kind: SimpleKind[Any]

    @property
    def title(self) -> str:
        return " → ".join(self.path) if self.path else self.kind.name

    @property
    def inherited(self) -> frozenset[str]:
        """The fields that the page shows with another struct."""
        if self.struct is UNIT.type:
            return frozenset(field.encode_name for field in msgspec.structs.fields(APP.type))
        base = self.struct.__mro__[1]
        return (
            frozenset(field.encode_name for field in msgspec.structs.fields(base))
            if self.struct is InitContainer
            else frozenset()
        )

    @property
    def fields(self) -> Iterator[Field]:
        """Its own: not those that it has in common with a struct that the page shows before it."""
        schema = structural_schema.of_struct(self.struct)
        for field in msgspec.structs.fields(self.struct):
            if field.encode_name not in ANSWERS | self.inherited:
                yield Field(self, field.encode_name, schema["properties"][field.encode_name], field, schema.get("x-one-of", ()))


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a section."""

    section: Section
    name: str
    schema: Data
    info: Any
    alternatives: tuple[str, ...]

    @property
    def key(self) -> str:
        return ".".join((*self.section.path, self.name))

    @property
    def example(self) -> Any:
        """What the file of examples has, or else a value that fits."""
        known = EXAMPLES["fields"].get(self.section.struct.__name__, {})
        return known[self.name] if self.name in known else _fitting(self.schema)

    def document(self, *, stated: bool = True) -> Data:
        """A whole document with the field and what it needs beside it, or without the field."""
        struct, beside = self.section.struct.__name__, EXAMPLES["beside"]
        excluded = {self.name, *(self.alternatives if self.name in self.alternatives else ())}
        value: Data = dict(beside.get(f"{struct}.{self.name}", beside.get(struct, {})))
        base = {"kind": self.section.kind.name, **beside["App"]}
        return _put(base, self.section.path, value, excluded, {self.name: self.example} if stated else {})

    @property
    def resource(self) -> str:
        """The part of the resource that the example adds."""
        if self.name == "advanced":
            return "spec"
        with_it, _ = self.section.kind.to_manifest(self.document())
        without, _ = self.section.kind.to_manifest(self.document(stated=False))
        found = _common(list(_added(without, with_it)))
        return found[: found.rindex("[]")] if self.many else found

    @property
    def many(self) -> bool:
        """It is a list of objects."""
        return self.schema.get("items", {}).get("type") == "object"


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION.strip()]
    parts += [
        f"## {each.title}\n\n{_about(each)}\n\n{COLUMNS}" + "\n".join(map(_row, each.fields))
        for each in sections()
        if any(each.fields)
    ]
    return "\n\n".join(parts) + "\n"


def sections() -> Iterator[Section]:
    """Every struct that a document may hold, where it first stands in one."""
    seen = set[type]()
    for kind in (APP, UNIT):
        yield from _sections(kind, kind.type, (), seen)


def _sections(kind: SimpleKind[Any], struct: type, path: tuple[str, ...], seen: set[type]) -> Iterator[Section]:
    if struct in seen:
        return
    seen.add(struct)
    yield Section(struct, path, kind)
    for field in msgspec.structs.fields(struct):
        if field.encode_name not in ANSWERS:
            for below, many in _structs(msgspec.inspect.type_info(field.type)):
                yield from _sections(kind, below, (*path, field.encode_name + many), seen)


def _structs(info: Any, many: str = "") -> Iterator[tuple[type, str]]:
    """The structs that a field holds; `[]` for a list of them, `.NAME` for a map."""
    types = msgspec.inspect
    match info:
        case types.Metadata():
            yield from _structs(info.type, many)
        case types.UnionType():
            for each in info.types:
                yield from _structs(each, many)
        case types.VarTupleType():
            yield from _structs(info.item_type, "[]")
        case types.DictType():
            yield from _structs(info.value_type, ".NAME")
        case types.StructType():
            yield info.cls, many
        case _:
            return


def _put(document: Data, path: tuple[str, ...], beside: Data, excluded: set[str], value: Data) -> Data:
    """The document with the value, and what stands beside it, at the path of a section."""
    if not path:
        return {name: part for name, part in {**document, **beside}.items() if name not in excluded} | value
    name, rest = path[0].removesuffix("[]").removesuffix(".NAME"), path[1:]
    before = document.get(name)
    if path[0].endswith("[]"):
        return {**document, name: [_put(before[0] if before else {}, rest, beside, excluded, value)]}
    if path[0].endswith(".NAME"):
        return {**document, name: {KEYS.get(name, "NAME"): _put({}, rest, beside, excluded, value)}}
    return {**document, name: _put(before or {}, rest, beside, excluded, value)}


def _about(section: Section) -> str:
    said = structural_schema.first_paragraph(section.struct)
    if section.struct is UNIT.type:
        said += " It has the fields of an App except `replicas` and `disruption`, and these:"
    elif section.inherited:
        said += " It has the fields of a container, and these:"
    return said or f"The fields of `{section.path[-1].removesuffix('[]')}`."


def _row(field: Field) -> str:
    meaning, default = _meaning(field)
    example = yaml.safe_dump({field.name: field.example}, default_flow_style=True, sort_keys=False, width=1000).strip()[1:-1]
    cells = (f"`{field.name}`", _value(field), default, meaning, f"`{example}`", f"`{field.resource}`")
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _meaning(field: Field) -> tuple[str, str]:
    """What the field is for, and its default."""
    said = str(field.schema.get("description", ""))
    if stated := DEFAULT.search(said):
        return said[: stated.start()], stated[1]
    default = field.info.default
    plain = isinstance(default, str | int | float) and default != ""
    return said, "required" if field.info.required else f"`{default}`" if plain else ""


def _value(field: Field) -> str:
    """What may be written: the type, the unit, the choices and the limits."""
    struct = next(iter(_structs(msgspec.inspect.type_info(field.info.type))), None)
    if struct is not None:
        word = {"": "object", "[]": "list", ".NAME": "map"}[struct[1]]
        return f"[{word}](#{_anchor(struct[0])})" + (" of name to text or source" if word == "map" else "")
    word = _word(field.schema)
    return word if word == "duration" else word + _limits(field)


def _anchor(struct: type) -> str:
    """Where the page shows the fields of a struct, as GitHub names its heading."""
    title = next(section.title for section in sections() if section.struct is struct)
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _word(schema: Data) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("pattern") == DURATION:
        return "duration"
    if "anyOf" in schema:
        return _either(schema["anyOf"])
    match schema.get("type"):
        case "array":
            return f"list of {_word(schema['items'])}"
        case "object" if "additionalProperties" in schema:
            return f"map of name to {_word(schema['additionalProperties'])}"
        case "object":
            return "object"
        case "boolean":
            return "true or false"
        case "string":
            return "text"
        case kind:
            return str(kind)


def _either(choices: list[Data]) -> str:
    kinds = {choice["type"] for choice in choices}
    if kinds == {"number", "string"}:
        return "quantity"
    return "number or text" if "integer" in kinds else " or ".join(_word(choice) for choice in choices)


def _limits(field: Field) -> str:
    """The limits that the schema of the resource has at the place where the field stands."""
    part = _at(crds.workload_schema(field.section.kind.workload), field.resource)
    low, high = part.get("minimum"), part.get("maximum")
    match low, high:
        case None, None:
            return ""
        case _, None:
            return f", {low} or more"
        case None, _:
            return f", {high} or less"
        case _:
            return f", {low} to {high}"


def _at(schema: Data, path: str) -> Data:
    for name in path.replace("[]", ".[]").split("."):
        schema = schema.get("items", {}) if name == "[]" else schema.get("properties", {}).get(name, {})
    return schema


def _added(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The paths of what stands in `after` and not so in `before`."""
    if isinstance(after, dict) and isinstance(before, dict) and after:
        for name, part in after.items():
            yield from _added(before.get(name, field_mapping.NOTHING), part, _below(path, name))
    elif isinstance(after, list) and after and isinstance(after[0], dict):
        old = before if isinstance(before, list) else []
        for index, part in enumerate(after):
            yield from _added(old[index] if index < len(old) else {}, part, f"{path}[]")
    elif before is field_mapping.NOTHING and isinstance(after, dict) and after:
        for name, part in after.items():
            yield from _added(field_mapping.NOTHING, part, _below(path, name))
    elif before != after:
        yield path


def _below(path: str, name: str) -> str:
    if not path:
        return name
    return f"{path}[{name}]" if "." in name else f"{path}.{name}"


def _common(paths: list[str]) -> str:
    """The path that all begin with."""
    if not paths:
        return ""
    names = [path.split(".") for path in paths]
    shared = next((n for n, each in enumerate(zip(*names, strict=False)) if len(set(each)) > 1), min(map(len, names)))
    return ".".join(names[0][:shared])


def _fitting(schema: Data) -> Any:
    """A value that a schema allows."""
    match schema:
        case {"enum": [first, *_]} | {"examples": [first, *_]}:
            return first
        case {"anyOf": [first, *_]}:
            return _fitting(first)
        case {"type": "array"}:
            return [_fitting(schema["items"])]
        case {"type": "object", "properties": properties}:
            names = schema.get("required") or list(properties)[:1]
            return {name: _fitting(properties[name]) for name in names}
        case {"type": "object", "additionalProperties": dict(part)}:
            return {"NAME": _fitting(part)}
        case _:
            return PLAIN.get(schema.get("type", ""), "text")

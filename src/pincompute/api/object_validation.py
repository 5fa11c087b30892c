"""Reports all problems of an object at once, before anything is sent: against a schema, and the API server's other rules.

The schema of a manifest is the one that the API server has, read from the CustomResourceDefinition. So each limit is
written down once; a contract test proves that the verdicts are the API server's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias, cast

from pincompute.api import crds, image_ownership, near_names, pod_security_rules, quantity, template_limits, validation_rules
from pincompute.api.kinds import KINDS, Kinds
from pincompute.api.meta import Manifest
from pincompute.api.projects import RESTRICTED, PodSecurityLevel
from pincompute.api.template_limits import Schema

Json: TypeAlias = Any

_METADATA = frozenset(
    {"name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "uid", "resourceVersion"}
    | {"generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink"}
)
MOST_PROBLEMS = 100  # of one document; a reader corrects these first
SUGGESTING = 20  # of them get the name that was probably meant
_BYTES = re.compile(r"(?P<number>[1-9][0-9]{0,4})m?")  # "32" for 32 MiB
_EVERY_RULE = (
    *validation_rules.EVERY,
    *(rule for fields in pod_security_rules.RULES.values() for every in fields.values() for rule in every),
)
RULES = {(made["rule"], made["message"]): rule for rule in _EVERY_RULE for made in (rule.manifest(),)}
"""Every rule by what a schema says of it."""

_WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
}


@dataclass(frozen=True, slots=True)
class ManifestProblem:
    """What is wrong with one field, and what to do."""

    field: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}: {self.remedy}"


RENAMED: Mapping[str, str] = {"type": "inPlace"}
"""Former names of fields, which a message names where the present one exists."""


@dataclass(frozen=True, slots=True)
class UnknownField:
    """How to correct a field that does not exist. `known_as` gives the name that a field of another form has here; `of_others`
    says who has a field at the top, and `at_top` are the fields there.
    """

    known_as: Mapping[str, str] = field(default_factory=dict[str, str])
    of_others: Mapping[str, str] = field(default_factory=dict[str, str])
    otherwise: str = "remove it, or correct its name"
    at_top: Collection[str] = ()

    def problem(self, path: str, name: str, known: Collection[str], *, suggests: bool = True) -> ManifestProblem:
        """Says what to write instead, where it `suggests` a name: each costs a comparison with every known one."""
        if not suggests:
            return ManifestProblem(_join(path, name), "is not a field", self.otherwise)
        if not path and name in self.of_others:
            return ManifestProblem(name, "is not a field", f"remove it: {self.of_others[name]} has it")
        alias = self.known_as.get(name) or RENAMED.get(name, name)
        near = alias if alias in known else nearest(name, known)
        if not near and alias in self.at_top and "." not in path:
            whole = f"write {alias} at the top, where it holds for the whole workload"
            return ManifestProblem(_join(path, name), "is not a field", whole)
        return ManifestProblem(_join(path, name), "is not a field", f"write {near}" if near else self.otherwise)


def problems(
    manifest: Manifest,
    zones: Collection[str] | None = None,
    kinds: Kinds = KINDS,
    level: PodSecurityLevel = RESTRICTED,
) -> list[ManifestProblem]:
    """Every problem of a manifest of one of the host's kinds; none means that the API server takes it.

    `zones`, where the caller knows them, are the region's: the API server cannot know, so scheduling would report others.
    `level` is the project's of Pod Security.
    """
    version, kind = str(manifest.get("apiVersion", "")), str(manifest.get("kind", ""))
    schema = _schemas(kinds).get((version, kind))
    if schema is None:
        known = ", ".join(sorted(f"{kind} ({version})" for version, kind in _schemas(kinds)))
        return [ManifestProblem("kind", f"{say(kind)} of apiVersion {say(version)} is not known", f"write one of {known}")]
    found = [*_metadata(manifest.get("metadata"))]
    named = isinstance(_at(manifest, "metadata", "name"), str)
    host_users = _at(manifest, "spec", "template", "spec", "hostUsers") is not False
    _SchemaWalk(found, level=level, host_users=host_users).value(
        manifest if named else {**manifest, "metadata": {"name": "unjudged"}}, schema, ""
    )
    return [
        *found,
        *_oversized(_at(manifest, "spec", "template")),
        *_foreign_images(_at(manifest, "spec", "template", "spec"), _at(manifest, "metadata", "namespace")),
        *_unknown_zones(manifest, ("placement", "zones"), zones),
        *_unknown_zones(manifest, ("update", "zoneOrder"), zones),
    ]


def fitting(value: Manifest, schema: Schema, unknown: UnknownField) -> tuple[Manifest, list[ManifestProblem]]:
    """The parts of the value that have the schema's types and are within its limits, and every problem.

    An entry of a list that has another type leaves an empty one, so that the others keep their positions.
    """
    found = list[ManifestProblem]()
    return _SchemaWalk(found, unknown, keeps_positions=True).value(value, schema, ""), found


@cache
def _schemas(kinds: Kinds) -> dict[tuple[str, str], Schema]:
    served: dict[tuple[str, str], Schema] = {}
    for definition in crds.host(kinds):
        spec = definition["spec"]
        version = spec["versions"][0]
        key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
        served[key] = version["schema"]["openAPIV3Schema"]
    for kind in kinds:
        served[kind.workload.api_version, kind.workload.kind] = crds.workload_schema(kind)
    return served


def _metadata(metadata: Json) -> Iterator[ManifestProblem]:
    """The API server's own checks of metadata, as far as people meet them."""
    if not isinstance(_at(metadata, "name"), str):
        yield ManifestProblem("metadata.name", "is required", "give the object a name")
    unknown = [key for key in cast("Manifest", metadata) if key not in _METADATA] if isinstance(metadata, dict) else []
    for place, key in enumerate(unknown[:MOST_PROBLEMS]):
        yield UnknownField().problem("metadata", key, _METADATA, suggests=place < SUGGESTING)


def _oversized(template: Json) -> Iterator[ManifestProblem]:
    """The API server has no rule about an object's size as text; etcd refuses what is too large, when it is too late."""
    if isinstance(template, dict) and (found := template_limits.oversize(cast("Manifest", template))):
        yield ManifestProblem("spec.template", *found)


def _foreign_images(pod: Json, project: Json) -> Iterator[ManifestProblem]:
    if isinstance(pod, dict):
        known = project if isinstance(project, str) else None
        for found in image_ownership.foreign_images(cast("Manifest", pod), known):
            yield ManifestProblem(f"spec.template.spec.{found.field}", found.problem, found.remedy)


def _unknown_zones(manifest: Manifest, field: tuple[str, str], zones: Collection[str] | None) -> Iterator[ManifestProblem]:
    asked = _at(manifest, "spec", *field)
    if zones is None or not isinstance(asked, list):
        return
    for index, zone in enumerate(cast("list[Json]", asked)):
        if zone not in zones:
            remedy = f"choose from {', '.join(sorted(zones))}, or leave {field[1]} out"
            yield ManifestProblem(f"spec.{'.'.join(field)}[{index}]", f"zone {say(zone)} does not exist", remedy)


def _at(value: Json, *path: str) -> Json:
    """The value below, or None where there is none."""
    for name in path:
        value = cast("Manifest", value).get(name) if isinstance(value, dict) else None
    return value


_WRONG: Json = object()  # stands for a value of the wrong type, until what holds it leaves it out


class _SchemaWalk:
    """One pass over value and schema together, which reports and gives back what has the right types.

    Rules are judged on that, so that a wrong part hides nothing of the others. A rule that would only tell of the consequence
    of a wrong part is not judged: where its own field is wrong, or one that it needs.
    """

    def __init__(
        self,
        found: list[ManifestProblem],
        unknown: UnknownField | None = None,
        *,
        keeps_positions: bool = False,
        level: PodSecurityLevel = RESTRICTED,
        host_users: bool = True,
    ) -> None:
        self._found = found
        self._host_users = host_users
        self._level: PodSecurityLevel = level
        self._unknown = unknown or UnknownField()
        self._keeps_positions = keeps_positions
        self._mistyped: list[str] = []

    def value(self, value: Json, schema: Schema, path: str) -> Json:
        schema = _alternative(value, schema)
        wrong = _wrong_type(value, schema)
        if wrong is not None:
            if len(self._mistyped) < MOST_PROBLEMS:
                self._mistyped.append(path)
            self._report(path, *wrong)
            return _WRONG
        if isinstance(value, dict):
            value = self._object(cast("Manifest", value), schema, path)
        elif isinstance(value, list):
            value = self._list(cast("list[Json]", value), schema, path)
        elif beyond := list(_beyond_limits(value, schema, suggests=self._suggests())):
            for message, remedy in beyond:
                self._report(path, message, remedy)
            if self._keeps_positions:  # what is made of the value could not be made of this one
                return _WRONG
        self._rules(value, schema, path)
        return value

    def _object(self, value: Manifest, schema: Schema, path: str) -> Manifest:
        properties: dict[str, Schema] = schema.get("properties", {})
        more: Schema | None = schema.get("additionalProperties")
        for name in schema.get("required", ()):
            if value.get(name) is None:
                self._report(_join(path, name), "is required", f"add {name}")
        if more is not None and len(value) > schema.get("maxProperties", len(value)):
            self._report(path, f"has {len(value)} entries, at most {schema['maxProperties']} are allowed", "remove some")
        kept: Manifest = {}
        for name, part in value.items():
            if part is None:
                continue
            if name in properties:
                kept[name] = self.value(part, properties[name], _join(path, name))
            elif more is not None:
                kept[name] = self.value(part, more, f"{path}[{name}]")
            elif properties and not schema.get("x-kubernetes-preserve-unknown-fields"):
                self._add(self._unknown.problem(path, name, properties, suggests=self._suggests()))
            else:
                kept[name] = part
        kept = {name: part for name, part in kept.items() if part is not _WRONG}
        exclusive = [name for name in schema.get("x-one-of", ()) if name in kept]
        if len(exclusive) > 1:
            self._report(path, f"has {' and '.join(exclusive)}, where only one may be said", "remove one")
        return kept

    def _list(self, value: list[Json], schema: Schema, path: str) -> list[Json]:
        if len(value) < schema.get("minItems", 0):
            self._report(path, f"has {len(value)} entries, at least {schema['minItems']} needed", "add one")
        if len(value) > schema.get("maxItems", len(value)):
            self._report(path, f"has {len(value)} entries, at most {schema['maxItems']} are allowed", "remove some")
            value = value[: schema["maxItems"]]
        kept = [self.value(item, schema["items"], f"{path}[{index}]") for index, item in enumerate(value)]
        for index, said in _duplicates(value, schema):
            self._report(f"{path}[{index}]", f"{said} is there already", "remove or rename one")
        if self._keeps_positions:
            empty: Json = {} if schema["items"].get("type") == "object" else ""
            return [empty if item is _WRONG else item for item in kept]
        return [item for item in kept if item is not _WRONG]

    def _rules(self, value: Json, schema: Schema, path: str) -> None:
        for manifest in schema.get("x-kubernetes-validations", ()):
            rule = RULES[manifest["rule"], manifest["message"]]
            if not rule.applies(self._level, host_users=self._host_users) or self._is_consequence(rule, path):
                continue
            for fault in rule.faults(value):
                problem = f"{say(value)} {fault.problem}" if rule.names_value else fault.problem
                self._report(_join(path, fault.path) or "metadata.name", problem, _remedy(rule, value))

    def _is_consequence(self, rule: validation_rules.Rule, path: str) -> bool:
        below = [wrong.removeprefix(f"{path}.") for wrong in self._mistyped if wrong.startswith(f"{path}.")]
        return any(wrong == rule.path or re.fullmatch(rule.needs, wrong) for wrong in below)

    def _report(self, path: str, message: str, remedy: str) -> None:
        self._add(ManifestProblem(path, message, remedy))

    def _add(self, problem: ManifestProblem) -> None:
        if len(self._found) < MOST_PROBLEMS:
            self._found.append(problem)

    def _suggests(self) -> bool:
        return len(self._found) < SUGGESTING


def _remedy(rule: validation_rules.Rule, value: Json) -> str:
    """The rule's, or a better one where the value shows what was meant."""
    if rule is validation_rules.QUANTITY:
        return quantity.remedy(value)
    meant = (
        _BYTES.fullmatch(str(_at(value, rule.path))) if rule in validation_rules.LEAST_AMOUNTS and rule.path != "cpu" else None
    )
    return f"write {meant['number']}Mi" if meant else rule.remedy


def _wrong_type(value: Json, schema: Schema) -> tuple[str, str] | None:
    if _has_type(value, schema):
        return None
    expected = _words(schema)
    if "x-unit" in schema and isinstance(value, int):
        remedy = f'write for example "{value}{schema["x-unit"]}"'
    elif "text" in expected and not isinstance(value, dict | list):
        remedy = f'write it in quotes, for example "{say(value)}"'
    else:
        remedy = f"write {expected}"
    return f"must be {expected}, not {say(value)}", remedy


def _has_type(value: Json, schema: Schema) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        whole = isinstance(value, (int, str)) and not isinstance(value, bool)
        return whole or (isinstance(value, float) and template_limits.is_quantity(schema))  # stored as text, see `fractions`
    if "anyOf" in schema:
        return any(_has_type(value, each) for each in schema["anyOf"])
    return _TYPES[schema["type"]](value)


def _alternative(value: Json, schema: Schema) -> Schema:
    """The member of a union that the value is of. Numbers or text are one type: limits of theirs stand beside `anyOf`."""
    if schema.get("x-kubernetes-int-or-string"):
        return schema
    return next((each for each in schema.get("anyOf", ()) if _has_type(value, each)), schema)


def _words(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(_words(each) for each in schema["anyOf"])
    return schema.get("x-words") or _WORDS[schema["type"]]


_TYPES: dict[str, Callable[[Json], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
}
_RANGES = {"int32": 2**31, "int64": 2**63}


def _beyond_limits(value: Json, schema: Schema, *, suggests: bool) -> Iterator[tuple[str, str]]:
    """Limits of plain values."""
    if "enum" in schema and value not in schema["enum"]:
        choices = ", ".join(choice for choice in schema["enum"] if choice)
        near = nearest(value, schema["enum"]) if suggests else ""
        yield f"must be one of {choices}, not {say(value)}", f"write {near or f'one of {choices}'}"
    if isinstance(value, str):
        yield from _text_beyond_limits(value, schema)
    elif schema.get("type") == "integer":
        bound = _RANGES.get(schema.get("format", ""), 2**63)
        low, high = schema.get("minimum", -bound), schema.get("maximum", bound - 1)
        if not low <= value <= high:
            yield f"must be from {low} to {high}, not {value}", "correct the number"


def _text_beyond_limits(value: str, schema: Schema) -> Iterator[tuple[str, str]]:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        least, most = schema.get("minLength", 0), schema.get("maxLength", "any number of")
        yield f"must have {least} to {most} characters, not {len(value)}", "write a shorter text" if value else "write a text"
    elif "pattern" not in schema or re.fullmatch(schema["pattern"], value):
        return
    elif "x-words" in schema:
        yield f"{say(value)} is not {schema['x-words']}", f"write for example {schema['x-example']}"
    else:
        yield f"{say(value)} must match {schema['pattern']}", "correct the text"


def _duplicates(value: list[Json], schema: Schema) -> Iterator[tuple[int, str]]:
    """Index and words for every entry that a set or keyed list holds already."""
    kind = schema.get("x-kubernetes-list-type")
    seen: set[tuple[Json, ...]] = set()
    for index, item in enumerate(value):
        if kind == "set":
            key, said = (str(item),), say(item)
        elif kind == "map" and isinstance(item, dict) and _has_keys(cast("Manifest", item), schema):
            key, said = _map_key(cast("Manifest", item), schema)
        else:
            continue
        if key in seen:
            yield index, said
        seen.add(key)


def _has_keys(item: Manifest, schema: Schema) -> bool:
    """A key that is lacking is reported as such."""
    properties: dict[str, Schema] = schema["items"]["properties"]
    return all(item.get(name) is not None or "default" in properties[name] for name in schema["x-kubernetes-list-map-keys"])


def _map_key(item: Manifest, schema: Schema) -> tuple[tuple[str, ...], str]:
    properties: dict[str, Schema] = schema["items"]["properties"]
    names: list[str] = schema["x-kubernetes-list-map-keys"]
    values = [item.get(name, properties[name].get("default", "")) for name in names]
    return tuple(map(str, values)), " and ".join(f"{name} {say(value)}" for name, value in zip(names, values, strict=True))


def nearest(name: str, known: Collection[str]) -> str:
    """The known name that was probably meant; empty when none is alike."""
    return next(iter(near_names.nearest(name, known)), "")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def say(value: Json) -> str:
    """The value as a message shows it."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value[:64]}"'
        case _:
            return str(value)

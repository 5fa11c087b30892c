"""Checks the fields and types of a manifest against the generated models before anything is sent.

What only the server knows (names that are taken, limits, rights) it says itself; its fields are then pointed at in the file.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from pincompute_sdk.cli import near_names
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.manifest.manifest_file import Manifest
from pincompute_sdk.core.errors import InvalidError
from pincompute_sdk.generated import kinds

KINDS: dict[str, type[msgspec.Struct]] = {kind.name: kind.model for kind in kinds.KINDS.values()}
ANSWERS = ("status", "id", "version", "generation", "author", "created", "deleting")  # the server's own fields
WORDS = {
    "array": "a list",
    "object": "fields",
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}
TEXTS = ("args", "command", "zones")
"""Fields that are lists of texts."""
EXAMPLES = {
    "name": "name: hello",
    "image": "image: registry.internal/web:1",
    "containers": "containers: [{name: web, image: registry.internal/web:1}]",
    "ports": "ports: [{name: http, port: 8080}]",
    "env": "env: {NAME: value}",
    "resources": "resources: {cpu: 250m, memory: 128Mi}",
    "health": "health: {http: {path: /, port: http}}",
    "replicas": "replicas: 3",
    "args": 'args: ["8080"]',
    "command": 'command: ["/bin/sh"]',
    "zones": "zones: [a, b]",
}
_CORRECT = "correct the value; `pin deploy --dry-run` checks again without changing anything"
TYPES = re.compile(r"^Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`$")
MISSING = re.compile(r"^Object missing required field `(.+)`$")
PATH = re.compile(r"^(?P<message>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)


def check(manifest: Manifest) -> None:
    """Raises CommandError that names the first wrong field with its line and column."""
    kind = manifest.data.get("kind")
    if kind not in KINDS:
        raise CommandError(_kind(manifest, kind), remedy=f"write `kind: {'` or `kind: '.join(KINDS)}`", code=USAGE)
    for path, known in _unknown(manifest.data, msgspec.inspect.type_info(KINDS[kind]), ""):
        name = path.rpartition(".")[2]
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        remedy = _of_others(path) or remedy
        raise CommandError(f"{manifest.at(path)}: there is no field {path}", remedy=remedy, code=USAGE)
    _check_variables(manifest)
    try:
        msgspec.convert(manifest.data, KINDS[kind])
    except msgspec.ValidationError as error:
        raise _mistyped(manifest, str(error)) from error


def _check_variables(manifest: Manifest) -> None:
    """Variables as Kubernetes and Compose list them are refused with the way they are written here."""
    containers: Any = manifest.data.get("containers")
    for index, container in enumerate(cast("list[Any]", containers) if isinstance(containers, list) else ()):
        listed: Any = cast("dict[str, Any]", container).get("env") if isinstance(container, dict) else None
        if isinstance(listed, list):
            path = f"containers[{index}].env"
            message = f"expected NAME: value pairs, got a list: write `env: {_pairs(cast('list[Any]', listed))}`"
            raise CommandError(f"{manifest.at(path)}: {path}: {message}", remedy=_CORRECT, code=USAGE)


def _pairs(listed: list[Any]) -> str:
    """`{NAME: value}` of the first variable that can be understood."""
    first: Any = listed[0] if listed else None
    named = cast("dict[str, Any]", first) if isinstance(first, dict) else {}
    name, equals, value = first.partition("=") if isinstance(first, str) else ("", "", "")
    if "name" in named and "value" in named:
        name, equals, value = str(named["name"]), "=", str(named["value"])
    return f"{{{name}: {json.dumps(value)}}}" if equals else "{NAME: value}"


def located(manifest: Manifest, error: InvalidError) -> CommandError:
    """The server's refusal, with places in the file."""
    places = [manifest.at(field.field) for field in error.fields]
    lines = [f"{place}: {field.field}: {field.sentence}" for place, field in zip(places, error.fields, strict=True)]
    what = "options" if places and set(places) <= set(manifest.options.values()) else "fields"
    remedy = f"correct these {what}, then deploy again" if lines else error.remedy
    several = (f"{manifest.file} has {len(lines)} wrong fields:",) if len(lines) > 1 else ()
    found = CommandError("\n".join((*several, *lines)) or error.message, remedy=remedy, code=USAGE)
    found.reason = "" if lines else error.reason
    found.request_id = error.request_id
    return found


def _of_others(path: str) -> str:
    """Says which kind has the field at the top of a file that names another kind; empty where none has."""
    having = [name for name, form in KINDS.items() if path in {each.encode_name for each in msgspec.structs.fields(form)}]
    return f"remove it: only kind {' or '.join(having)} has it" if having else ""


def _kind(manifest: Manifest, kind: object) -> str:
    place = manifest.at("kind")
    if kind is None:
        return f"{place}: the kind is missing"
    near = near_names.question(str(kind), KINDS)
    return f"{place}: there is no kind {kind}" + (f", {near}" if near else "")


def _unknown(value: Any, of: msgspec.inspect.Type, path: str) -> Iterator[tuple[str, list[str]]]:
    """Paths of fields that do not exist, with those that do."""
    of = _chosen(value, of)
    if isinstance(of, msgspec.inspect.StructType) and isinstance(value, dict):
        known: dict[str, msgspec.inspect.Type] = {field.encode_name: field.type for field in of.fields}
        known |= {of.tag_field: msgspec.inspect.StrType()} if of.tag_field else {}
        for name, inner in cast("dict[str, Any]", value).items():
            at = f"{path}.{name}" if path else str(name)
            if name in known:
                yield from _unknown(inner, known[name], at)
            else:
                yield at, sorted(known.keys() - ANSWERS)
    elif isinstance(of, msgspec.inspect.VarTupleType) and isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _unknown(item, of.item_type, f"{path}[{index}]")
    elif isinstance(of, msgspec.inspect.DictType) and isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            yield from _unknown(inner, of.value_type, f"{path}.{name}")


def _chosen(value: Any, of: msgspec.inspect.Type) -> msgspec.inspect.Type:
    """The option of a union that has the shape of the value."""
    if not isinstance(of, msgspec.inspect.UnionType):
        return of
    maps, lists = (msgspec.inspect.StructType, msgspec.inspect.DictType), (msgspec.inspect.VarTupleType,)
    wanted: tuple[type, ...] = maps if isinstance(value, dict) else lists if isinstance(value, list) else ()
    return next((option for option in of.types if isinstance(option, wanted)), of)


def _mistyped(manifest: Manifest, text: str) -> CommandError:
    match = PATH.match(text)
    said, path = (match["message"], match["path"] or "") if match else (text, "")
    path = path.removeprefix(".").replace("[...]", "[0]")
    remedy = _CORRECT
    if missing := MISSING.match(said):
        field = f"{path}.{missing[1]}" if path else missing[1]
        written = EXAMPLES.get(missing[1], f"{missing[1]}: …")
        return CommandError(f"{manifest.at(path)}: {field} is missing: write `{written}`", remedy=remedy, code=USAGE)
    found = TYPES.match(said)
    if found is None:
        return CommandError(
            f"{manifest.at(path)}: {path or 'the file'}: {said[:1].lower()}{said[1:]}", remedy=remedy, code=USAGE
        )
    wanted = " or ".join(WORDS.get(word, word) for word in found["wanted"].split(" | ") if word != "null")
    message = f"expected {wanted}, got {WORDS.get(found['got'], found['got'])}"
    example = _example(path, found["wanted"], _value_at(manifest.data, path))
    message += f": write `{example}`" if example else ""
    return CommandError(f"{manifest.at(path)}: {path or 'the file'}: {message}", remedy=remedy, code=USAGE)


def _example(path: str, wanted: str, value: Any) -> str:
    """The field as it should be, with the value that was given where it fits."""
    name = path.rpartition(".")[2].partition("[")[0]
    if name == "ports" and isinstance(value, str | int) and (number := re.search(r"[0-9]+$", str(value))):
        return f"ports: [{{name: http, port: {number[0]}}}]"
    if name in TEXTS and "array" in wanted and isinstance(value, str | int | float):
        return f"{name}: {json.dumps([str(value)])}"
    return EXAMPLES.get(name, "")


def _value_at(data: Any, path: str) -> Any:
    """The value at a path such as `containers[0].args`; None when it is not there."""
    found: Any = data
    for part in re.findall(r"[^.\[\]]+", path):
        key: int | str = int(part) if part.isdecimal() else part
        try:
            found = found[key]
        except (LookupError, TypeError):
            return None
    return found

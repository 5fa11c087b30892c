"""Checks the fields and types of a manifest against the generated models before anything is sent.

What only the server knows (names that are taken, limits, rights) it says itself; its fields are then pointed at in the file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.manifest.manifest_file import Manifest
from pincompute_sdk.core.errors import InvalidError
from pincompute_sdk.generated import kinds

KINDS: dict[str, type[msgspec.Struct]] = {kind.name: kind.model for kind in kinds.KINDS.values()}
ANSWERS = ("status", "id", "version", "generation", "author", "created", "deleting")  # the server's own fields
PATH = re.compile(r"^(?P<message>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)


def check(manifest: Manifest) -> None:
    """Raises CommandError that names the first wrong field with its line and column."""
    kind = manifest.data.get("kind")
    if kind not in KINDS:
        raise CommandError(_kind(manifest, kind), remedy=f"write `kind: {'` or `kind: '.join(KINDS)}`", code=USAGE)
    for path, known in _unknown(manifest.data, msgspec.inspect.type_info(KINDS[kind]), ""):
        name = path.rpartition(".")[2]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        raise CommandError(f"{manifest.at(path)}: there is no field {path}", remedy=remedy, code=USAGE)
    try:
        msgspec.convert(manifest.data, KINDS[kind])
    except msgspec.ValidationError as error:
        raise _mistyped(manifest, str(error)) from error


def located(manifest: Manifest, error: InvalidError) -> CommandError:
    """The server's refusal, with places in the file."""
    lines = [f"{manifest.at(field.field)}: {field.field}: {field.sentence}" for field in error.fields]
    found = CommandError(lines[0] if lines else error.message, remedy=error.remedy, code=USAGE)
    found.reason = "; ".join(lines[1:]) if len(lines) > 1 else "" if lines else error.reason
    found.request_id = error.request_id
    return found


def _kind(manifest: Manifest, kind: object) -> str:
    place = manifest.at("kind")
    if kind is None:
        return f"{place}: the kind is missing"
    near = difflib.get_close_matches(str(kind), list(KINDS), n=1)
    return f"{place}: there is no kind {kind}" + (f", did you mean {near[0]}?" if near else "")


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
    return CommandError(
        f"{manifest.at(path)}: {path or 'the file'}: {said[:1].lower()}{said[1:]}".replace("`", ""),
        remedy="correct the value; `pin deploy --dry-run` checks again without changing anything",
        code=USAGE,
    )

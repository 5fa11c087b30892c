"""Reads app.yaml with the position of every field, so that every error has a line and a column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

import yaml

from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.core import named_file, yaml_mistakes

NAMES = ("app.yaml", "app.yml")
MOST = 50_000  # fields and items, those that an alias repeats included
DEEPEST = 60  # fields in fields
Place: TypeAlias = tuple[int, int]  # line and column, from 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """`places` by path, as in `containers[0].image`: where the key stands, or the item of a list."""

    file: str
    data: dict[str, Any]
    places: dict[str, Place] = field(default_factory=dict[str, Place])
    options: dict[str, str] = field(default_factory=dict[str, str])  # the option that gave a field its value

    def at(self, path: str) -> str:
        """`app.yaml:7:3`, of the field or the nearest one above it that is in the file; or the option that gave it."""
        while path and path not in self.places and path not in self.options:
            path = path[: max(path.rfind("."), path.rfind("["))] if "." in path or "[" in path else ""
        if path in self.options:
            return self.options[path]
        line, column = self.places.get(path, (1, 1))
        return f"{self.file}:{line}:{column}"


class _Constructor(yaml.constructor.SafeConstructor):
    """Makes data of nodes. A date or a number that does not exist has its place in the error."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return cast("Any", super().construct_object(node, deep))  # pyright: ignore[reportUnknownMemberType]
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, "not a date or a number", node.start_mark) from error


def nearest(start: Path) -> Path:
    """The app.yaml of this folder or of the next one above that has one."""
    for folder in (start, *start.parents):
        for name in NAMES:
            if (folder / name).is_file():
                return folder / name
    remedy = "name one (-f FILE), or write one with `pin init`"
    raise CommandError(f"there is no app.yaml in {start} or above it", remedy=remedy, code=USAGE)


def load(file: Path) -> Manifest:
    try:
        text = named_file.text(file)
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not UTF-8 text", reason=str(error), remedy="save it as UTF-8", code=USAGE) from error
    except OSError as error:
        raise CommandError(
            f"{file} cannot be read", reason=error.strerror or str(error), remedy="check the path", code=USAGE
        ) from error
    return read(text, "stdin" if str(file) == "-" else file.name)


def read(text: str, file: str) -> Manifest:
    node = _only(text, file)
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(file, node, "it holds no fields", "write `kind: App` and what follows; `pin init` shows the form")
    places: dict[str, Place] = {}
    _walk(file, node, "", places, 0)
    try:
        data = cast("dict[str, Any]", _Constructor().construct_document(node))  # pyright: ignore[reportUnknownMemberType]
    except yaml.YAMLError as error:
        raise _malformed(text, file, error) from error
    return Manifest(file, data, places)


def _only(text: str, file: str) -> yaml.Node:
    try:
        composed = cast("Iterator[yaml.Node]", yaml.compose_all(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]
        nodes = [node for node in composed if not _empty(node)]
    except yaml.YAMLError as error:
        raise _malformed(text, file, error) from error
    except RecursionError as error:
        raise CommandError(f"{file} has fields in fields without end", remedy="correct it", code=USAGE) from error
    if not nodes:
        raise CommandError(f"{file} is empty", remedy="`pin init` writes one", code=USAGE)
    if len(nodes) > 1:
        raise _wrong(file, nodes[1], "a second document begins here", "one file holds one app: move it to a file of its own")
    return nodes[0]


def _empty(node: yaml.Node | None) -> bool:
    return node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null")


def _walk(file: str, node: yaml.Node, path: str, places: dict[str, Place], depth: int) -> None:
    """An alias stands for all that it repeats, so a small file can mean more than any machine holds."""
    if len(places) > MOST or depth > DEEPEST:
        raise _wrong(
            file, node, "it holds too many fields, or fields in fields too deep", "write less, and look at its aliases (*)"
        )
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            at = f"{path}[{index}]"
            places[at] = _place(item)
            _walk(file, item, at, places, depth + 1)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            at = f"{path}.{key.value}" if path else str(key.value)
            if at in places:
                line, _ = places[at]
                raise _wrong(file, key, f"{at} is written twice, first in line {line}", "keep one of them")
            places[at] = _place(key)
            _walk(file, value, at, places, depth + 1)


def _place(node: yaml.Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _malformed(text: str, file: str, error: yaml.YAMLError) -> CommandError:
    found = yaml_mistakes.of(text, error)
    return _error(text, file, (found.line, found.column), found.sentence, found.remedy)


def _wrong(file: str, node: yaml.Node, message: str, remedy: str) -> CommandError:
    text: str = node.start_mark.buffer or ""
    return _error(text.rstrip("\0"), file, _place(node), message, remedy)


def _error(text: str, file: str, place: Place, message: str, remedy: str) -> CommandError:
    """The message has the line itself, with a caret at the place."""
    line, column = place
    shown = yaml_mistakes.excerpt(text, line, column)
    return CommandError("\n".join(filter(None, (f"{file}:{line}:{column}: {message}", shown))), remedy=remedy, code=USAGE)

"""Parses one document, JSON or YAML, into data. A syntax error names its line and column.

YAML means what it would mean as JSON: dates stay text, keys are text, and duplicate keys are refused. Limits on values and
depth keep anchors from expanding a small text into a huge document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, cast

import msgspec
import yaml
import yaml.constructor

from pincompute.gateway import problems
from pincompute.gateway.problems import Problem

JSON_TYPES = ("application/json", "application/merge-patch+json")
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
MOST_VALUES = 100_000
DEEPEST = 100

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON writes some characters as two escapes; YAML takes one of them alone
_AT_BYTE = re.compile(r" \(byte ([0-9]+)\)")


def parse(body: bytes, content_type: str) -> dict[str, Any]:
    """The one document in the body. Raises Problem."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("", *JSON_TYPES):
        document = _json(body)
    elif kind in YAML_TYPES:
        document = _yaml(body)
    else:
        raise Problem(
            "unsupported-media-type",
            f"the content type {kind[:80]} is not understood here",
            f"send {' or '.join((JSON_TYPES[0], YAML_TYPES[0]))}",
        )
    if not isinstance(document, dict):
        raise problems.malformed(f"the document must be an object, not {_word(document)}", "write `kind: App` and its fields")
    _check_size(document)
    return cast("dict[str, Any]", document)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.MsgspecError as error:
        text = str(error)
        found = _AT_BYTE.search(text)
        at = int(found[1]) if found else len(body)
        reason = _AT_BYTE.sub("", text).removeprefix("JSON is malformed: ")
        if "truncated" in text:
            reason = "it ends in the middle" if body.strip() else "it is empty"
        raise problems.malformed(f"the JSON cannot be read: {place(body, at)}: {reason}", "correct it there") from None
    except UnicodeDecodeError:  # in a string; where in the body is not said
        at = place(body, _first_invalid_byte(body))
        raise problems.malformed(f"the JSON cannot be read: {at}: it is not UTF-8", "save it as UTF-8") from None


def _first_invalid_byte(body: bytes) -> int:
    try:
        return len(body.decode())
    except UnicodeDecodeError as error:
        return error.start


def place(body: bytes, at: int) -> str:
    """Line and column of a byte, both from 1; columns count characters."""
    before = body[:at]
    line = before.count(b"\n") + 1
    column = len(before.rpartition(b"\n")[2].decode(errors="replace")) + 1
    return f"line {line}, column {column}"


def _yaml(body: bytes) -> Any:
    try:
        documents = _documents(body)
        first = next(documents, None)
        second = next(documents, None)
    except RecursionError:
        raise _too_deep() from None
    except yaml.MarkedYAMLError as error:
        raise problems.malformed(f"the YAML cannot be read: {_marked(error)}", "correct it there") from None
    except (yaml.YAMLError, ValueError) as error:
        reason, _, _ = str(error).partition("\n")
        raise problems.malformed(f"the YAML cannot be read: {reason}", _remedy(error)) from None
    if first is None:
        raise problems.malformed("the YAML cannot be read: it is empty", "write `kind: App` and its fields")
    if second is not None:
        line = second.start_mark.line + 1
        raise problems.malformed(
            f"there is a second document from line {line} on, where one is allowed", "send each document by itself"
        )
    construct = cast("Callable[[yaml.Node], Any]", _Loader(b"").construct_document)  # pyright: ignore[reportUnknownMemberType]
    try:
        return construct(first)
    except yaml.MarkedYAMLError as error:
        raise problems.malformed(f"the YAML cannot be used: {_marked(error)}", "correct it there") from None


def _marked(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{at}{error.problem or error.context}"


def _remedy(error: Exception) -> str:
    if "special characters" in str(error):
        return 'write it as an escape in double quotes, for example "\\x7f"'
    return "save it as UTF-8 text"


def _documents(body: bytes) -> Iterator[yaml.Node]:
    compose = cast("Callable[..., Iterator[yaml.Node]]", yaml.compose_all)  # pyright: ignore[reportUnknownMemberType]
    nodes = compose(body, _Loader)
    return (node for node in nodes if not _is_empty(node))


def _is_empty(node: yaml.Node) -> bool:
    """An empty document, as after a final `---`."""
    return isinstance(node, yaml.ScalarNode) and node.value == "" and node.style is None


class _Loader(yaml.SafeLoader):
    """Loads YAML that JSON can express."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                _refuse(key, 'names of fields must be text: write them in quotes, for example "1"')
            if key.value in seen:
                _refuse(key, f'"{key.value}" stands twice')
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value: Any = super().construct_scalar(node)
        if isinstance(value, str) and _HALF_CHARACTER.search(value):
            _refuse(node, "there is half a character: write the whole one, without escapes")
        return value


def _refuse(node: yaml.Node, problem: str) -> NoReturn:
    raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


_Loader.yaml_implicit_resolvers = {  # dates stay text
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _check_size(document: Any) -> None:
    """Counts values as JSON would write them, so each use of an alias counts."""
    left, waiting = MOST_VALUES, [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        left -= 1
        if left < 0:
            raise Problem("too-large", f"the document has more than {MOST_VALUES} values", "send less at once")
        if depth > DEEPEST:
            raise _too_deep()
        if isinstance(value, dict):
            waiting += [(part, depth + 1) for part in cast("dict[str, Any]", value).values()]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in cast("list[Any]", value)]
        elif isinstance(value, float) and value - value != 0:
            raise problems.malformed("the document has a number that is not finite", "write a number")
        elif isinstance(value, bytes | set):
            raise problems.malformed("the document has a value that JSON does not have", "write text, a number or a list")


def _too_deep() -> Problem:
    return problems.malformed(f"the document is nested deeper than {DEEPEST} levels", "nest it less")


def _word(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case list():
            return "a list"
        case str():
            return "text"
        case bool():
            return "true or false"
        case _:
            return "a number"

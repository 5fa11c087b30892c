"""Parses one document, JSON or YAML, into data. A syntax error names its line and column."""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec
import yaml

from pincompute.gateway import problems
from pincompute.gateway.model import yaml_document
from pincompute.gateway.problems import Problem

JSON_TYPES = ("application/json", "application/merge-patch+json")
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
MOST_VALUES = 20_000  # many times those of the largest template
LARGEST_YAML = 1 << 20  # bytes; `pin` and the SDK send JSON
DEEPEST = 100
LONGEST_TEXT = 1 << 17  # characters; Linux gives no program a longer argument or variable
LONGEST_NAME = 1 << 10  # characters of a name of a field, a label or a variable

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
    if len(body) > LARGEST_YAML:
        raise Problem("too-large", f"the YAML has more than {LARGEST_YAML // 1024} KiB", "send less at once, or send JSON")
    try:
        document = yaml_document.read(body, MOST_VALUES, DEEPEST)
    except yaml_document.TooManyValues:
        raise _too_many() from None
    except (yaml_document.TooDeep, RecursionError):
        raise _too_deep() from None
    except yaml_document.SecondDocument as second:
        raise problems.malformed(
            f"there is a second document from line {second.line} on, where one is allowed", "send each document by itself"
        ) from None
    except yaml_document.YamlProblem as problem:
        raise problems.malformed(f"the YAML cannot be used: {problem}", "correct it there") from None
    except yaml.MarkedYAMLError as error:
        raise problems.malformed(f"the YAML cannot be read: {_marked(error)}", "correct it there") from None
    except (yaml.YAMLError, ValueError) as error:
        reason, _, _ = str(error).partition("\n")
        raise problems.malformed(f"the YAML cannot be read: {reason}", _remedy(error)) from None
    if document is None:
        raise problems.malformed("the YAML cannot be read: it is empty", "write `kind: App` and its fields")
    return document


def _marked(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{at}{error.problem or error.context}"


def _remedy(error: Exception) -> str:
    if "control characters" in str(error):
        return 'write it as an escape in double quotes, for example "\\x7f"'
    return "save it as UTF-8 text"


def _check_size(document: Any) -> None:
    """Counts values as JSON would write them, so each use of an alias counts.

    Judging a text costs time in proportion to its length, and rules come before the limits of some fields.
    """
    left, waiting = MOST_VALUES, [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        left -= 1
        if left < 0:
            raise _too_many()
        if depth > DEEPEST:
            raise _too_deep()
        if isinstance(value, dict):
            named = cast("dict[str, Any]", value)
            _check_length(max(named, key=len, default=""), "name", LONGEST_NAME)
            waiting += [(part, depth + 1) for part in named.values()]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in cast("list[Any]", value)]
        elif isinstance(value, str):
            _check_length(value, "text", LONGEST_TEXT)
        elif isinstance(value, float) and value - value != 0:
            raise problems.malformed("the document has a number that is not finite", "write a number")


def _check_length(text: str, what: str, longest: int) -> None:
    if len(text) > longest:
        said = f"the document has a {what} of {len(text)} characters, {text[:40]!r} and so on; at most {longest} are allowed"
        raise Problem("too-large", said, "write less, or put it into a file with `pin config set`")


def _too_many() -> Problem:
    return Problem("too-large", f"the document has more than {MOST_VALUES} values", "send less at once")


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

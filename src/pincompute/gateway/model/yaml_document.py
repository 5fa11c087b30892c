"""Reads one YAML document as the JSON that it stands for, in time proportional to its length.

Data is built from the events of libyaml's parser, and every limit is judged while they arrive: an alias counts as all that it
stands for before it is used. YAML that JSON cannot express is refused: tags, merge keys, keys that are no text. A plain value
is a number where Kubernetes' YAML has one, so octal modes such as 0644 stay numbers. Dates and base 60 (`22:22`) are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

import yaml

LONGEST_NUMBER = 32  # characters
_TEXT = ("!", "tag:yaml.org,2002:str")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_WORDS = {
    written: value
    for value, words in ((True, ("yes", "true", "on")), (False, ("no", "false", "off")))
    for word in words
    for written in (word, word.capitalize(), word.upper())
}
_NUMBER = re.compile(
    r"""(?P<sign>[-+]?)(?:
        0x(?P<hex>[0-9a-fA-F_]+)
      | 0o?(?P<octal>[0-7_]+)
      | (?P<decimal>0|[1-9][0-9_]*)
      | (?P<float>[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)? | \.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?)
      | (?P<infinite>\.(?:inf|Inf|INF)) | (?P<nan>\.(?:nan|NaN|NAN))
    )""",
    re.VERBOSE,
)
_BASES = {"hex": 16, "octal": 8, "decimal": 10}


class YamlProblem(Exception):  # noqa: N818 - what is wrong with a document, not with this program
    """The document cannot be used. `line` and `column` count from 1."""

    def __init__(self, problem: str, mark: yaml.Mark | None) -> None:
        super().__init__(f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark is not None else problem)


class TooManyValues(Exception):  # noqa: N818
    """The document has more values than allowed."""


class TooDeep(Exception):  # noqa: N818
    """The document is nested deeper than allowed."""


@dataclass(slots=True)
class _Open:
    """A list or an object whose end has not come yet. `key` is the field that gets the next value."""

    value: dict[str, Any] | list[Any]
    anchor: str | None
    before: int  # values in the document before it
    key: str | None = None


@dataclass(slots=True)
class DocumentBuilder:
    """Builds the value of one document. `anchors` has each named value, and how many values it consists of."""

    most: int
    deepest: int
    count: int = 0
    done: bool = False
    result: Any = None
    start: yaml.Mark | None = None
    stack: list[_Open] = field(default_factory=list[_Open])
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict[str, tuple[Any, int]])

    def take(self, event: yaml.Event) -> None:
        self.start = self.start or event.start_mark
        match event:
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                closed = self.stack.pop()
                self._name(closed.anchor, closed.value, self.count - closed.before)
                self._put(closed.value)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.ScalarEvent():
                self._scalar(event)
            case _:
                pass

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if event.tag is not None:
            _refuse("a tag is not allowed here: write the value without one", event)
        if self._awaits_key():
            _refuse_key(event)
        if len(self.stack) >= self.deepest:
            raise TooDeep
        made: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.stack.append(_Open(made, event.anchor, self.count))
        self._counted(1)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        value = _value(event)
        if self._awaits_key():
            self._begin_field(value, event)
            return
        self._counted(1)
        self._name(event.anchor, value, 1)
        self._put(value)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self.anchors:
            _refuse(f"nothing before it is named &{event.anchor}", event)
        if self._awaits_key():
            _refuse_key(event)
        value, size = self.anchors[event.anchor]
        self._counted(size)
        self._put(value)

    def _awaits_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None

    def _begin_field(self, key: Any, event: yaml.ScalarEvent) -> None:
        top = self.stack[-1]
        if not isinstance(key, str):
            _refuse_key(event)
        if key == "<<" and not event.style:
            _refuse("`<<` has no meaning in JSON: write the fields themselves", event)
        if key in top.value:
            _refuse(f'"{key}" stands twice', event)
        top.key = key

    def _counted(self, values: int) -> None:
        self.count += values
        if self.count > self.most:
            raise TooManyValues

    def _name(self, anchor: str | None, value: Any, size: int) -> None:
        if anchor is not None:
            self.anchors[anchor] = value, size

    def _put(self, value: Any) -> None:
        if not self.stack:
            self.result, self.done = value, True
            return
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        else:
            top.value[cast("str", top.key)], top.key = value, None


def read(body: bytes, most: int, deepest: int) -> Any:
    """Returns the value of the one document; None for an empty one.

    Raises YamlProblem, SecondDocument, TooManyValues and TooDeep, and yaml.YAMLError for what is no YAML.
    """
    found: list[DocumentBuilder] = []
    for builder in _documents(body, most, deepest):
        if builder.result is None:
            continue  # empty, as after a final `---`
        if found and builder.start is not None:
            raise SecondDocument(builder.start.line + 1)
        found.append(builder)
    return found[0].result if found else None


class SecondDocument(Exception):  # noqa: N818
    """Another document follows. Its argument is the line where it begins."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def _documents(body: bytes, most: int, deepest: int) -> Iterator[DocumentBuilder]:
    builder = DocumentBuilder(most, deepest)
    parse = cast("Any", yaml.parse)  # pyright: ignore[reportUnknownMemberType]
    for event in parse(body, yaml.CSafeLoader):
        if isinstance(event, yaml.DocumentStartEvent):
            builder = DocumentBuilder(most, deepest)
        elif isinstance(event, yaml.DocumentEndEvent):
            yield builder
        else:
            builder.take(event)


def _value(event: yaml.ScalarEvent) -> Any:
    if event.tag is not None and event.tag not in _TEXT:
        _refuse("a tag is not allowed here: write text in quotes, and numbers without", event)
    text: str = event.value
    if event.tag is not None or event.style:
        return text
    if text in _NULL:
        return None
    return _WORDS[text] if text in _WORDS else _number(text, event)


def _number(text: str, event: yaml.ScalarEvent) -> str | int | float:
    """Returns the number, or the text that is none."""
    found = _NUMBER.fullmatch(text)
    if found is None or not found[found.lastgroup or 0].strip("_"):
        return text
    if len(text) > LONGEST_NUMBER:
        _refuse(f"a number has at most {LONGEST_NUMBER} characters: write text in quotes", event)
    if found["infinite"] or found["nan"]:
        _refuse("the document has a number that is not finite: write a number", event)
    digits = found[found.lastgroup or 0].replace("_", "")
    negative = found["sign"] == "-"
    value = float(digits) if found["float"] else int(digits, _BASES[found.lastgroup or "decimal"])
    return -value if negative else value


def _refuse_key(event: yaml.Event) -> NoReturn:
    _refuse('names of fields must be text: write them in quotes, for example "1"', event)


def _refuse(problem: str, event: yaml.Event) -> NoReturn:
    raise YamlProblem(problem, event.start_mark)

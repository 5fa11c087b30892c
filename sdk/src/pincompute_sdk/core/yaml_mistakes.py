"""Says what is wrong with a YAML file in plain sentences, where the library's parser speaks of tokens and scalars. No I/O.

Most mistakes show only in the line after: a missing colon makes a text of two lines. So each rule looks at the lines around the
place that the parser names, and the first that recognises its mistake says where it is and what to write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import yaml

WIDEST = 100  # characters of a line that are shown
_FIELD = re.compile(r"\s*(?:- +)*(?P<name>[\w./-]+)")
_TOO_CLOSE = re.compile(r"^(?P<before>\s*(?:- +)*)(?P<name>[\w./-]+):(?P<value>[^\s:/].*)$")
_BARE_DASH = re.compile(r"^\s*-[A-Za-z_]")
_LOOK = "look at the indentation, the colons and the quotes of this line and of the one above"
_TEMPLATE = "fill in {{{{ }}}} of a template first, or put the value in quotes"
_CLOSING = {"[": "]", "{": "}"}
_QUOTE = 'put the value in quotes: "…"'


@dataclass(frozen=True, slots=True)
class YamlMistake:
    """What is wrong, where (counted from 1), and what to do."""

    line: int
    column: int
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ParserReport:
    """What the parser says: its problem and context, and the places of both, counted from 0."""

    lines: Sequence[str]
    problem: str
    context: str
    at: tuple[int, int]
    since: tuple[int, int]

    def line(self, number: int) -> str:
        return self.lines[number] if 0 <= number < len(self.lines) else ""

    def above(self, number: int) -> int:
        """The line above that has more than a comment; the first one where none has."""
        return next((each for each in range(number - 1, -1, -1) if self.line(each).split("#")[0].strip()), 0)


def find(text: str) -> YamlMistake:
    """What is wrong with a text that another parser refuses, whose words differ."""
    try:
        list(yaml.compose_all(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    except yaml.YAMLError as error:
        return of(text, error)
    return YamlMistake(1, 1, "this is not YAML", _LOOK)


def of(text: str, error: yaml.YAMLError) -> YamlMistake:
    if isinstance(error, yaml.reader.ReaderError):
        return _character(text, error)
    if not isinstance(error, yaml.MarkedYAMLError):
        return YamlMistake(1, 1, "this is not YAML", _LOOK)
    report = _report(text, error)
    for rule in _RULES:
        if mistake := rule(report):
            return mistake
    return _at(report.at, "YAML cannot be read from here on", _LOOK)


def excerpt(text: str, line: int, column: int) -> str:
    """The line and, below it, a caret at the column. Tabs are visible, and a long line is cut."""
    lines = text.splitlines()
    if not 0 < line <= len(lines):
        return ""
    shown = lines[line - 1].replace("\t", "→")
    begin = max(0, column - WIDEST)
    return f"{line} | {shown[begin : begin + WIDEST]}\n{' ' * len(str(line))} | {' ' * (column - 1 - begin)}^"


def _report(text: str, error: yaml.MarkedYAMLError) -> ParserReport:
    problem, context = error.problem_mark or error.context_mark, error.context_mark or error.problem_mark
    at = (problem.line, problem.column) if problem else (0, 0)
    since = (context.line, context.column) if context else at
    return ParserReport(text.splitlines(), error.problem or "", error.context or "", at, since)


def _at(place: tuple[int, int], sentence: str, remedy: str) -> YamlMistake:
    return YamlMistake(place[0] + 1, place[1] + 1, sentence, remedy)


def _character(text: str, error: yaml.reader.ReaderError) -> YamlMistake:
    before = text[: error.position]
    line, column = before.count("\n"), error.position - (before.rfind("\n") + 1)
    code = ord(error.character) if isinstance(error.character, str) else error.character
    return _at((line, column), f"the control character 0x{code:02x} is in the file", "remove it")


def _tab(report: ParserReport) -> YamlMistake | None:
    line, column = report.at
    text = report.line(line)
    indentation = text[: len(text) - len(text.lstrip())]
    if "\t" in indentation:
        return _at(
            (line, indentation.index("\t")), "this line is indented with a tab", "indent with spaces: YAML allows no tabs"
        )
    if text[column : column + 1] == "\t":
        return _at(report.at, "a tab stands where YAML allows none", "write spaces")
    return None


def _conflict(report: ParserReport) -> YamlMistake | None:
    found = next((number for number, line in enumerate(report.lines) if line.startswith("<<<<<<< ")), None)
    remedy = "keep one of the two sides, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>"
    return None if found is None else _at((found, 0), "a conflict of a merge is left in the file", remedy)


def _open_quote(report: ParserReport) -> YamlMistake | None:
    line, column = report.since
    mark = report.line(line)[column : column + 1]
    if report.context == "while scanning a quoted scalar":
        return _at(report.since, "the quote that begins here is not closed", f"close it with {mark}")
    return None


def _open_bracket(report: ParserReport) -> YamlMistake | None:
    if not report.context.startswith("while parsing a flow ") or not (place := _opened(report)):
        return None
    opened = report.line(place[0])[place[1]]
    sentence = f"the {opened} that begins here is not closed, or a comma is missing in it"
    return _at(place, sentence, f"close it with {_CLOSING[opened]}, and write a comma between two of its parts")


def _opened(report: ParserReport) -> tuple[int, int] | None:
    """The innermost bracket that is open where the parser stops."""
    opened: list[tuple[int, int]] = []
    for number in range(report.at[0] + 1):
        line = report.line(number)
        for column, sign in enumerate(line[: report.at[1]] if number == report.at[0] else line):
            if sign in _CLOSING:
                opened.append((number, column))
            elif opened and sign == _CLOSING[report.line(opened[-1][0])[opened[-1][1]]]:
                opened.pop()
    return opened[-1] if opened else None


def _missing_colon(report: ParserReport) -> YamlMistake | None:
    if report.problem != "could not find expected ':'":
        return None
    return _colon_of(report, report.since[0]) or _at(report.since, "a colon is missing in this line", "write NAME: VALUE")


def _colon_of(report: ParserReport, number: int) -> YamlMistake | None:
    """The mistake of a line that has no colon, or no space behind it."""
    text = report.line(number)
    if close := _TOO_CLOSE.match(text):
        place = (number, close.end("name"))
        return _at(place, "a space is missing behind the colon", f"write `{close['name']}: {_short(close['value'])}`")
    found = _FIELD.match(text)
    if found is None or ": " in text or text.rstrip().endswith(":"):
        return None
    value = text[found.end() :].strip()
    example = f"{found['name']}: {_short(value)}" if value else f"{found['name']}:"
    return _at((number, found.end()), f"a colon is missing behind {found['name']}", f"write `{example}`")


def _second_colon(report: ParserReport) -> YamlMistake | None:
    """A colon where no field may begin: a value with a colon, or a line that the line above has made a part of its value."""
    if report.problem != "mapping values are not allowed here":
        return None
    line, column = report.at
    text, above = report.line(line), report.above(line)
    if ": " in text[:column]:
        name, _, value = text.partition(": ")
        return _at(
            report.at, "a value has a colon and a space in it", f'put the value in quotes: `{name.strip()}: "{_short(value)}"`'
        )
    for number in (line, above):
        if _BARE_DASH.match(report.line(number)):
            begin = report.line(number).index("-")
            wanted = report.line(number).strip()[1:]
            return _at((number, begin), "a space is missing behind the dash", f"write `- {_short(wanted)}`")
    if mistake := _colon_of(report, above):
        return mistake
    if _column(text) > _column(report.line(above)):
        sentence = "this line is indented deeper than the one above, which has a value already"
        return _at((line, _column(text)), sentence, "indent it as far as the fields above it")
    return None


def _behind_quote(report: ParserReport) -> YamlMistake | None:
    line, column = report.at
    before = report.line(line)[:column]
    if report.problem != "expected <block end>, but found '<scalar>'" or not any(mark in before for mark in "\"'"):
        return None
    for number in range(line - 1, report.since[0] - 1, -1):
        for mark in "\"'":
            if report.line(number).count(mark) % 2 and f" {mark}" in report.line(number):
                place = (number, report.line(number).index(f" {mark}") + 1)
                return _at(place, "the quote that begins here is not closed in its line", f"close it with {mark}")
    remedy = 'put the whole value in quotes; where it has quotes of its own, take the other kind around it: "it\'s"'
    return _at(report.at, "more text stands behind the quote that ends here", remedy)


def _stray(report: ParserReport) -> YamlMistake | None:
    line, column = report.at
    found = report.line(line)[column : column + 1]
    if "but found" in report.problem and found in "]}" and found:
        return _at(report.at, f"nothing opens what this {found} closes", f"remove it, or {_QUOTE}")
    return None


def _indentation(report: ParserReport) -> YamlMistake | None:
    equally = "indent all fields of one object, and all items of one list, equally far"
    if report.problem.startswith("expected '<document start>'"):
        return _at(report.at, "this line does not belong to what is above it: it is indented less than the first line", equally)
    if not report.problem.startswith("expected <block end>"):
        return None
    line, column = report.at
    if column == report.since[1] and report.problem.endswith("found '-'"):
        return _at(report.at, "an item of a list stands among fields", "indent it below the field that it belongs to")
    if column == report.since[1] and report.problem.endswith("found '?'"):
        return _at(report.at, "a field stands among the items of a list", "begin the line with `- `, or indent it")
    return _at((line, _column(report.line(line))), "this line is indented as no line above it", equally)


_WORDS: tuple[tuple[str, str, str], ...] = (
    (r"found character '(?P<it>.)' that cannot start any token", "a value cannot begin with {it}", _QUOTE),
    (r"found undefined alias '(?P<it>.*)'", "nothing above is named &{it}", 'if it is a value, put it in quotes: "*{it}"'),
    (r"while scanning an alias", "a value cannot begin with *", _QUOTE),
    (r"while scanning an anchor", "a value cannot begin with &", _QUOTE),
    (r"sequence entries are not allowed", "a list cannot begin behind a field", "begin it in the next line, or write [a, b]"),
    (r"unknown escape character '(?P<it>.)'", "\\{it} means nothing in double quotes", "use single quotes, or \\\\ for a \\"),
    (r"unhashable key", "a list or an object stands where the name of a field must be", _TEMPLATE),
    (r"constructor for the tag 'tag:yaml.org,2002:value'", "a value cannot be = alone", _QUOTE),
    (r"constructor for the tag '(?P<it>.*)'", "{it} means nothing here", "write the value without it, or put all in quotes"),
    (r"for merging", "<< takes fields, such as `<<: *name`", "write the fields themselves"),
    (r"while scanning a block scalar", "nothing may stand behind | or >", "begin the text in the next line, indented"),
    (r"second occurrence", "this anchor is used twice", "give the second one another name"),
    (r"not a date or a number", "this looks like a date or a number, and is none", _QUOTE),
)  # fmt: skip


def _by_words(report: ParserReport) -> YamlMistake | None:
    for pattern, sentence, remedy in _WORDS:
        if found := re.search(pattern, f"{report.context} {report.problem}"):
            it = found.groupdict().get("it", "")
            place = report.since if pattern.startswith("while") else report.at
            return _at(place, sentence.format(it=it), remedy.format(it=it))
    return None


_RULES: tuple[Callable[[ParserReport], YamlMistake | None], ...] = (
    _tab,
    _conflict,
    _open_quote,
    _open_bracket,
    _missing_colon,
    _second_colon,
    _behind_quote,
    _stray,
    _indentation,
    _by_words,
)


def _column(text: str) -> int:
    """Where the first field of the line begins, behind the dashes of lists."""
    return len(text) - len(text.lstrip(" -"))


def _short(text: str) -> str:
    return text.strip() if len(text) <= 40 else f"{text.strip()[:40]}…"

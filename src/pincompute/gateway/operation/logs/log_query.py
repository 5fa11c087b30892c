"""Parses and validates the parameters of a request for logs.

`grep` patterns run on RE2, which needs time in proportion to the line whatever the pattern. Patterns with back-references or
look-around, which nothing matches in bounded time, are refused.
"""

from __future__ import annotations

import posixpath
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import re2
from litestar.params import FromQuery, HeaderParameter, QueryParameter

from pincompute.gateway import parameter_values, problems
from pincompute.gateway.operation.logs import line_format
from pincompute.gateway.operation.logs.line_format import SECOND
from pincompute.gateway.problems import FieldError

_RE2: Any = re2  # has no types
_RE2_SYNTAX = "a regular expression as RE2 takes it, without back-references and look-around"

LONGEST_PATTERN = 1000  # characters
PATTERN_MEMORY = 8 << 20  # bytes one pattern may use


def compile_pattern(text: str) -> Any:
    """Compile a pattern for RE2. Raises Problem for a pattern that it does not take."""
    if len(text) > LONGEST_PATTERN:
        raise problems.invalid(
            FieldError("grep", _RE2_SYNTAX, f"has {len(text)} characters, at most {LONGEST_PATTERN} are taken")
        )
    options = _RE2.Options()
    options.max_mem = PATTERN_MEMORY
    options.log_errors = False
    try:
        return _RE2.compile(text, options)
    except _RE2.error as error:
        why = error.args[0]
        raise problems.invalid(
            FieldError("grep", _RE2_SYNTAX, why.decode(errors="replace") if isinstance(why, bytes) else str(why))
        ) from None


MOST_LINES = 10_000  # of `tail`
MOST_OF_A_TIME = 10**9  # lines


@dataclass(frozen=True, slots=True)
class LogCursor:
    """A place in a merged stream: the time of the last line, and how many lines of that time came before."""

    at: int
    count: int

    def __str__(self) -> str:
        return f"{self.at}.{self.count}"


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The part of a workload's logs that a request asks for; empty means all. `tail` counts lines of all sources, -1 is all.

    `since` is RFC 3339, or seconds before now, which each node counts by its own clock.

    `file` is a path in the container, on one of its ephemeral volumes, instead of what it writes to its console.
    """

    replica: str = ""
    container: str = ""
    since: str | float = ""
    tail: int = -1
    pattern: Any = None  # of RE2, which has no types
    previous: bool = False
    follow: bool = False
    file: str = ""
    after: LogCursor | None = None

    def matches(self, text: str) -> bool:
        return self.pattern is None or self.pattern.search(text) is not None


_Since = Annotated[str, QueryParameter(description="A duration such as 10m, or a time in RFC 3339.")]
_Tail = Annotated[int | None, QueryParameter(description="Only so many of the newest lines, of all replicas together.")]
_Grep = Annotated[str, QueryParameter(description="Only lines that match this regular expression (RE2).")]
_File = Annotated[
    str,
    QueryParameter(description="A file on an emptyDir or generic ephemeral volume of the container, instead of its console."),
]
_After = Annotated[str, HeaderParameter(name="Last-Event-ID", description="Go on after this event of a former stream.")]


def read(
    *,
    after: _After = "",
    replica: FromQuery[str] = "",
    container: FromQuery[str] = "",
    since: _Since = "",
    tail: _Tail = None,
    grep: _Grep = "",
    file: _File = "",
    previous: FromQuery[bool] = False,
    follow: FromQuery[bool] = False,
) -> LogQuery:
    """Parse the parameters. Raises Problem for a wrong one."""
    if follow and previous:
        raise problems.invalid(FieldError("previous", "false beside follow", "a run that has ended cannot be followed"))
    if tail is not None and not 0 <= tail <= MOST_LINES:
        raise problems.invalid(FieldError("tail", f"a number from 0 to {MOST_LINES}", f"is {tail}"))
    cursor = _cursor(after)
    return LogQuery(
        replica=replica,
        container=container,
        since=line_format.rfc3339(cursor.at // SECOND * SECOND) if cursor else _since(since),
        tail=-1 if tail is None or cursor else tail,
        pattern=compile_pattern(grep) if grep else None,
        previous=previous,
        follow=follow,
        file=_file(file),
        after=cursor,
    )


def _since(text: str) -> str | float:
    """Parse a time, or a duration before now."""
    if not text:
        return ""
    ago = parameter_values.span(text)
    if ago is not None:
        return float(ago)
    if parameter_values.instant(text) is not None:
        with suppress(ValueError):  # a time without a zone
            return line_format.rfc3339(line_format.nanoseconds(text))
    expected = "a duration such as 10m or 1h30m, or a time such as 2026-11-21T14:00:00Z"
    raise problems.invalid(FieldError("since", expected, f"{text[:80]!r} is neither a duration nor a time"))


def _cursor(text: str) -> LogCursor | None:
    """Parses a cursor; None for what no stream has said: then the log comes from its beginning."""
    first, _, second = text.partition(".")
    at, count = (
        parameter_values.integer(first, 0, parameter_values.LARGEST),
        parameter_values.integer(second, 0, MOST_OF_A_TIME),
    )
    return None if at is None or count is None else LogCursor(at, count)


def _file(path: str) -> str:
    if not path:
        return ""
    if not path.startswith("/") or posixpath.normpath(path) != path or "\0" in path:
        raise problems.invalid(FieldError("file", "an absolute path without . and ..", f"{path[:200]!r} is not one"))
    return path

"""Writes results in the format that `--output` names: a table for people, or the data itself."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.output import jsonpath, table, terminal
from pincompute_sdk.cli.output.table import TableColumn

T = TypeVar("T")
UNSAFE = frozenset(map(chr, terminal.UNSAFE))
UNICODE_ESCAPES = {code: f"\\u{code:04x}" for code in terminal.UNSAFE if code >= 0x7F}  # below, JSON and YAML escape
JSONPATH = "jsonpath="
FORMATS = ("table", "wide", "json", "yaml", "name")


@dataclass(frozen=True, slots=True)
class ResourceView(Generic[T]):
    """How things of one kind are shown. `kind` is the singular that `-o name` prints before the name."""

    kind: str
    columns: Sequence[TableColumn[T]]
    name: Callable[[T], str]
    nothing: str = "nothing found"


def check(output: str) -> None:
    """Raises CommandError for a format that there is not. Call it before anything is asked of the server."""
    if output not in FORMATS and not output.startswith(JSONPATH):
        choices = ", ".join(FORMATS) + ", jsonpath=…"
        raise CommandError(f"there is no output format {output!r}", remedy=f"choose one of {choices}", code=USAGE)
    if output.startswith(JSONPATH):
        jsonpath.check(output.removeprefix(JSONPATH))


def many(view: ResourceView[T], rows: Sequence[T], output: str) -> None:
    check(output)
    if output in ("table", "wide"):
        table.show(rows, view.columns, wide=output == "wide", nothing=view.nothing)
    elif output == "name":
        for row in rows:
            terminal.out(f"{view.kind}/{view.name(row)}")
    else:
        data({"items": [plain(row) for row in rows]}, output)


def one(view: ResourceView[T], row: T, output: str) -> None:
    """A single thing as data; people get what the command draws instead."""
    if output == "name":
        terminal.out(f"{view.kind}/{view.name(row)}")
    else:
        data(plain(row), output)


def data(value: Any, output: str) -> None:
    """Raises CommandError for what has no name."""
    if output == "name":
        raise CommandError("this has no name to print", remedy="use -o json or jsonpath=…", code=USAGE)
    if output.startswith(JSONPATH):
        for found in jsonpath.find(output.removeprefix(JSONPATH), value):
            text = found if isinstance(found, str) else to_json(found)
            terminal.verbatim((terminal.visible(text) if sys.stdout.isatty() else text) + "\n")
    elif output == "yaml":
        _coloured(to_yaml(value), "yaml")
    else:
        _coloured(to_json(value, indent=2) + "\n", "json")


NO_STRING = re.compile(r"0o[0-7]+|[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|[yYnN]")
"""Strings that a reader of YAML 1.2 takes for a number, or one of 1.1 for a boolean, and that the library would not quote."""


def plain(row: object) -> Any:
    """JSON data of a model; its kind stands first, as in a file."""
    return msgspec.json.decode(msgspec.json.encode(row))


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON in which a terminal finds nothing to obey: what `json` leaves unescaped is escaped too."""
    return json.dumps(value, indent=indent, ensure_ascii=False).translate(UNICODE_ESCAPES)


def to_yaml(value: Any) -> str:
    """YAML that readers of versions 1.1 and 1.2 read alike, and in which a terminal finds nothing to obey."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes strings that some reader takes for another type, and those that have anything to escape."""

    def represent(dumper: Any, text: str) -> Any:
        style = '"' if UNSAFE & set(text) else "'" if NO_STRING.fullmatch(text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    text = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text.translate(UNICODE_ESCAPES)


def _coloured(text: str, language: str) -> None:
    if not terminal.coloured():
        terminal.verbatim(text)
        return
    from rich.syntax import Syntax

    terminal.console().print(Syntax(text.rstrip("\n"), language, theme="ansi_dark", background_color="default", word_wrap=True))

"""`--output`: a table for people, or the data itself."""

from __future__ import annotations

import json
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
FORMATS = ("table", "wide", "json", "yaml", "name")


@dataclass(frozen=True, slots=True)
class ResourceView(Generic[T]):
    """How things of one kind are shown. `kind` is the singular that `-o name` prints before the name."""

    kind: str
    columns: Sequence[TableColumn[T]]
    name: Callable[[T], str]
    nothing: str = "nothing found"


def check(output: str) -> None:
    """Before anything is asked of the server."""
    if output not in FORMATS and not output.startswith("jsonpath="):
        choices = ", ".join(FORMATS) + ", jsonpath=…"
        raise CommandError(f"there is no output format {output!r}", remedy=f"choose one of {choices}", code=USAGE)


def many(view: ResourceView[T], rows: Sequence[T], output: str) -> None:
    check(output)
    if output in ("table", "wide"):
        table.show(rows, view.columns, wide=output == "wide", nothing=view.nothing)
    elif output == "name":
        sys.stdout.writelines(f"{view.kind}/{view.name(row)}\n" for row in rows)
    else:
        data({"items": [plain(row) for row in rows]}, output)


def one(view: ResourceView[T], row: T, output: str) -> None:
    """A single thing as data; people get what the command draws instead."""
    if output == "name":
        sys.stdout.write(f"{view.kind}/{view.name(row)}\n")
    else:
        data(plain(row), output)


def data(value: Any, output: str) -> None:
    """Raises CommandError for what has no name."""
    if output == "name":
        raise CommandError("this has no name to print", remedy="use -o json or jsonpath=…", code=USAGE)
    if output.startswith("jsonpath="):
        for found in jsonpath.find(output.removeprefix("jsonpath="), value):
            sys.stdout.write((found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)) + "\n")
    elif output == "yaml":
        _coloured(to_yaml(value), "yaml")
    else:
        _coloured(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "json")


def plain(row: object) -> Any:
    """JSON data of a model; its kind stands first, as in a file."""
    return msgspec.json.decode(msgspec.json.encode(row))


def to_yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)


def _coloured(text: str, language: str) -> None:
    if not terminal.coloured():
        sys.stdout.write(text)
        return
    from rich.syntax import Syntax

    terminal.console().print(Syntax(text.rstrip("\n"), language, theme="ansi_dark", background_color="default", word_wrap=True))

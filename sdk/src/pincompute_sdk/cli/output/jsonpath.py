"""Evaluates a small JSONPath: fields, indices, slices of everything, as in `{.items[*].name}`. One value a line."""

from __future__ import annotations

import re
from typing import Any, cast

from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE

TOKEN = re.compile(r"\.(?P<field>[\w-]+|\*)|\[(?P<index>-?\d+|\*)\]|\[['\"](?P<quoted>[^'\"]+)['\"]\]")


def find(expression: str, data: Any) -> list[Any]:
    """Every value that the expression leads to; absent ones are none."""
    steps = _steps(expression)
    found = [data]
    for step in steps:
        found = [value for at in found for value in _step(step, at)]
    return found


def check(expression: str) -> None:
    """Raises CommandError for an expression that is not understood."""
    _steps(expression)


def _steps(expression: str) -> list[str | int]:
    text = expression.strip()
    if text.startswith("{") != text.endswith("}"):
        remedy = "write a path such as {.status.state}, and put it in quotes for your shell"
        raise CommandError(f"jsonpath {expression!r} lacks a brace", remedy=remedy, code=USAGE)
    text = text.removeprefix("{").removesuffix("}").strip().removeprefix("$")
    text = text if text.startswith((".", "[")) or not text else f".{text}"
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            remedy = "write a path such as {.status.state} or {.items[*].name}"
            raise CommandError(f"jsonpath {expression!r} is not understood at {text[at:]!r}", remedy=remedy, code=USAGE)
        index = match["index"]
        steps.append(int(index) if index and index != "*" else match["field"] or match["quoted"] or "*")
        at = match.end()
    return steps


def _step(step: str | int, at: Any) -> list[Any]:
    if isinstance(at, dict):
        fields = cast("dict[str, Any]", at)
        return list(fields.values()) if step == "*" else [fields[str(step)]] if str(step) in fields else []
    if isinstance(at, list):
        items = cast("list[Any]", at)
        if step == "*":
            return items
        return [items[step]] if isinstance(step, int) and -len(items) <= step < len(items) else []
    return []

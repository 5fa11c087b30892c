"""docs/commands.md follows the program, and docs/cli.md names every command."""

from __future__ import annotations

import re
import runpy
from typing import Any

from docs_pages import ROOT
from pincompute_sdk.cli import command_table

GENERATED: dict[str, str] = runpy.run_path(str(ROOT / "tools/generate.py"))["reference_pages"]()
REFERENCE: dict[str, Any] = runpy.run_path(str(ROOT / "tools/command_reference.py"))


def test_the_pages_of_reference_follow_the_code():
    stale = [path for path, text in GENERATED.items() if (ROOT / path).read_text("utf-8") != text]
    assert stale == [], "run `make generate`"


def test_the_table_of_the_command_line_names_every_command():
    page = (ROOT / "docs/cli.md").read_text("utf-8")
    rows = [row for row in page.split("## Commands")[1].split("##")[0].splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([^`\s]+)[^`]*`", row.split("|")[1])}
    assert {command.name for command in command_table.every()} - named == set()


def test_every_option_is_said_with_what_it_is_for():
    silent = [line for line in GENERATED["docs/commands.md"].splitlines() if re.fullmatch(r"\| `[^|]*\| [^|]*\| ?\|", line)]
    assert silent == [], "give the parameter a help text"


def test_a_default_is_shown():
    lines = GENERATED["docs/commands.md"].splitlines()
    assert "| `--timeout` | `600` | How long to wait: 90s, 10m, or seconds. |" in lines
    assert "| `NAME` | required | An app, or unit/NAME. |" in lines

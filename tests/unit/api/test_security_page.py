"""docs/security.md claims nothing that no test proves: every test it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pincompute import installation

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| (PL\d|5\.\d)", line)]


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{Path(path).stem}::{name}" for path, name in NAMED])
def test_every_test_that_the_page_names_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_file_that_the_page_names_exists() -> None:
    missing = [path for path in re.findall(r"`(tests/[\w/]+\.py)", PAGE) if not (ROOT / path).exists()]
    assert missing == []


def test_the_page_has_every_check_and_says_of_each_what_proves_it() -> None:
    assert len([row for row in ROWS if row.startswith("| PL")]) == 19
    assert {row.split()[1] for row in ROWS if row.startswith("| 5.")} == {
        *(f"5.1.{number}" for number in range(1, 14)),
        *("5.2.1", "5.2.2", "5.3.1", "5.3.2", "5.4.1", "5.4.2", "5.5.1"),
        *(f"5.6.{number}" for number in range(1, 5)),
    }
    unproved = [row for row in ROWS if "::" not in row and "| not enforced |" not in row]
    assert unproved == []


@pytest.mark.parametrize("role", ["host", "member"])
def test_no_right_of_the_platform_has_a_wildcard(role: installation.Role) -> None:
    roles = [m for m in installation.of(role) if m["kind"] in ("Role", "ClusterRole")]
    assert roles
    for rule in (rule for made in roles for rule in made["rules"]):
        assert "*" not in {*rule["verbs"], *rule.get("resources", ()), *rule.get("apiGroups", ())}, rule

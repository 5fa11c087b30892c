"""Each row of the comparison with a Deployment names a test that exists."""

from __future__ import annotations

import ast
import re

import pytest
from docs_pages import ROOT

PAGE = (ROOT / "docs/deployment-comparison.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| of a", "| scenario"))]


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_the_test_of_a_row_exists(file: str, test: str):
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_row_names_a_test():
    assert [row for row in ROWS if not re.search(r"`tests/[\w/]+\.py::\w+` \|$", row)] == []

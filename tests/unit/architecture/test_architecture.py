"""ARCHITECTURE.md has one line for every module, and no line for a module that does not exist."""

from __future__ import annotations

import re
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
INDEX: dict[str, Any] = runpy.run_path(str(ROOT / "tools/file_index.py"))
PACKAGE = re.compile(r"^#### (\S+)/$", re.MULTILINE)
LINE = re.compile(r"^\| `(\S+\.py)` \| (.+) \|$", re.MULTILINE)


def listed() -> list[str]:
    """The paths that the page lists, as `pincompute/engine/plan.py`; a heading stands for its package."""
    found: list[str] = []
    for package, text in zip(*[iter(PACKAGE.split(PAGE)[1:])] * 2, strict=True):
        found += [f"{package}/{name}" for name, _ in LINE.findall(text)]
    return found


def test_every_module_has_one_line() -> None:
    present = [re.sub(r"^(sdk/)?src/", "", path.as_posix()) for path in INDEX["modules"]()]
    assert sorted(listed()) == sorted(path for path in present if not path.endswith("/__init__.py"))


def test_the_lines_are_those_of_the_docstrings() -> None:
    assert INDEX["page"](PAGE) == PAGE, "the list of files is old: run `make generate`"


def test_each_line_says_what_its_module_is_for() -> None:
    short = [path for path in INDEX["modules"]() if path.name != "__init__.py" and len(INDEX["purpose"](path).split()) < 3]
    assert short == []


def test_every_file_of_tests_has_a_name_of_its_own() -> None:
    """pytest imports a file by its name alone, so of two with one name it collects one, and only where both are collected."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if not path.name.startswith(("__", "conftest")))
    assert [name for name, times in names.items() if times > 1] == []

"""Decisions are pure: nothing that a controller's module says or imports does I/O, reads a clock, takes a chance or logs."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from pincompute.federation import federation_process as federation
from pincompute.operator import operator_process as operator

CONTROLLERS = {c.card.name: c for c in (*federation.CONTROLLERS, *operator.CONTROLLERS)}
MODULES = sorted({c.observe.__module__ for c in CONTROLLERS.values()} | {c.decide.__module__ for c in CONTROLLERS.values()})

PURE = ("pincompute.api", "pincompute.domain", "pincompute.federation", "pincompute.operator")
ENGINE = {  # and beside it, leaves that are not followed
    "pincompute.engine.controller",  # the card
    "pincompute.engine.plan",  # what is decided
    "pincompute.engine.external_inputs",  # what may be asked beyond the caches
    "pincompute.engine.api_refusals",  # what `observe` gets of earlier attempts
    "pincompute.kube.indexer",  # by what caches file and sum
    "pincompute.kube.cache_views",  # what `observe` gets of the world
}
LIBRARIES = {
    *("__future__", "abc", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "enum", "fractions"),
    *("functools", "hashlib", "heapq", "ipaddress", "itertools", "json", "math", "operator", "re", "string", "textwrap"),
    *("typing", "types", "bisect", "binascii", "base64", "msgspec", "importlib", "pathlib", "signal"),
}
CLOCKS = {"now", "utcnow", "today", "uuid1", "uuid4"}
CALLS = {"open", "print", "input", "exec", "eval", "__import__"}


def imports(tree: ast.AST, module: str) -> Iterator[str]:
    """Absolute names of the modules that are imported, submodules included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module is not None
            yield node.module
            yield from (name for alias in node.names if is_module(name := f"{node.module}.{alias.name}"))


def is_module(name: str) -> bool:
    if not name.startswith("pincompute."):
        return False
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    return True


def parsed(module: str) -> ast.Module:
    found = importlib.import_module(module).__file__
    assert found is not None
    return ast.parse(Path(found).read_text("utf-8"), found)


def impurities(tree: ast.AST) -> Iterator[str]:
    """What a pure module does not say, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Await() | ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith():
                yield f"line {node.lineno}: waits"
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCKS:
                yield f"line {node.lineno}: {name}() is a clock or a chance"
            case ast.Call(func=ast.Name(id=name)) if name in CALLS | CLOCKS:
                yield f"line {node.lineno}: {name}() is no decision"
            case ast.Global():
                yield f"line {node.lineno}: changes a global"
            case _:
                continue


def closure(module: str) -> set[str]:
    """The module and all pure ones that it imports, directly or not."""
    found, left = set[str](), [module]
    while left:
        name = left.pop()
        if name in found or name in ENGINE:
            continue
        found.add(name)
        left += [other for other in imports(parsed(name), name) if other.startswith("pincompute.")]
    return found


def test_every_controller_is_looked_at() -> None:
    assert len(CONTROLLERS) >= 8
    assert {
        "pincompute.federation.member.health",
        "pincompute.federation.workload.orphan_collection",
        "pincompute.operator.capacity_controller",
    } <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_what_a_controller_stands_on_does_no_io(name: str) -> None:
    for module in closure(name):
        assert module.startswith(PURE), f"{name} imports {module}, directly or not: decisions stand on {', '.join(PURE)}"
        assert not module.endswith(".process"), f"{name} imports {module}, which does I/O"
        foreign = {other.partition(".")[0] for other in imports(parsed(module), module)} - LIBRARIES - {"pincompute"}
        assert not foreign, f"{module} imports {', '.join(sorted(foreign))}"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_in_it_waits_reads_a_clock_takes_a_chance_or_logs(name: str) -> None:
    found = [f"{module}: {what}" for module in sorted(closure(name)) for what in impurities(parsed(module))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", CONTROLLERS)
def test_decide_takes_what_was_seen_and_nothing_else(name: str) -> None:
    decide = CONTROLLERS[name].decide
    assert not inspect.iscoroutinefunction(decide)
    assert len(inspect.signature(decide).parameters) == 1


IMPURE = {
    "waits": "async def decide(seen):\n    await seen\n",
    "reads a clock": "def decide(seen):\n    return datetime.now(UTC)\n",
    "takes a chance": "def decide(seen):\n    return uuid4()\n",
    "prints": "def decide(seen):\n    print(seen)\n",
    "remembers": "def decide(seen):\n    global last\n    last = seen\n",
}


@pytest.mark.parametrize("case", IMPURE)
def test_this_test_notices_what(case: str) -> None:
    assert list(impurities(ast.parse(IMPURE[case])))

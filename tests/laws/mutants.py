"""Plants deliberate bugs: it copies a controller's module with a line of its source replaced."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from pincompute.engine.controller import Controller
from pincompute.testing.laws import Case


def mutated(module: ModuleType, *changes: tuple[str, str], **names: Any) -> ModuleType:
    """A copy of the module with each first text, which must be there once, replaced by the second; `names` are set in it."""
    source = inspect.getsource(module)
    for old, new in changes:
        if source.count(old) != 1:
            raise LookupError(f"{module.__name__} has {source.count(old)} times, wanted once: {old!r}")
        source = source.replace(old, new)
    copy = ModuleType(f"{module.__name__}_mutant")
    copy.__file__ = module.__file__
    copy.__package__ = module.__package__
    sys.modules[copy.__name__] = copy  # dataclasses look their module up
    exec(compile(source, f"mutant of {module.__file__}", "exec"), vars(copy))
    vars(copy).update(names)
    return copy


@contextmanager
def planted(module: ModuleType, *changes: tuple[str, str]) -> Generator[None]:
    """With the mutant in the module's place wherever the module, or a name of it, has been imported."""
    mutant = mutated(module, *changes)
    twins: dict[int, tuple[Any, Any]] = {id(module): (module, mutant)}
    for name, original in vars(module).items():
        if getattr(original, "__module__", None) == module.__name__ and name in vars(mutant):
            twins[id(original)] = (original, vars(mutant)[name])
    users = [m for name, m in sys.modules.items() if name.startswith("pincompute.") and m is not module]
    planted = [(m, name, *twins[id(value)]) for m in users for name, value in vars(m).items() if id(value) in twins]
    for user, name, _, twin in planted:
        setattr(user, name, twin)
    try:
        yield
    finally:
        for user, name, original, _ in planted:
            setattr(user, name, original)


def controllers_of(module: ModuleType) -> tuple[Controller[Any, Any], ...]:
    found = getattr(module, "CONTROLLERS", None) or getattr(module, "CONTROLLER", None)
    return found if isinstance(found, tuple) else (found,) if found else ()


def infected(case: Case, module: ModuleType) -> Case:
    """The case with the module's controllers in the place of those of the same names."""
    mutants = {controller.card.name: controller for controller in controllers_of(module)}
    processes = tuple(
        dataclasses.replace(p, controllers=tuple(mutants.get(c.card.name, c) for c in p.controllers)) for p in case.processes
    )
    return dataclasses.replace(case, processes=processes)

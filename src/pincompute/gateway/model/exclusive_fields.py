"""Parts of the simple model of which only one may be said: what a check does, what a volume holds, where a value comes from.

Kubernetes would refuse the others only when the replicas are made, long after the request was answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from pincompute.gateway.model.field_mapping import Data, Path, text
from pincompute.gateway.problems import FieldError

_CHECKS = ("http", "tcp", "grpc", "command")
_VOLUMES = ("emptyDir", "config", "secret", "claim")
_SOURCES = ("secret", "config", "field", "resource")


def problems(data: Data) -> list[FieldError]:
    """Of data that has the right shape."""
    found = [*_of(data, "volumes", _VOLUMES)]
    for where in ("containers", "initContainers"):
        for index, container in enumerate(_objects(data.get(where))):
            found += _in_container(container, (where, index))
    return found


def _in_container(container: Data, path: Path) -> Iterator[FieldError]:
    for check in ("health", "liveness", "startup"):
        if check in container:
            yield from _one((*path, check), container[check], _CHECKS)
    env: Any = container.get("env")
    for name, source in cast("Data", env).items() if isinstance(env, dict) else ():
        if isinstance(source, dict):
            yield from _one((*path, "env", name), cast("Data", source), _SOURCES)
    for index, source in enumerate(_objects(container.get("envFrom"))):
        yield from _one((*path, "envFrom", index), source, ("secret", "config"))


def _of(data: Data, name: str, choices: tuple[str, ...]) -> Iterator[FieldError]:
    for index, item in enumerate(_objects(data.get(name))):
        yield from _one((name, index), item, choices)


def _one(path: Path, said: Data, choices: tuple[str, ...]) -> Iterator[FieldError]:
    found = [choice for choice in choices if choice in said]
    if len(found) > 1:
        expected = f"one of {', '.join(choices)}"
        yield FieldError(text(path), expected, f"has {' and '.join(found)}, where only one may be said: remove one")


def _objects(value: Any) -> Iterable[Data]:
    return cast("list[Data]", value) if isinstance(value, list) else ()

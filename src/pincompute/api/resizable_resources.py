"""Separates the resources of containers that change in a running pod from those that do not, by Kubernetes' rules (S-151).

The API server takes other amounts of CPU and memory of containers and native sidecars, in a pod that requests nothing as a
whole, as long as the pod's quality of service stays and no request or limit goes. A limit that comes is taken as well, but
could not go again in place, so an update could not be undone in place: it counts as one that needs new pods. So does an amount
that the environment of a container contains, because a program that runs would go on with the former value.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from pincompute.api import quantity
from pincompute.api.meta import Manifest
from pincompute.api.template_defaults import CONTAINER_LISTS

RESIZABLE = ("cpu", "memory")
PARTS = ("requests", "limits")

Amounts: TypeAlias = Mapping[str, Any]
QualityOfService: TypeAlias = Literal["Guaranteed", "Burstable", "BestEffort"]


def fixed(container: Manifest, in_environment: Container[tuple[str, str, str]]) -> Manifest:
    """Returns the resources of a container without the amounts that change in a running pod; the names of these stay."""
    resources: Manifest = container.get("resources") or {}
    return {
        part: {
            name: None if name in RESIZABLE and (container["name"], part, name) not in in_environment else amount
            for name, amount in amounts.items()
        }
        if part in PARTS
        else amounts
        for part, amounts in resources.items()
    }


def quality_of_service(containers: Iterable[tuple[Amounts, Amounts]]) -> QualityOfService:
    """Returns the class of a pod whose containers, init containers among them, have these requests and limits."""
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    limited = True
    for requested, limit in containers:
        _add(requests, requested)
        limited &= len(_add(limits, limit)) == len(RESIZABLE)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if limited and requests == limits else "Burstable"


def _add(sums: dict[str, int], amounts: Amounts) -> list[str]:
    """Adds the amounts that count, and returns their names; 0 is as good as nothing."""
    found = {name: nanos(str(amounts[name])) for name in RESIZABLE if name in amounts}
    for name, amount in found.items():
        if amount > 0:
            sums[name] = sums.get(name, 0) + amount
    return [name for name, amount in found.items() if amount > 0]


@lru_cache(maxsize=4096)
def nanos(amount: str) -> int:
    """Remembered, because the pods of a cluster have few different amounts."""
    return quantity.parse(amount).nanos


def in_environment(spec: Manifest) -> frozenset[tuple[str, str, str]]:
    """Returns container, `requests` or `limits`, and resource, of all amounts that a variable of some container contains."""
    return frozenset(_in_environment(spec))


def _in_environment(spec: Manifest) -> Iterator[tuple[str, str, str]]:
    for where in CONTAINER_LISTS:
        for container in spec.get(where) or ():
            for variable in container.get("env") or ():
                source: Manifest = variable.get("valueFrom") or {}
                field: Manifest = source.get("resourceFieldRef") or {}
                part, _, name = field.get("resource", "").partition(".")
                if name:
                    yield field.get("containerName") or container["name"], part, name

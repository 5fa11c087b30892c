"""Computes what one pod requests from its node: cpu, memory, storage, devices and extended resources (S-104).

Amounts are integers: cpu in milli-cores, everything else in its own unit (bytes, slots, devices). The slot that a pod takes on
its node counts as a resource too, `pods: 1`, so code that adds or compares requests needs no special case for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

from pincompute.api import quantity, template_hash
from pincompute.api.meta import Manifest

Requests: TypeAlias = Mapping[str, int]
"""Resource name to amount; what is not named is not asked for."""

CPU, MEMORY, STORAGE, PODS = "cpu", "memory", "ephemeral-storage", "pods"

NOTHING: Requests = MappingProxyType({})
SLOT: Requests = MappingProxyType({PODS: 1})


def requests(template: Manifest, defaults: Requests = NOTHING) -> Requests:
    """What one pod of the template asks for. Raises InvalidQuantityError.

    A container asks for the `defaults` of what it does not name, unless that is declared for the pod as a whole.
    """
    spec: Manifest = template.get("spec") or {}
    whole = _effective(spec.get("resources"))
    missing = {name: number for name, number in defaults.items() if name not in whole}
    running: list[Requests] = []
    init: list[tuple[bool, Requests]] = []
    for where, container in template_hash.containers(template):
        wants = {**missing, **amounts(_effective(container.get("resources")))}
        if where == "containers":
            running.append(wants)
        else:
            init.append((template_hash.is_replaceable(where, container), wants))
    return formula(running, init, amounts(whole), amounts(spec.get("overhead") or {}))


def formula(
    containers: Iterable[Requests], init: Iterable[tuple[bool, Requests]], whole: Requests, overhead: Requests
) -> Requests:
    """The scheduler's formula. `init` in start order, each with whether it is a sidecar; `whole` overrides the sum.

    Sidecars run on beside the containers; a plain init container runs alone with the sidecars that started before it.
    """
    running = NOTHING
    for wants in containers:
        running = plus(running, wants)
    sidecars = starting = NOTHING
    for stays, wants in init:
        if stays:
            sidecars = plus(sidecars, wants)
        starting = at_least(starting, sidecars if stays else plus(sidecars, wants))
    needed = plus({**at_least(plus(running, sidecars), starting), **whole}, {**overhead, **SLOT})
    return {name: number for name, number in needed.items() if number}


def amounts(quantities: Mapping[str, Any]) -> Requests:
    """Quantities as integers. Raises InvalidQuantityError."""
    return {name: amount(name, str(value)) for name, value in quantities.items()}


@lru_cache(maxsize=4096)
def amount(name: str, value: str) -> int:
    """Remembered, because the pods of a cluster ask for few different amounts."""
    parsed = quantity.parse(value)
    return parsed.millis if name == CPU else parsed.whole


DEFAULTS: Requests = MappingProxyType(
    {CPU: amount(CPU, template_hash.DEFAULT_CPU), MEMORY: amount(MEMORY, template_hash.DEFAULT_MEMORY)}
)
"""Of a container that names neither request nor limit: what `templates.normalise` writes into it."""


def plus(one: Requests, other: Requests, times: int = 1) -> Requests:
    """The sum, `other` counted so many times."""
    if not one and times == 1:
        return other  # most often, and nobody changes either
    return {**one, **{name: one.get(name, 0) + number * times for name, number in other.items()}}


def at_least(one: Requests, other: Requests) -> Requests:
    """The larger amount of each resource."""
    if not one or not other:
        return one or other
    return {**one, **{name: max(one.get(name, 0), number) for name, number in other.items()}}


def rounded_up(number: int) -> int:
    """Returns the next power of two."""
    return 1 << (number - 1).bit_length() if number else 0


def sentence(wants: Requests) -> str:
    """Returns requests for people: "cpu 500m, memory 128Mi and nvidia.com/gpu 2". The pod's slot goes without saying."""
    return joined(part(name, wants[name]) for name in sorted(wants, key=usual_first) if name != PODS and wants[name])


def joined(found: Iterable[str]) -> str:
    parts = tuple(found)
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:]))) or "no resources"


def usual_first(name: str) -> tuple[int, str]:
    usual = (CPU, MEMORY, STORAGE)
    return (usual.index(name) if name in usual else len(usual), name)


def part(name: str, number: int) -> str:
    """One of the resources: "memory 128Mi"."""
    match name:
        case "cpu":
            return f"cpu {cores(number)}"
        case "memory" | "ephemeral-storage":
            return f"{name} {number >> 20}Mi" if number % (1 << 30) else f"{name} {number >> 30}Gi"
        case _:
            return f"{name} {number}"


def cores(milli: int) -> str:
    """Returns CPU for people and as a quantity: 250m, 1.5, 1998.89."""
    return f"{milli}m" if 0 < milli < 1000 else f"{milli / 1000:.3f}".rstrip("0").rstrip(".")


def _effective(resources: Manifest | None) -> Manifest:
    """Requests, where a limit stands for a request that is absent."""
    given: Manifest = resources or {}
    return {**(given.get("limits") or {}), **(given.get("requests") or {})}

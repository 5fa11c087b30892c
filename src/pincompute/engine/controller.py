"""A controller is a card and two functions: `observe` gathers all that the decision may depend on, `decide` is pure.

plan = controller.decide(controller.observe(key, views, now))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from pincompute.api.meta import Key, Object, Resource
from pincompute.engine.plan import Plan
from pincompute.kube.views import Views

Where: TypeAlias = Literal["host", "members", "local"]
"""The host cluster, every member, or (for an operator) the one cluster it serves."""

Verb: TypeAlias = Literal["create", "apply", "patch", "status", "delete", "evict", "scale"]

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Reads:
    """A kind the controller looks at. `keys` names the controller's keys that news about an object concerns.

    It gets the cluster's name and the object (the last known one, for a deletion).
    """

    where: Where
    resource: Resource[Any]
    keys: Callable[[str, Any], Iterable[Key]]


@dataclass(frozen=True, slots=True)
class Writes:
    """A kind the controller may touch, and how. Anything else is refused at run time and is a broken law."""

    where: Where
    resource: Resource[Any]
    verbs: tuple[Verb, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """Who a controller is: RBAC, its page in the docs and the engine's refusals come from here.

    `name` is `process.file`; it is also the field manager of every apply. `coalesce` (seconds) is the least time between
    two runs for one key that both wrote something; `rest` between any two, for controllers that look at very many objects.
    """

    name: str
    promise: str
    key: str
    reads: tuple[Reads, ...]
    writes: tuple[Writes, ...]
    coalesce: float = 0.0
    rest: float = 0.0


@dataclass(frozen=True, slots=True)
class Controller(Generic[Seen]):
    """`observe` returns None when there is nothing to look after; it raises `Unknown` when it cannot see enough."""

    card: Card
    observe: Callable[[Key, Views, datetime], Seen | None]
    decide: Callable[[Seen], Plan]


def own_key(_cluster: str, obj: Object) -> tuple[Key, ...]:
    """For reads of the controller's own kind."""
    return (obj.key,)

"""A controller is a card and two functions: `observe` gathers all that the decision may depend on, `decide` is pure.

plan = controller.decide(controller.observe(key, views, now))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from pincompute.api.meta import Key, Object, Resource
from pincompute.engine.external_inputs import ExternalInput
from pincompute.engine.plan import Plan, Ref
from pincompute.kube.cache_views import Unknown, Views

Where: TypeAlias = Literal["host", "members", "local"]
"""The host cluster, every member, or (for an operator) the one cluster it serves."""

Verb: TypeAlias = Literal["create", "apply", "patch", "update", "status", "delete", "evict", "scale"]

AnyKey: TypeAlias = tuple[str, ...]
"""What a controller looks at, one at a time: a named tuple of strings, so that keys sort, and print as they say.

`api.meta.Key` names an object. A controller that looks at something else has a type of its own for it, so that a member is
never taken for an app.
"""

Seen = TypeVar("Seen")
K = TypeVar("K", bound=AnyKey)


@dataclass(frozen=True, slots=True)
class ReadAccess(Generic[K]):
    """A kind the controller looks at. `keys` names the controller's keys that news about an object concerns.

    It gets the cluster's name and the object (the last known one, for a deletion). `through` names keys that only the caches
    can tell: those of the objects that refer to this one. A cache that is unknown tells none; its news will.
    """

    where: Where
    resource: Resource[Any]
    keys: Callable[[str, Any], Iterable[K]]
    through: Callable[[str, Any, Views], Iterable[K]] | None = None

    def concerned(self, cluster: str, obj: Any, views: Views) -> Iterator[K]:
        """All keys that news about the object concerns."""
        yield from self.keys(cluster, obj)
        if self.through is not None:
            with suppress(Unknown):
                yield from self.through(cluster, obj, views)


@dataclass(frozen=True, slots=True)
class WriteAccess:
    """A kind the controller may touch, and how. Anything else is refused at run time and is a broken law."""

    where: Where
    resource: Resource[Any]
    verbs: tuple[Verb, ...]


@dataclass(frozen=True, slots=True)
class Card(Generic[K]):
    """Who a controller is: RBAC, its page in the docs and the engine's refusals come from here.

    `inputs` are what it asks beyond the caches, by `views.answer`.

    `name` is `process.file`; it is also the field manager of every apply. `coalesce` (seconds) is the least time between two
    runs for one key that both wrote something, and makes runs that take long rarer; `rest` between any two, for controllers
    that look at very many objects; `pace` is how many runs a second may write, over all keys, for controllers whose mistakes
    would go far (0: any number). `contact` names the keys that wait for a member without having anything there, for when it
    answers or falls silent; by default those of everything on the host.
    """

    name: str
    promise: str
    key: str
    reads: tuple[ReadAccess[K], ...]
    writes: tuple[WriteAccess, ...]
    inputs: tuple[ExternalInput, ...] = ()
    coalesce: float = 0.0
    rest: float = 0.0
    pace: float = 0.0
    contact: Callable[[str, Views], Iterable[K]] | None = None


class ObserveContext(Views, Protocol):
    """What `observe` is given: the views, and what is left alone for a while."""

    def resting(self, ref: Ref, version: str) -> bool:
        """An independent action on this very version of the object has failed lately; it is tried again later."""
        ...


@dataclass(frozen=True, slots=True)
class Controller(Generic[K, Seen]):
    """`observe` returns None when there is nothing to look after; it raises `Unknown` when it cannot see enough."""

    card: Card[K]
    observe: Callable[[K, ObserveContext, datetime], Seen | None]
    decide: Callable[[Seen], Plan]


def own_key(_cluster: str, obj: Object) -> tuple[Key, ...]:
    """For reads of the controller's own kind."""
    return (obj.key,)

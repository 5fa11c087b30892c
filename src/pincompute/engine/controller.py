"""Defines a controller: a card and two functions. `observe` gathers the decision's input, `decide` is pure.

plan = controller.decide(controller.observe(key, views, now))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from pincompute.api.meta import Key, Object, Resource
from pincompute.engine.external_inputs import ExternalInput
from pincompute.engine.plan import Action, Plan, Ref
from pincompute.kube.cache_views import Unknown, Views

Where: TypeAlias = Literal["host", "members", "local"]
"""The host cluster, every member, or (for an operator) the one cluster it serves."""

Verb: TypeAlias = Literal[
    "create",
    "apply",
    "patch",
    "resize",
    "condition",
    "update",
    "status",
    "delete",
    "evict",
    "scale",
    "source",
    "copy",
    "discard",
]
"""`condition` patches one condition of a status that others write. `source` reads the data of one object for a copy of it;
`copy` and `discard` write and remove copies.
"""

AnyKey: TypeAlias = tuple[str, ...]
"""What a controller reconciles, one at a time: a named tuple of strings, so that keys sort, and print as they say.

`api.meta.Key` names an object. A controller that reconciles something else has a type of its own for it, so that a member is
never taken for an app.
"""

Seen = TypeVar("Seen")
K = TypeVar("K", bound=AnyKey)


@dataclass(frozen=True, slots=True)
class ReadAccess(Generic[K]):
    """A kind that the controller reads.

    `keys` returns the controller's keys that an event of an object concerns. It gets the cluster's name and the object, which
    for a deletion is the last known one. `through` returns keys that only the caches know: those of the objects that refer to
    this one. An unknown cache returns none; its own events will. `part` returns all that the controller reads of the object,
    where that is little: a change that leaves it the same concerns no key. Without it every change counts. With a `namespace`
    of the platform the process may read this kind there only; its watch has the same scope.
    """

    where: Where
    resource: Resource[Any]
    keys: Callable[[str, Any], Iterable[K]]
    through: Callable[[str, Any, Views], Iterable[K]] | None = None
    part: Callable[[Any], Any] | None = None
    namespace: str = ""

    def concerned(self, cluster: str, obj: Any, views: Views) -> Iterable[K]:
        """Returns all keys that an event of the object concerns."""
        keys = self.keys(cluster, obj)
        if self.through is None:
            return keys
        found = [*keys]
        with suppress(Unknown):
            found += self.through(cluster, obj, views)
        return found


@dataclass(frozen=True, slots=True)
class WriteAccess:
    """A kind that the controller writes, and how. The engine refuses any other write, and the laws fail on it.

    `in_projects`: the right holds in namespaces of projects only, by a RoleBinding in each of them. `namespace`: it holds in
    this namespace of the platform only.
    """

    where: Where
    resource: Resource[Any]
    verbs: tuple[Verb, ...]
    in_projects: bool = False
    namespace: str = ""


def _any_version(_action: Action) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Card(Generic[K]):
    """A controller's declaration, from which RBAC, its page in the docs and the engine's refusals come.

    `name` is `process.file`; it is also the field manager of every apply. `inputs` are its questions beyond the caches, which
    `views.answer` answers. `coalesce` (seconds) is the least time between two runs for one key that both wrote, and makes runs
    that take long rarer; `rest` between any two runs, for controllers that read very many objects; `pace` is how many runs per
    second may write, over all keys, for controllers whose mistakes would go far (0: any number). `contact` returns the keys
    that wait for a member without having an object there, for when the member answers or becomes unreachable; by default those
    of everything on the host. `version_of` returns which version of the key's object a write is to bring about, so that a
    refusal is not taken for one of another version; empty where a refusal is about any.
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
    version_of: Callable[[Action], str] = _any_version


class ObserveContext(Views, Protocol):
    """What `observe` gets: the views, and which objects are backing off."""

    def resting(self, ref: Ref, version: str) -> bool:
        """Returns whether an independent action on this very version of the object failed lately and is retried later."""
        ...


@dataclass(frozen=True, slots=True)
class Controller(Generic[K, Seen]):
    """A card with its two functions. `observe` returns None when there is nothing to do, and raises `Unknown` when it cannot
    see enough.
    """

    card: Card[K]
    observe: Callable[[K, ObserveContext, datetime], Seen | None]
    decide: Callable[[Seen], Plan]


def own_key(_cluster: str, obj: Object) -> tuple[Key, ...]:
    """Returns the object's own key, for reads of the controller's own kind."""
    return (obj.key,)

"""Defines what a controller may read: caches of one kind in one cluster, and whether they can be trusted.

An unsynced or silent cache is *unknown*, never empty (S-010). `observe` calls `known()` on every view whose emptiness or
silence would matter, and the engine changes nothing when that raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, Protocol, TypeVar

from pincompute.api.meta import Key, Object, Resource

T = TypeVar("T", bound=Object)
V = TypeVar("V")
T_co = TypeVar("T_co", bound=Object, covariant=True)


class Unknown(Exception):  # noqa: N818 - an answer, not an error
    """The caches do not show enough to decide. The engine changes nothing, and reconciles the key again on an event."""


class Question(Generic[V]):
    """A question beyond the caches, answered with a V. It is a frozen dataclass: equal questions are one."""

    __slots__ = ()

    @property
    def server(self) -> str:
        """Returns which server it goes to; empty where one server answers all questions of its type."""
        return ""

    @property
    def can_wait(self) -> bool:
        """Returns whether nothing that could go on now depends on the answer."""
        return False


class View(Protocol[T_co]):
    """Reads one kind in one cluster. Returned objects are shared and immutable."""

    @property
    def synced(self) -> bool:
        """Returns whether the first list is complete."""
        ...

    def get(self, key: Key) -> T_co | None: ...

    def list(self, namespace: str = "") -> Iterable[T_co]: ...

    def by(self, index: str, value: str) -> Iterable[T_co]:
        """Returns objects that the named index files under `value`; indexes are declared with the informer. Those of a
        ranked index come in order, one by one: a caller that needs the first few pays for these alone.
        """
        ...

    def values(self, index: str) -> Iterable[str]:
        """Returns the values under which something is filed now."""
        ...

    def total(self, name: str, group: str, after: int = -1) -> Mapping[str, int]:
        """Returns what the named sum amounts to for the group, of entries at positions beyond `after`."""
        ...


class Views(Protocol):
    """All views of a process."""

    def view(self, cluster: str, resource: Resource[T]) -> View[T]:
        """Returns a view; raises Unknown when that cluster is not connected or that kind has not synced there."""
        ...

    def members(self) -> tuple[str, ...]:
        """Returns the names of the connected member clusters, sorted."""
        ...

    def reachable(self, cluster: str) -> bool:
        """Returns whether the cluster's API server answered within the liveness deadline.

        Raises Unknown while the process has only just started and has not asked it yet.
        """
        ...

    def answer(self, question: Question[V]) -> V:
        """Returns the last answer to an input of the controller's card; raises Unknown while there is none, or it is too
        old.
        """
        ...

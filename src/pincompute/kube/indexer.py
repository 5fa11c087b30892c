"""Keeps indexes, ranked indexes and sums over the objects of a cache. It does no I/O.

An index finds the objects that have something in common, and a sum adds up their amounts. Both follow every event as it comes,
so a decision that needs them costs what changed and never what exists. A process declares them with the cache. Their functions
are pure and must not raise.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast

from pincompute.api.meta import Key, Object

T = TypeVar("T", bound=Object)

ALWAYS = (1 << 63) - 1  # a position after all others: such entries are in every total

Values: TypeAlias = Callable[[T], Iterable[str]]
"""The values under which an object is filed."""


@dataclass(frozen=True, slots=True)
class Ranked(Generic[T]):
    """An index that keeps the objects of a value in the order of their rank; no two objects have the same rank."""

    values: Values[T]
    rank: Callable[[T], Any]


class IndexEntry(NamedTuple):
    """What an object adds to a group: an amount of everything named, at a position such as a time."""

    group: str
    position: int
    amounts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Sum(Generic[T]):
    """Declares what objects add to groups; the sums are kept by position."""

    entries: Callable[[T], Iterable[IndexEntry]]


def _nothing_else(_obj: Any) -> None:
    return None


@dataclass(frozen=True, slots=True)
class OfSpec(Generic[T]):
    """Declares an index or sum of what the spec says, and `also`. A write that changes neither, such as most of those of a
    status, costs nothing.
    """

    index: Values[T] | Sum[T]
    also: Callable[[T], Any] = _nothing_else

    def same(self, old: T, new: T) -> bool:
        """Returns whether both are versions of one object that do not differ in this. Generation 0 says nothing of a spec."""
        one, other = old.metadata, new.metadata
        return one.uid == other.uid and 0 < one.generation == other.generation and self.also(old) == self.also(new)


Index: TypeAlias = Values[T] | Ranked[T] | Sum[T] | OfSpec[T]


class BuiltIndex(Generic[T]):
    """One index or sum of a cache, updated object by object."""

    def change(self, key: Key, old: T | None, new: T | None) -> None:
        """Records that the object of this name is now `new` and was `old`."""
        raise NotImplementedError

    def keys(self, value: str) -> Iterable[Key]:
        """Returns the keys that are filed under the value."""
        raise LookupError(f"{value!r} is looked up in a sum, which files nothing")

    def values(self) -> Iterable[str]:
        """Returns the values under which something is filed."""
        raise LookupError("the values of a sum are asked for, which files nothing")

    def total(self, group: str, after: int) -> Mapping[str, int]:  # noqa: ARG002 - for sums
        """Returns the group's sum of entries beyond the position `after`."""
        raise LookupError(f"the total of {group!r} is asked of an index, which adds nothing up")


def build(index: Index[Any]) -> BuiltIndex[Any]:
    if isinstance(index, OfSpec):
        of_spec = cast("OfSpec[Any]", index)
        return SpecIndex(of_spec, build(of_spec.index))
    if isinstance(index, Ranked):
        return RankedIndex(cast("Ranked[Any]", index))
    return Totals(cast("Sum[Any]", index)) if isinstance(index, Sum) else FiledIndex(index)


class FiledIndex(BuiltIndex[T]):
    """Keeps keys by value, in the order in which they were filed."""

    def __init__(self, of: Values[T]) -> None:
        self._of = of
        self._keys: dict[str, dict[Key, None]] = {}

    def change(self, key: Key, old: T | None, new: T | None) -> None:
        before = tuple(self._of(old)) if old is not None else ()
        after = tuple(self._of(new)) if new is not None else ()
        if before == after:
            return
        for value in before:
            self._keys.get(value, {}).pop(key, None)
            if not self._keys.get(value, True):
                del self._keys[value]
        for value in after:
            self._keys.setdefault(value, {})[key] = None

    def keys(self, value: str) -> Iterable[Key]:
        return self._keys.get(value, ())

    def values(self) -> Iterable[str]:
        return self._keys.keys()


class RankedIndex(BuiltIndex[T]):
    """Keeps keys by value, in the order of rank. It remembers what an object was filed under, because a rank may be
    expensive to compute.
    """

    def __init__(self, of: Ranked[T]) -> None:
        self._of = of
        self._ranks: dict[str, list[tuple[Any, Key]]] = {}
        self._places: dict[Key, tuple[Any, tuple[str, ...]]] = {}

    def change(self, key: Key, old: T | None, new: T | None) -> None:  # noqa: ARG002 - what it was is remembered
        values = tuple(self._of.values(new)) if new is not None else ()
        place = (self._of.rank(new), values) if new is not None and values else None
        before = self._places.get(key)
        if before == place:
            return
        if before is not None:
            self._leave(key, *self._places.pop(key))
        if place is not None:
            self._places[key] = place
            for value in values:
                insort(self._ranks.setdefault(value, []), (place[0], key))

    def keys(self, value: str) -> Iterator[Key]:
        """Yields the keys in order, as long as nothing changes."""
        return (key for _, key in self._ranks.get(value, ()))

    def values(self) -> Iterable[str]:
        return self._ranks.keys()

    def _leave(self, key: Key, rank: Any, values: Iterable[str]) -> None:
        for value in values:
            ranks = self._ranks[value]
            del ranks[bisect_left(ranks, (rank, key))]
            if not ranks:
                del self._ranks[value]


class _SumGroup:
    """Amounts by position, which are read from the end."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.amounts: dict[int, dict[str, int]] = {}

    def add(self, entry: IndexEntry, times: int) -> None:
        there = self.amounts.get(entry.position)
        if there is None:
            there = self.amounts[entry.position] = {}
            insort(self.positions, entry.position)
        _add(there, entry.amounts, times)
        if not there:
            del self.amounts[entry.position]
            del self.positions[bisect_left(self.positions, entry.position)]

    def total(self, after: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for position in reversed(self.positions):
            if position <= after:
                break
            _add(found, self.amounts[position], 1)
        return found


class SpecIndex(BuiltIndex[T]):
    """Passes on the changes that concern an index of the spec."""

    def __init__(self, of: OfSpec[T], index: BuiltIndex[T]) -> None:
        self._of = of
        self._index = index

    def change(self, key: Key, old: T | None, new: T | None) -> None:
        if old is None or new is None or not self._of.same(old, new):
            self._index.change(key, old, new)

    def keys(self, value: str) -> Iterable[Key]:
        return self._index.keys(value)

    def values(self) -> Iterable[str]:
        return self._index.values()

    def total(self, group: str, after: int) -> Mapping[str, int]:
        return self._index.total(group, after)


class Totals(BuiltIndex[T]):
    """Keeps sums by group and position. It remembers what an object added, so that it can subtract it again."""

    def __init__(self, of: Sum[T]) -> None:
        self._of = of
        self._groups: dict[str, _SumGroup] = {}
        self._added: dict[Key, tuple[IndexEntry, ...]] = {}

    def change(self, key: Key, old: T | None, new: T | None) -> None:  # noqa: ARG002 - what it added is remembered
        after = tuple(self._of.entries(new)) if new is not None else ()
        before = self._added.get(key, ())
        if before == after:
            return
        for entry in before:
            self._add(entry, -1)
        for entry in after:
            self._add(entry, 1)
        self._added.pop(key, None)
        if after:
            self._added[key] = after

    def total(self, group: str, after: int) -> Mapping[str, int]:
        found = self._groups.get(group)
        return found.total(after) if found is not None else {}

    def _add(self, entry: IndexEntry, times: int) -> None:
        """Adds amounts and leaves out those that become zero."""
        group = self._groups.setdefault(entry.group, _SumGroup())
        group.add(entry, times)
        if not group.positions:
            del self._groups[entry.group]


def _add(to: dict[str, int], amounts: Mapping[str, int], times: int) -> None:
    """What comes to nothing is left out."""
    for name, amount in amounts.items():
        number = to.get(name, 0) + amount * times
        if number:
            to[name] = number
        else:
            to.pop(name, None)

"""Maps data between two forms, the simple form and the resource's form, by a table of fields.

A codec refuses a value that it could not map back exactly. Values that no field maps stay as they are and are merged back.
So no table loses anything, however incomplete it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, TypeAlias, cast

Json: TypeAlias = Any
Data: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str | int, ...]
"""From the root of a value to a part of it: names in objects, positions in lists."""
Tree: TypeAlias = Mapping[str, "Field | Tree"]

LONGEST_INDEX = 9  # digits of a position in a list
NOTHING: Json = object()  # the rest of a value that was mapped completely; None is a value


class NotExpressibleError(Exception):
    """The simple form cannot express this value; it stays as it is."""


class Codec:
    """Maps one value between the forms. This one leaves the value as it is."""

    def simplify(self, value: Json) -> tuple[Json, Json]:
        """The simple form, and what it leaves out or NOTHING; NotExpressibleError for what `expand` would not give back."""
        return value, NOTHING

    def expand(self, value: Json) -> Json:
        """The resource's form of a simple one that has the right shape."""
        return value

    def locate(self, value: Json, path: Path) -> Path | None:  # noqa: ARG002 - the same place, whatever stands there
        """Where in the simple `value` the part of the resource's form stands that `path` leads to; None: not in it."""
        return path


SAME = Codec()


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a table: the path of a value in the simple form, its path in the resource, and its codec."""

    simple: tuple[str, ...]
    resource: tuple[str, ...]
    codec: Codec = SAME


@dataclass(frozen=True, slots=True)
class Table:
    """The fields of one object, indexed by their paths in both forms."""

    fields: tuple[Field, ...]
    by_resource: Tree = dataclass_field(init=False)
    by_simple: Tree = dataclass_field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_resource", _tree(self.fields, lambda each: each.resource))
        object.__setattr__(self, "by_simple", _tree(self.fields, lambda each: each.simple))

    def __add__(self, other: Table) -> Table:
        return Table(self.fields + other.fields)


def _tree(fields: Iterable[Field], path: Callable[[Field], tuple[str, ...]]) -> Tree:
    tree: dict[str, Any] = {}
    for each in fields:
        put(tree, path(each), each)
    return tree


def table(*fields: Field) -> Table:
    return Table(fields)


def field(simple: str, resource: str, codec: Codec = SAME) -> Field:
    """Paths have dots between names; a last name with dots follows a slash: `limits/nvidia.com/gpu`."""
    return Field(_names(simple), _names(resource), codec)


def _names(path: str) -> tuple[str, ...]:
    names, _, last = path.partition("/")
    return (*names.split("."), *((last,) if last else ()))


def simplify(table: Table, value: Data) -> tuple[Data, Data]:
    """The simple form of an object, and the rest that the table does not map."""
    simple: Data = {}
    return simple, _divide(table.by_resource, value, simple)


def _divide(tree: Tree, value: Data, simple: Data) -> Data:
    """Adds the mapped values to `simple` and returns the rest."""
    rest: Data = {}
    for name, part in value.items():
        mapped, left = tree.get(name), part
        if isinstance(mapped, Field):
            left = _put_simple(mapped, part, simple)
        elif mapped is not None and isinstance(part, dict) and part:
            left = _divide(mapped, cast("Data", part), simple) or NOTHING
        if left is not NOTHING:
            rest[name] = left
    return rest


def _put_simple(mapped: Field, part: Json, simple: Data) -> Json:
    try:
        made, left = mapped.codec.simplify(part)
    except NotExpressibleError:
        return part
    put(simple, mapped.simple, made)
    return left


def expand(table: Table, simple: Data) -> Data:
    """The resource's form of the fields that the table maps."""
    made: Data = {}
    _expand(table.by_simple, simple, made)
    return made


def _expand(tree: Tree, simple: Data, made: Data) -> None:
    for name, part in simple.items():
        mapped = tree.get(name)
        if isinstance(mapped, Field):
            put(made, mapped.resource, mapped.codec.expand(part))
        elif mapped is not None and isinstance(part, dict):
            _expand(mapped, cast("Data", part), made)


def locate(table: Table, simple: Data, path: Path) -> Path | None:
    """The path in `simple` of the value at `path` of the resource; None when the table does not map it."""
    for each in table.fields:
        depth = len(each.resource)
        if path[:depth] == each.resource:
            inside = each.codec.locate(at(simple, each.simple), path[depth:])
            return None if inside is None else (*each.simple, *inside)
    below = [each.simple for each in table.fields if each.resource[: len(path)] == path]
    return _common(below) or (below[0] if below and path else None)


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The longest path that all begin with."""
    if not paths:
        return ()
    shortest = min(paths, key=len)
    agreed = (n for n, name in enumerate(shortest) if any(path[n] != name for path in paths))
    return shortest[: next(agreed, len(shortest))]


def at(value: Json, path: Iterable[str]) -> Json:
    """The value at the path, or NOTHING."""
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return NOTHING
        value = cast("Data", value)[name]
    return value


def put(value: Data, path: tuple[str, ...], part: Json) -> None:
    for name in path[:-1]:
        value = value.setdefault(name, {})
    value[path[-1]] = part


def without(value: Data, path: tuple[str, ...]) -> Data:
    """A copy without what stands at the path, and without the objects that leaves empty."""
    if at(value, path) is NOTHING:
        return value
    name, below = path[0], path[1:]
    left: Data = without(value[name], below) if below else {}
    others = {key: part for key, part in value.items() if key != name}
    return {**others, name: left} if left else others


def merge(value: Data, more: Data, path: Path = ()) -> tuple[Data, list[Path]]:
    """`value` merged with `more`, and the paths at which both have a value and differ.

    Objects are merged; lists of named entries are merged by name. `more` wins where both differ.
    """
    merged, clashes = dict(value), list[Path]()
    for name, part in more.items():
        merged[name], found = _merged(merged.get(name, NOTHING), part, (*path, name))
        clashes += found
    return merged, clashes


def _merged(value: Json, more: Json, path: Path) -> tuple[Json, list[Path]]:
    if value is NOTHING:
        return more, []
    if isinstance(value, dict) and isinstance(more, dict):
        return merge(cast("Data", value), cast("Data", more), path)
    if named(value) and named(more):
        return _merged_lists(cast("list[Data]", value), cast("list[Data]", more), path)
    return more, [] if value == more else [path]


def _merged_lists(value: list[Data], more: list[Data], path: Path) -> tuple[list[Data], list[Path]]:
    merged, clashes = {item["name"]: item for item in value}, list[Path]()
    for index, item in enumerate(more):
        merged[item["name"]], found = merge(merged.get(item["name"], {}), item, (*path, index))
        clashes += found
    return list(merged.values()), clashes


def named(items: Json) -> bool:
    """Tells whether this is a list of objects with unique names."""
    if not isinstance(items, list):
        return False
    names = [cast("Data", item).get("name") if isinstance(item, dict) else None for item in cast("list[Json]", items)]
    return all(isinstance(name, str) for name in names) and len(set(map(str, names))) == len(names)


def parts(path: str) -> Path:
    """`spec.containers[0].limits[cpu]` as names and positions."""
    return tuple(_parts(path))


def _parts(path: str) -> Iterator[str | int]:
    for piece in path.replace("[", "\0[").replace("].", "]\0").split("\0"):
        if piece.startswith("["):
            inner = piece.strip("[]")
            yield int(inner) if inner.isascii() and inner.isdigit() and len(inner) <= LONGEST_INDEX else inner
        else:
            yield from (name for name in piece.split(".") if name)


def text(path: Path) -> str:
    """The path as text; names that are not identifiers stand in brackets."""
    made = ""
    for part in path:
        if isinstance(part, int) or not part.isidentifier():
            made += f"[{part}]"
        else:
            made += f".{part}" if made else part
    return made

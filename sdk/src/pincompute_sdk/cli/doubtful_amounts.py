"""Finds amounts in a change that are legal and hardly ever meant, such as `memory: 32`, which is 32 bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pincompute_sdk.generated.models import Change

MOST_CPUS = 100  # of one container
LEAST_BYTES = 1 << 20
MOST_BYTES = 1 << 44
MOST_REPLICAS = 1000  # of a new app
FACTOR = 100  # of the present replicas
BYTES = frozenset({"memory", "ephemeral-storage", "storage", "size", "sizeLimit"})
_DECIMAL = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
UNITS = _DECIMAL | {f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", start=1)}
_QUANTITY = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)(?:[eE](?P<power>[+-]?\d{1,3}))?(?P<unit>[a-zA-Z]{0,2})")
_NO_GRACE = re.compile(r"(?:0+[hms])+")


def of_changes(changes: Sequence[Change]) -> tuple[str, ...]:
    """A sentence for each amount that a change brings."""
    return tuple(doubt for change in changes for doubt in _of(change.field, change.before, change.after))


def of_bytes(amounts: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each amount that is less than a mebibyte: many projects together may have very much."""
    small = {name: value for name, value in amounts.items() if (_number(value) or MOST_BYTES) < MOST_BYTES}
    return tuple(doubt for name, value in small.items() if (doubt := _bytes(name, value)))


def of_replicas(before: int | None, after: int) -> str:
    """`replicas: 100000 is more than 100 times the 3 of now`; empty for a usual count. `before` is None for a new app."""
    if before is None:
        return f"replicas: {after} are many for a new app" if after > MOST_REPLICAS else ""
    if after > FACTOR and not before:
        return f"replicas: {after} are many where none run now"
    if before and after > FACTOR * before:
        return f"replicas: {after} are more than {FACTOR} times the {before} of now"
    return ""


def _of(field: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(after, dict):
        known = cast("dict[str, Any]", before) if isinstance(before, dict) else {}
        for name, value in cast("dict[str, Any]", after).items():
            yield from _of(f"{field}.{name}", known.get(name), value)
    elif isinstance(after, list):
        for index, value in enumerate(cast("list[Any]", after)):
            named = cast("dict[str, Any]", value).get("name", index) if isinstance(value, dict) else index
            yield from _of(f"{field}.{named}", None, value)
    elif after is not None and (doubt := _about(field, before, after)):
        yield doubt


def _about(field: str, before: Any, after: Any) -> str:
    name = field.rpartition(".")[2]
    if field == "replicas" and isinstance(after, int):
        return of_replicas(before if isinstance(before, int) else None, after)
    if name == "terminationGracePeriod":
        return f"{field}: {after} ends replicas at once, without time to finish" if _NO_GRACE.fullmatch(str(after)) else ""
    place = field.split(".")
    if "resources" not in place[:-1] and place[0] != "volumes":
        return ""
    if name == "cpu":
        return _cpu(field, after)
    return _bytes(field, after) if name in BYTES else ""


def _cpu(field: str, value: Any) -> str:
    cpus = _number(value)
    if cpus is None or cpus < MOST_CPUS:
        return ""
    meant = f"; {value}m is {cpus / 1000:g} of a CPU" if str(value).isdigit() else ""
    return f"{field}: {value} means {cpus:g} whole CPUs{meant}"


def _bytes(field: str, value: Any) -> str:
    count = _number(value)
    if count is None or count == 0 or LEAST_BYTES <= count < MOST_BYTES:
        return ""
    if count >= MOST_BYTES:
        return f"{field}: {value} is {count / 2**40:g} TiB"
    digits = re.match(r"[\d.]+", str(value))
    meant = f"; {digits[0]}Mi are mebibytes" if digits else ""
    return f"{field}: {value} is {count:g} {'byte' if count == 1 else 'bytes'}{meant}"


def _number(value: Any) -> float | None:
    found = _QUANTITY.fullmatch(str(value))
    if found is None or found["unit"] not in UNITS:
        return None
    return float(found["number"]) * 10.0 ** int(found["power"] or 0) * UNITS[found["unit"]]

"""Names zones in sentences. Users know zones, not clusters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from pincompute.api.workloads import Rejection

_PLURAL = {"has": "have", "is": "are", "does": "do"}


def zones(found: Collection[str]) -> str:
    """Returns `zone a`, or `zones a, b and c`."""
    word = "zone" if len(found) == 1 else "zones"
    return f"{word} {joined(sorted(found))}"


def joined(words: Collection[str]) -> str:
    """Returns `a`, `a and b`, or `a, b and c`."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def unreachable(zone: str) -> str:
    """Returns that one of the zone's clusters does not answer, or that all do not: users cannot tell which."""
    return f"zone {zone} does not answer, at least in part"


def about(rejections: Iterable[Rejection]) -> Iterator[str]:
    """Yields a sentence for each reason, with the zones of all clusters that have it: `zones a and b have no room`."""
    same: dict[str, set[str]] = {}
    for rejection in rejections:
        message = rejection.message.removeprefix(f"{rejection.cluster} ")  # which a former version wrote in front
        same.setdefault(message, set()).add(rejection.zone or rejection.cluster)
    return (_about(found, message) for message, found in same.items())


def _about(found: set[str], message: str) -> str:
    verb, space, rest = message.partition(" ")
    return f"{zones(found)} {_PLURAL.get(verb, verb) if len(found) > 1 else verb}{space}{rest}"

"""What an API server answered to our own writes: for a moment as good a proof of what it has as asking it again.

A decision that was written a moment ago is confirmed by the answer to that write, so acting on it costs no further request.
After a restart nothing is remembered, and a view that is old for longer than the moment is still found out (F5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pincompute.api.meta import Key, Object, Resource
from pincompute.kube.clock import Clock

FRESH = 1.0  # seconds

_Place: TypeAlias = tuple[Resource[Any], Key]


@dataclass(slots=True)
class Answers:
    """The latest answer for each object, forgotten when it is no longer fresh."""

    clock: Clock
    _given: dict[_Place, tuple[float, Object]] = field(default_factory=dict[_Place, tuple[float, Object]])

    def note(self, resource: Resource[Any], obj: Object) -> None:
        now, place = self.clock.monotonic(), (resource, obj.key)
        self._given.pop(place, None)
        self._given[place] = (now, obj)
        while (first := next(iter(self._given))) != place and self._given[first][0] <= now - FRESH:
            del self._given[first]

    def forget(self, resource: Resource[Any], key: Key) -> None:
        self._given.pop((resource, key), None)

    def fresh(self, resource: Resource[Any], key: Key) -> Object | None:
        """What the API server had no longer ago than the moment; None when that is not known."""
        at, obj = self._given.get((resource, key), (float("-inf"), None))
        return obj if at > self.clock.monotonic() - FRESH else None

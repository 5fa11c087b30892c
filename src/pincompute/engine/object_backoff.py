"""Backs off single objects of a key whose action failed, so that the key's other objects go on.

A plan of independent actions (`Plan.independent`) decides for many objects at once, such as all workloads of a pool. A failure
for one of them means nothing for the others, so the engine backs off the object and not the key. `observe` asks its context
whether an object is backing off and leaves it out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pincompute.api.meta import Object
from pincompute.engine.plan import Ref
from pincompute.engine.work_queue import RetryDelays

T = TypeVar("T", bound=Object)

REMEMBERED = 50_000  # objects; of those that are gone nobody tells


@dataclass(frozen=True, slots=True)
class _Rest:
    """How long an object backs off. `version` is its resource version: once it has changed, the backoff ends."""

    version: str
    until: float
    failures: int


class ObjectBackoff:
    """The backoff of single objects. It is not thread-safe: it belongs to one event loop. `clock` is monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._rests: dict[Ref, _Rest] = {}

    def __len__(self) -> int:
        return len(self._rests)

    def failed(self, ref: Ref, version: str, backoff: RetryDelays, at_least: float = 0.0) -> float:
        """Backs the object off and returns for how many seconds."""
        before = self._rests.pop(ref, None)
        failures = before.failures if before is not None else 0
        if len(self._rests) >= REMEMBERED:
            del self._rests[next(iter(self._rests))]
        delay = max(at_least, backoff.delay(failures, self._rng))
        self._rests[ref] = _Rest(version, self._clock() + delay, failures + 1)
        return delay

    def succeeded(self, ref: Ref) -> None:
        self._rests.pop(ref, None)

    def resting(self, ref: Ref, version: str) -> bool:
        rest = self._rests.get(ref)
        return rest is not None and rest.version == version and self._clock() < rest.until

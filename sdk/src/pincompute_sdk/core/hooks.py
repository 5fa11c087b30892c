"""Defines hooks that receive every attempt of a call. Logging and metrics are always on; callers may add hooks of their own."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

LOG = logging.getLogger("pincompute_sdk")
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds, upper bounds


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a call. `result` is the status, or the kind of trouble when there was no answer."""

    method: str
    route: str
    result: str
    seconds: float
    number: int  # 1 for the first attempt
    request_id: str
    pause: float | None  # seconds until the next attempt; None when this was the last


Hook: TypeAlias = Callable[[Attempt], None]


def log(attempt: Attempt) -> None:
    facts = (attempt.method, attempt.route, attempt.result, attempt.seconds * 1000, attempt.number, attempt.request_id or "-")
    if attempt.pause is None:
        LOG.debug("%s %s: %s in %.1f ms, attempt %d, request %s", *facts)
        return
    LOG.info("%s %s: %s in %.1f ms, attempt %d, request %s; trying again in %.2f s", *facts, attempt.pause)


@dataclass(slots=True)
class ClientMetrics:
    """Counts since the client was made; `attempts` by (method, route, result), `seconds` by (method, route, upper bound)."""

    attempts: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])
    retries: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    seconds: Counter[tuple[str, str, float]] = field(default_factory=Counter[tuple[str, str, float]])

    def __call__(self, attempt: Attempt) -> None:
        self.attempts[attempt.method, attempt.route, attempt.result] += 1
        bound = next((bound for bound in BUCKETS if attempt.seconds <= bound), float("inf"))
        self.seconds[attempt.method, attempt.route, bound] += 1
        if attempt.pause is not None:
            self.retries[attempt.method, attempt.route] += 1

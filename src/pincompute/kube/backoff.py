"""Computes waits after failures: exponential with full jitter, a cap, and a reset after calm (S-320)."""

from __future__ import annotations

from dataclasses import dataclass, field

from pincompute.kube.clock import SYSTEM, Clock


@dataclass(frozen=True, slots=True)
class BackoffLimits:
    """Limits in seconds: the first wait is at most `base`, no wait is longer than `cap`, and `calm` without a failure starts
    over.
    """

    base: float = 0.1
    cap: float = 30.0
    calm: float = 60.0


@dataclass(slots=True)
class Backoff:
    """The backoff of one loop; list and watch of an informer share one."""

    pace: BackoffLimits = BackoffLimits()
    clock: Clock = SYSTEM
    failures: int = 0
    _last: float = field(default=float("-inf"), init=False)

    def next(self, at_least: float = 0.0) -> float:
        """Counts a failure and returns the seconds to wait, never less than the server's Retry-After."""
        now = self.clock.monotonic()
        if now - self._last > self.pace.calm:
            self.failures = 0
        ceiling = min(self.pace.cap, self.pace.base * 2 ** min(self.failures, 32))
        wait = max(at_least, ceiling * self.clock.random())
        self.failures += 1
        self._last = now + wait
        return wait

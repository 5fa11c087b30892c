"""A circuit breaker per cluster: after some transport failures in a row, calls fail at once.

Only silence counts as failure. Any HTTP answer, even an error, shows that the API server is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pincompute.kube.clock import SYSTEM, Clock


@dataclass(slots=True)
class CircuitBreaker:
    """Closed, it lets calls pass. Open, it refuses them, except one probe in every `cooldown` seconds."""

    threshold: int = 3
    cooldown: float = 2.0
    clock: Clock = SYSTEM
    failures: int = 0
    _probe_at: float = field(default=0.0, init=False)

    @property
    def open(self) -> bool:
        return self.failures >= self.threshold

    def admit(self) -> bool:
        """Returns whether a call may go out now. While open, the first to ask after the cool-down becomes the probe."""
        if not self.open:
            return True
        now = self.clock.monotonic()
        if now < self._probe_at:
            return False
        self._probe_at = now + self.cooldown
        return True

    def answered(self) -> None:
        self.failures = 0

    def silent(self) -> None:
        self.failures += 1
        if self.open:
            self._probe_at = self.clock.monotonic() + self.cooldown

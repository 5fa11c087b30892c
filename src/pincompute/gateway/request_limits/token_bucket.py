"""Limits a rate by a token bucket: so much a second on average, so much at once. Pure: it neither waits nor reads a clock.

A refusal takes nothing, so a caller who waits as long as the answer says is served.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """Full at first. `rate` is in tokens a second, `burst` how many can be saved up."""

    rate: float
    burst: float
    tokens: float
    at: float

    @classmethod
    def full(cls, rate: float, burst: float, now: float) -> TokenBucket:
        return cls(rate, burst, burst, now)

    def wait(self, cost: float, now: float) -> float:
        """Seconds until `cost` can be paid; 0 when it can be now. What costs more than a full bucket waits for a full one."""
        self.fill(now)
        needed = min(self.burst, cost)
        return 0.0 if self.tokens >= needed else (needed - self.tokens) / self.rate

    def take(self, cost: float) -> None:
        """Takes tokens, at the time of the last `wait` or `fill`. It leaves a debt when the cost is more than a full bucket."""
        self.tokens -= cost

    def fill(self, now: float) -> None:
        """Fills the bucket to what has been saved up until now."""
        if now > self.at:
            saved = self.tokens + (now - self.at) * self.rate
            self.tokens = min(self.burst, saved)
            self.at = now

    def idle(self, now: float) -> bool:
        """Full: forgetting it changes nothing."""
        self.fill(now)
        return self.tokens >= self.burst

"""Limits the rate of requests by a token bucket: so many per second, and a burst. First come, first served."""

from __future__ import annotations

from dataclasses import dataclass, field

from pincompute.kube.clock import SYSTEM, Clock


@dataclass(slots=True)
class RateLimiter:
    """Holds `rate` tokens a second, at most `burst` saved up. Tokens may be owed: that is the queue."""

    rate: float
    burst: float
    clock: Clock = SYSTEM
    _tokens: float = field(default=0.0, init=False)
    _at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._tokens = self.burst
        self._at = self.clock.monotonic()

    def reserve(self) -> float:
        """Takes a token and returns the seconds until it may be spent."""
        now = self.clock.monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate) - 1
        self._at = now
        return max(0.0, -self._tokens / self.rate)

    def give_back(self) -> None:
        """Returns the last token unspent."""
        self._tokens += 1

    async def take(self, patience: float) -> bool:
        """Waits for a token; returns False, at once, when that would take more than `patience` seconds."""
        wait = self.reserve()
        if wait > patience:
            self.give_back()
            return False
        if not wait:
            return True
        try:
            await self.clock.sleep(wait)
        except BaseException:
            self.give_back()
            raise
        return True

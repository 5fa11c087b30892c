"""How often a password may be tried: five times at once, then each failure doubles the wait. The time is handed in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

FREE = 5  # failures without a wait
LONGEST = 60.0  # seconds
FORGET = 900.0  # seconds after the last failure
REMEMBERED = 10_000


@dataclass(slots=True)
class _LoginFailures:
    count: int
    at: float


class LoginThrottle:
    """By user name and by address, whoever is tried and whoever tries."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _LoginFailures] = OrderedDict()

    def wait(self, keys: tuple[str, ...], now: float) -> float:
        """Seconds until the next try is looked at; 0 when now."""
        return max((self._wait(key, now) for key in keys), default=0.0)

    def failed(self, keys: tuple[str, ...], now: float) -> None:
        for key in keys:
            known = self._failures.pop(key, None)
            count = known.count if known is not None and now - known.at < FORGET else 0
            self._failures[key] = _LoginFailures(count + 1, now)
        while len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            self._failures.pop(key, None)

    def _wait(self, key: str, now: float) -> float:
        known = self._failures.get(key)
        if known is None or known.count < FREE or now - known.at >= FORGET:
            return 0.0
        return max(0.0, known.at + min(LONGEST, 2.0 ** (known.count - FREE)) - now)

"""Decides whether a call is tried again, and after how long. The decision is pure (S-260).

Only what is safe is repeated: calls whose repetition changes nothing (GET, PUT, DELETE, a POST with an idempotency key), and
any call that surely was not carried out (refused connection, 429). Waits grow with full jitter up to a cap and never past the
budget; a `Retry-After` that does not fit into the budget ends the attempts at once. A server that has answered before and is
gone gets more attempts, because it will be back; one that never answered may have another address.
"""

from __future__ import annotations

from dataclasses import dataclass

from pincompute_sdk.core.http_messages import HttpRequest, HttpResponse, NoResponse, Outcome

REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
PASSING = frozenset({429, 502, 503, 504})  # answers of a server that may do better in a moment


@dataclass(frozen=True, slots=True)
class Policy:
    attempts: int = 11  # while a server that was reached before is gone
    few: int = 6  # attempts otherwise, if that is less
    first: float = 0.2  # seconds; doubles with each attempt
    cap: float = 8.0  # seconds, the longest single wait
    budget: float = 30.0  # seconds of waiting for one call, all attempts together


@dataclass(slots=True)
class RetryBudget:
    """Retries of all calls of one client together: at most a fifth of its calls, so that an outage is not multiplied."""

    tokens: float = 10.0
    most: float = 10.0
    earned: float = 0.2  # by each call

    def earn(self) -> None:
        self.tokens = min(self.most, self.tokens + self.earned)

    def spend(self) -> bool:
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(frozen=True, slots=True)
class RetryState:
    """What was tried so far: how often, how many seconds were spent waiting, and whether the server was ever reached."""

    attempts: int
    waited: float
    reached: bool = False


def pause(policy: Policy, request: HttpRequest, outcome: Outcome, tried: RetryState, chance: float) -> float | None:
    """Seconds until the next attempt, or None for no further one; `chance` is in [0, 1)."""
    gone = isinstance(outcome, NoResponse) and tried.reached
    most = policy.attempts if gone else min(policy.attempts, policy.few)
    if tried.attempts >= most or not _passing(outcome) or not _safe(request, outcome):
        return None
    longest = min(policy.cap, policy.first * 2 ** (tried.attempts - 1))
    asked = outcome.retry_after if isinstance(outcome, HttpResponse) else None
    wait = asked + chance * policy.first if asked is not None else chance * longest
    return wait if tried.waited + wait <= policy.budget else None


def _passing(outcome: Outcome) -> bool:
    if isinstance(outcome, NoResponse):
        return outcome.passing
    return outcome.status in PASSING


def _safe(request: HttpRequest, outcome: Outcome) -> bool:
    if request.method in REPEATABLE or "Idempotency-Key" in request.headers:
        return True
    if isinstance(outcome, NoResponse):
        return outcome.unsent
    return outcome.status == 429

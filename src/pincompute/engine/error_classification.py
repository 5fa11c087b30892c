"""What became of a look at a key, and the one place that says what every error means.

Conflict: what was read is old, look again soon. Transient: nobody's fault, back off. Blocked: a disruption budget says not
now, ask again in a while. Refused: somebody must change something, report it and try again far later. Bug: ours, degraded.
Unknown: not an error, wait for news.
"""

from __future__ import annotations

from enum import StrEnum

from pincompute.engine.bulkhead import BulkheadFull
from pincompute.kube import api_errors
from pincompute.kube.cache_views import Unknown


class Outcome(StrEnum):
    SETTLED = "settled"  # nothing to do, or the look's plan was carried out
    ACTED = "acted"
    UNKNOWN = "unknown"
    FENCED = "fenced"  # the lease is gone: somebody else may be writing
    CONFLICT = "conflict"
    TRANSIENT = "transient"
    BLOCKED = "blocked"  # a disruption budget does not allow an eviction now: an ordinary answer
    REFUSED = "refused"
    BUG = "bug"


class StaleView(Exception):  # noqa: N818 - an answer, not an error
    """The API server does not show what the plan was decided from."""


class Fenced(Exception):  # noqa: N818 - an answer, not an error
    """The lease is not held, so nothing was written."""


class ForeignError(Exception):
    """An object of the wanted name exists and is not ours (S-002)."""


class UndeclaredAccessError(Exception):
    """A plan touches what its controller's card does not name, or in a way that no plan may."""


def classify(error: Exception) -> Outcome:
    """What an error that came out of an action means; anything unforeseen is a bug."""
    match error:
        case StaleView() | api_errors.Conflict():
            return Outcome.CONFLICT
        case Unknown():
            return Outcome.UNKNOWN
        case Fenced():
            return Outcome.FENCED
        case ForeignError():
            return Outcome.REFUSED
        case TimeoutError() | BulkheadFull() | api_errors.Unreachable():
            return Outcome.TRANSIENT
        case api_errors.Refused():
            return _of_refusal(error)
        case _:
            return Outcome.BUG


def _of_refusal(error: api_errors.Refused) -> Outcome:
    match error:
        case api_errors.Blocked():
            return Outcome.BLOCKED
        case api_errors.Unavailable() | api_errors.TooManyRequests() | api_errors.Gone() | api_errors.Unauthorized():
            return Outcome.TRANSIENT
        case api_errors.NotFound():
            return Outcome.TRANSIENT  # the namespace or the CRD is not there yet
        case api_errors.Forbidden() if any(cause.reason == "NamespaceTerminating" for cause in error.causes):
            return Outcome.TRANSIENT
        case _:
            return Outcome.REFUSED


URGENCY = (Outcome.BUG, Outcome.FENCED, Outcome.TRANSIENT, Outcome.CONFLICT, Outcome.UNKNOWN, Outcome.BLOCKED, Outcome.REFUSED)
"""Of several actions that failed together, the first of these decides when to look again."""


GOES_ON = frozenset({Outcome.ACTED, Outcome.BLOCKED})
"""After a stage that came to one of these the next stage follows."""


def of_stage(outcomes: list[Outcome]) -> Outcome:
    """The outcome of actions that ran at the same time."""
    return next((outcome for outcome in URGENCY if outcome in outcomes), Outcome.ACTED)

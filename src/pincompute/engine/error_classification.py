"""Defines the outcomes of a reconciliation, and is the one place that decides what every error means.

Conflict: the view was stale, so the engine retries soon. Transient: nobody's fault, so it backs off. Blocked: a disruption
budget does not allow the eviction now, so it retries in a while. Refused: somebody must change something, so it reports that
and retries far later. Bug: the controller's fault, which degrades the key. Unknown: no error, so it waits for an event.
"""

from __future__ import annotations

from enum import StrEnum

from pincompute.engine.bulkhead import BulkheadFull
from pincompute.kube import api_errors
from pincompute.kube.cache_views import Unknown


class Outcome(StrEnum):
    SETTLED = "settled"  # nothing to do, or the plan was executed
    ACTED = "acted"
    UNKNOWN = "unknown"
    FENCED = "fenced"  # the lease is gone: somebody else may be writing
    CONFLICT = "conflict"
    TRANSIENT = "transient"
    BLOCKED = "blocked"  # a disruption budget does not allow an eviction now: an ordinary answer
    REFUSED = "refused"
    BUG = "bug"


class StaleView(Exception):  # noqa: N818 - an answer, not an error
    """The API server does not hold what the plan was decided from."""


class Fenced(Exception):  # noqa: N818 - an answer, not an error
    """The lease is not held, so nothing was written."""


class ForeignError(Exception):
    """An object of the wanted name exists and is not ours (S-002)."""


class UndeclaredAccessError(Exception):
    """A plan touches something that its controller's card does not declare, or in a way that no plan may."""


def classify(error: Exception) -> Outcome:
    """Returns what an action's error means; anything unforeseen is a bug."""
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
"""Of several actions that failed together, the first of these decides when to reconcile again."""


GOES_ON = frozenset({Outcome.ACTED, Outcome.BLOCKED})
"""After a stage that came to one of these the next stage follows."""


def of_stage(outcomes: list[Outcome]) -> Outcome:
    """Returns the outcome of actions that ran at the same time."""
    return next((outcome for outcome in URGENCY if outcome in outcomes), Outcome.ACTED)

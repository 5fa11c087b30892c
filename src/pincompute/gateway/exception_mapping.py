"""Maps an exception that ended a request to the problem that its caller gets."""

from __future__ import annotations

import logging
from typing import Any

from pincompute.gateway import problems
from pincompute.gateway.middleware import request_id
from pincompute.gateway.problems import Problem
from pincompute.kube import api_errors
from pincompute.kube.cache_views import Unknown

log = logging.getLogger(__name__)


def problem_for(error: Exception, scope: Any) -> Problem:
    """An unforeseen exception goes into the log, and the caller gets the request id to find it by."""
    match error:
        case Problem():
            return error
        case api_errors.KubeError():
            return of_kube(error)
        case Unknown():
            return problems.unavailable(str(error))
        case _:
            identity = request_id(scope)
            log.error("request failed", exc_info=error, extra={"request_id": identity, "path": scope["path"]})
            detail = "the gateway failed; its log has the details under this request id"
            return Problem("internal", detail, f"report the request id {identity}")


def of_kube(error: api_errors.KubeError) -> Problem:
    """What the host's API server refused is the caller's to mend; that it does not answer is not."""
    match error:
        case api_errors.NotFound():
            return problems.not_found("object of that name")
        case api_errors.AlreadyExists():
            return problems.already_exists("an object of that name")
        case api_errors.Conflict():
            return problems.conflict("the object was changed by somebody else in the meantime")
        case api_errors.Invalid():
            fields = tuple(problems.FieldError(c.field, c.reason, c.message) for c in error.causes)
            return problems.invalid(*(fields or (problems.FieldError("", "", str(error)),)))
        case api_errors.Refused():
            return problems.forbidden(error.status.message, "change the input so that the region's rules allow it")
        case _:
            return problems.unavailable(f"the region's host does not answer: {error}")

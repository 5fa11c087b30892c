"""The errors of the in-memory API server: the classes that the client raises, with the texts of a real API server."""

from __future__ import annotations

from typing import Any

from pincompute.api.meta import Key, Resource
from pincompute.kube import errors
from pincompute.kube.errors import Cause


class Details(errors.Details, frozen=True, rename="camel", omit_defaults=True):
    """With the object that the error is about, as on the wire."""

    name: str = ""
    group: str = ""
    kind: str = ""


_REASONS: dict[int, tuple[str, type[errors.Refused]]] = {
    400: ("BadRequest", errors.Refused),
    401: ("Unauthorized", errors.Unauthorized),
    403: ("Forbidden", errors.Forbidden),
    404: ("NotFound", errors.NotFound),
    405: ("MethodNotAllowed", errors.Refused),
    406: ("NotAcceptable", errors.Refused),
    409: ("Conflict", errors.Conflict),
    410: ("Expired", errors.Gone),
    413: ("RequestEntityTooLarge", errors.Refused),
    415: ("UnsupportedMediaType", errors.Refused),
    422: ("Invalid", errors.Invalid),
    429: ("TooManyRequests", errors.TooManyRequests),
    500: ("InternalError", errors.Unavailable),
    503: ("ServiceUnavailable", errors.Unavailable),
    504: ("Timeout", errors.Unavailable),
}


def refuse(
    code: int, message: str, resource: Resource[Any] | None = None, name: str = "", causes: tuple[Cause, ...] = ()
) -> errors.Refused:
    """The error for an HTTP code. Validation errors name the kind, all others the plural, as the API server does."""
    reason, error = _REASONS[code]
    details = None
    if resource is not None:
        kind = resource.kind if code == 422 else resource.plural
        details = Details(name=name, group=resource.group, kind=kind, causes=causes)
    elif causes:
        details = Details(causes=causes)
    return _error(error, code, reason, message, details, resource, name)


def _error(
    error: type[errors.Refused],
    code: int,
    reason: str,
    message: str,
    details: Details | None,
    resource: Resource[Any] | None,
    name: str,
) -> errors.Refused:
    status = errors.Status("Failure", code, reason, message, details)
    return error(errors.Request("memory", "request", f"{resource or ''}/{name}"), status)


def bad_request(message: str) -> errors.Refused:
    return refuse(400, message)


def not_found(resource: Resource[Any], name: str) -> errors.Refused:
    return refuse(404, f'{resource} "{name}" not found', resource, name)


def already_exists(resource: Resource[Any], name: str) -> errors.Refused:
    details = Details(name=name, group=resource.group, kind=resource.plural)
    text = f'{resource} "{name}" already exists'
    return _error(errors.AlreadyExists, 409, "AlreadyExists", text, details, resource, name)


def conflict(resource: Resource[Any], key: Key, why: str) -> errors.Refused:
    return refuse(409, f'Operation cannot be fulfilled on {resource} "{key.name}": {why}', resource, key.name)


def invalid(resource: Resource[Any], name: str, causes: tuple[Cause, ...]) -> errors.Refused:
    """Every violation at once; one stands alone, several in brackets."""
    listed = [f"{cause.field}: {cause.message}" for cause in causes]
    text = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    title = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return refuse(422, f'{title} "{name}" is invalid: {text}', resource, name, causes)


def gone(message: str) -> errors.Refused:
    return refuse(410, message)

"""Makes the errors of the in-memory API server: the client's classes with the texts of a real API server."""

from __future__ import annotations

from typing import Any

from pincompute.api.meta import Key, Resource
from pincompute.kube import api_errors
from pincompute.kube.api_errors import StatusCause


class RefusalDetails(api_errors.StatusDetails, frozen=True, rename="camel", omit_defaults=True):
    """With the object that the error is about, as on the wire."""

    name: str = ""
    group: str = ""
    kind: str = ""


_REASONS: dict[int, tuple[str, type[api_errors.Refused]]] = {
    400: ("BadRequest", api_errors.Refused),
    401: ("Unauthorized", api_errors.Unauthorized),
    403: ("Forbidden", api_errors.Forbidden),
    404: ("NotFound", api_errors.NotFound),
    405: ("MethodNotAllowed", api_errors.Refused),
    406: ("NotAcceptable", api_errors.Refused),
    409: ("Conflict", api_errors.Conflict),
    410: ("Expired", api_errors.Gone),
    413: ("RequestEntityTooLarge", api_errors.Refused),
    415: ("UnsupportedMediaType", api_errors.Refused),
    422: ("Invalid", api_errors.Invalid),
    429: ("TooManyRequests", api_errors.TooManyRequests),
    500: ("InternalError", api_errors.Unavailable),
    503: ("ServiceUnavailable", api_errors.Unavailable),
    504: ("Timeout", api_errors.Unavailable),
}


def refuse(
    code: int, message: str, resource: Resource[Any] | None = None, name: str = "", causes: tuple[StatusCause, ...] = ()
) -> api_errors.Refused:
    """The error for an HTTP code. Validation errors name the kind, all others the plural, as the API server does."""
    reason, error = _REASONS[code]
    details = None
    if resource is not None:
        kind = resource.kind if code == 422 else resource.plural
        details = RefusalDetails(name=name, group=resource.group, kind=kind, causes=causes)
    elif causes:
        details = RefusalDetails(causes=causes)
    return _error(error, code, reason, message, details, resource, name)


def _error(
    error: type[api_errors.Refused],
    code: int,
    reason: str,
    message: str,
    details: RefusalDetails | None,
    resource: Resource[Any] | None,
    name: str,
) -> api_errors.Refused:
    status = api_errors.ApiStatus("Failure", code, reason, message, details)
    return error(api_errors.RequestInfo("memory", "request", f"{resource or ''}/{name}"), status)


def bad_request(message: str) -> api_errors.Refused:
    return refuse(400, message)


def not_found(resource: Resource[Any], name: str) -> api_errors.Refused:
    return refuse(404, f'{resource} "{name}" not found', resource, name)


def already_exists(resource: Resource[Any], name: str) -> api_errors.Refused:
    details = RefusalDetails(name=name, group=resource.group, kind=resource.plural)
    text = f'{resource} "{name}" already exists'
    return _error(api_errors.AlreadyExists, 409, "AlreadyExists", text, details, resource, name)


def conflict(resource: Resource[Any], key: Key, why: str) -> api_errors.Refused:
    return refuse(409, f'Operation cannot be fulfilled on {resource} "{key.name}": {why}', resource, key.name)


def invalid(resource: Resource[Any], name: str, causes: tuple[StatusCause, ...]) -> api_errors.Refused:
    """Every violation at once; one stands alone, several in brackets."""
    listed = [f"{cause.field}: {cause.message}" for cause in causes]
    text = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    title = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return refuse(422, f'{title} "{name}" is invalid: {text}', resource, name, causes)


def gone(message: str) -> api_errors.Refused:
    return refuse(410, message)

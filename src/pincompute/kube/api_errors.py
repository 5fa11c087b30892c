"""Defines the errors between us and an API server, as one tree that callers match on.

KubeError
├── Unreachable          no answer: connect failure, time-out, broken stream, breaker open
└── Refused              the API server answered, but not with success
    ├── Unauthorized     401
    ├── Forbidden        403
    ├── NotFound         404
    ├── Conflict         409, also a failed precondition
    │   └── AlreadyExists
    ├── Gone             410, or Expired: the version or page token is too old; list again
    ├── Invalid          422, with the fields and their causes
    ├── TooManyRequests  429
    ├── Blocked          429 to an eviction: a disruption budget does not allow it now
    └── Unavailable      5xx, or 403 of an admission plugin that is not ready yet
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """Where an error comes from: the cluster's name, the HTTP verb and the path."""

    cluster: str
    verb: str
    path: str

    def __str__(self) -> str:
        return f"{self.verb} {self.path} on {self.cluster}"


class StatusCause(msgspec.Struct, frozen=True):
    """One field that an API server did not accept, and why."""

    field: str = ""
    message: str = ""
    reason: str = ""


class StatusDetails(msgspec.Struct, frozen=True, rename="camel"):
    causes: tuple[StatusCause, ...] = ()
    retry_after_seconds: float = 0
    uid: str = ""


class ApiStatus(msgspec.Struct, frozen=True):
    """The API server's answer when it returns no object."""

    status: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    details: StatusDetails | None = None


class KubeError(Exception):
    """An operation on a cluster did not succeed."""

    def __init__(self, request: RequestInfo, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{request}: {message}")
        self.request = request
        self.message = message
        self.retry_after = retry_after  # seconds the server asked us to wait; 0 when it did not


class Unreachable(KubeError):  # noqa: N818 - reads as a sentence where it is caught
    """The API server did not answer. Whether a write took effect is not known, unless `sent` is false."""

    def __init__(self, request: RequestInfo, message: str, *, sent: bool = True) -> None:
        super().__init__(request, message)
        self.sent = sent


class Refused(KubeError):  # noqa: N818 - reads as a sentence where it is caught
    """The API server answered with an error."""

    def __init__(self, request: RequestInfo, status: ApiStatus, retry_after: float = 0.0) -> None:
        super().__init__(request, status.message or status.reason or f"HTTP status {status.code}", retry_after)
        self.status = status

    @property
    def causes(self) -> tuple[StatusCause, ...]:
        """Returns the fields that were not accepted."""
        return _causes(self.status)


class Unauthorized(Refused):
    """The credentials are missing, expired or wrong."""


class Forbidden(Refused):
    """The credentials are good, but RBAC, quota or an admission policy does not allow this."""


class NotFound(Refused):
    """No such object, or the API server does not serve the kind."""


class Conflict(Refused):
    """The object is not what the write was decided from, so the caller reconciles again."""


class AlreadyExists(Conflict):
    """An object of that name exists."""


class Gone(Refused):
    """The server does not have this resourceVersion or page token, no longer or not yet, so the caller lists again."""


class Invalid(Refused):
    """The server does not accept some fields; `causes` names them."""


class TooManyRequests(Refused):
    """The API server sheds load."""


class Blocked(Refused):
    """A PodDisruptionBudget does not allow the eviction now. That is no sign of load, so nothing is repeated at once."""


class Unavailable(Refused):
    """The API server, or etcd behind it, failed or is not ready yet."""


_BY_CODE: dict[int, type[Refused]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}

_decoder = msgspec.json.Decoder(ApiStatus)


_TOO_LARGE = ("etcdserver: request is too large", "trying to send message larger than max")
"""How the API server reports an object that etcd does not take, with a status of 500."""


def refusal(request: RequestInfo, code: int, body: bytes, retry_after: str = "") -> Refused:
    """Returns the error for an HTTP answer that is not a success; proxies answer in HTML, so the body may be anything."""
    try:
        status = _decoder.decode(body)
    except msgspec.MsgspecError:
        status = ApiStatus(code=code, message=_text(body))
    return of_status(request, status, code, retry_after)


def _text(body: bytes) -> str:
    """Returns the failed checks of a failed health check, and the beginning of anything else."""
    text = body.decode(errors="replace")
    failed = [line for line in text.splitlines() if line.startswith("[-]")]
    return "; ".join(failed) or text[:200].strip()


_NOT_READY = (
    "status unknown for quota",  # a new ResourceQuota: the cluster's controllers have not counted for it yet
    "not yet ready to handle request",  # an admission plugin of a server that started a moment ago has not read its policies
)
"""How admission refuses, with a status of 403, what it cannot judge yet."""


def of_status(request: RequestInfo, status: ApiStatus, code: int, retry_after: str = "") -> Refused:
    """Returns the error for a Status object, from a response or from the middle of a watch."""
    seconds = float(retry_after) if retry_after.isdigit() else 0.0
    if status.details is not None:
        seconds = max(seconds, status.details.retry_after_seconds)
    return _kind(status, code)(request, status, seconds)


def _causes(status: ApiStatus) -> tuple[StatusCause, ...]:
    return status.details.causes if status.details is not None else ()


def _kind(status: ApiStatus, code: int) -> type[Refused]:
    if status.reason == "AlreadyExists":
        return AlreadyExists
    if status.reason == "Expired" or any(cause.reason == "ResourceVersionTooLarge" for cause in _causes(status)):
        return Gone
    if code == 429 and any(cause.reason == "DisruptionBudget" for cause in _causes(status)):
        return Blocked
    if code >= 500 and any(text in status.message for text in _TOO_LARGE):
        return Refused  # sending it again would not help
    if code >= 500:
        return Unavailable
    if code == 403 and any(text in status.message for text in _NOT_READY):
        return Unavailable
    return _BY_CODE.get(code, Refused)

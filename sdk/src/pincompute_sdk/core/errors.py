"""Defines the errors of calls: one class for each stable problem code.

Each error says what happened, why, and what to do; `request_id` finds it in the server's audit. A code this SDK does not know
(a newer server) is still a `Problem`, so `except Problem` is always enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec


class PinError(Exception):
    """Base of all errors of this SDK."""

    code: ClassVar[str] = ""

    def __init__(self, message: str, *, reason: str = "", remedy: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = "" if _ends_with(message, reason) else reason
        self.remedy = remedy
        self.request_id = request_id

    def __str__(self) -> str:
        return ". ".join(part.rstrip(".") for part in (self.message, self.reason, self.remedy) if part)


def _ends_with(message: str, reason: str) -> bool:
    """Returns whether the message says the reason already: some servers name the cause alone, and others in a sentence."""
    return bool(reason) and message.rstrip(".").casefold().endswith(reason.rstrip(".").casefold())


class ConfigurationError(PinError):
    """The client itself is not set up: no server, an unreadable configuration file, an unknown context."""


class UnreachableError(PinError):
    """No answer: wrong address, nothing listens, the network is away, or it took too long."""


class UntrustedServerError(PinError):
    """The server's certificate is not trusted, is for another name, or is not valid by this machine's clock."""


class ClockError(PinError):
    """A token was refused, and this machine's clock differs so much from the server's that one of them is wrong."""


class VersionError(PinError):
    """Server and SDK are too far apart to understand each other."""


class StreamEndedError(PinError):
    """A stream ended and could not be resumed."""


class FieldError(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One field of a request that was refused; `field` is a path like `containers[0].image`."""

    field: str = ""
    expected: str = ""
    message: str = ""

    @property
    def sentence(self) -> str:
        """What is wrong, with what was expected unless it says so itself."""
        return f"{self.message} (expected {self.expected})" if self.expected not in self.message else self.message


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An RFC 9457 problem as it comes over the wire."""

    type: str = ""
    code: str = ""
    title: str = ""
    status: int = 0
    detail: str = ""
    remedy: str = ""
    errors: tuple[FieldError, ...] = ()
    request_id: str = ""


class Problem(PinError):  # noqa: N818 - the word of RFC 9457
    """The server refused a call and said why."""

    def __init__(self, document: ProblemDocument, *, retry_after: float | None = None) -> None:
        super().__init__(
            document.title or "the server refused the call",
            reason=document.detail,
            remedy=document.remedy,
            request_id=document.request_id,
        )
        self.document = document
        self.status = document.status
        self.fields: Sequence[FieldError] = document.errors
        self.retry_after = retry_after


class InvalidError(Problem):
    """A field or parameter is missing, unknown or out of range; `fields` names each."""

    code = "invalid"


class MalformedError(InvalidError):
    """The request could not be read at all."""

    code = "malformed"


class UnauthenticatedError(Problem):
    """Who calls is not known: no token, or one that is not valid."""

    code = "unauthenticated"


class TokenExpiredError(UnauthenticatedError):
    """The token was valid and is not any more."""

    code = "token-expired"


class ForbiddenError(Problem):
    """The caller is known and may not do this."""

    code = "forbidden"


class LimitExceededError(ForbiddenError):
    """A limit of the project does not allow it; `fields` says how much is left of each."""

    code = "limit-exceeded"


class NotFoundError(Problem):
    """It does not exist, or the caller may not see it; the server does not tell which."""

    code = "not-found"


class NoSuchFileError(NotFoundError):
    """The container has no such file or folder."""

    code = "no-such-file"


class UnknownCallError(Problem, VersionError):
    """The server has no such call: it is of another version than this SDK."""

    code = "unknown-path"


class GoneError(NotFoundError):
    """It was there once and is not kept any more."""

    code = "gone"


class ConflictError(Problem):
    """It was changed by somebody else meanwhile, or its state does not allow this now."""

    code = "conflict"


class AlreadyExistsError(ConflictError):
    """The name is taken."""

    code = "already-exists"


class KeyReusedError(ConflictError):
    """The idempotency key was used for another request."""

    code = "key-reused"


class PreconditionFailedError(ConflictError):
    """It is not in the version that was named."""

    code = "precondition-failed"


class TooLargeError(Problem):
    """The request is larger than the server accepts."""

    code = "too-large"


class TooManyRequestsError(Problem):
    """The project's share of calls is used up; `retry_after` says when there is more."""

    code = "too-many-requests"


class InternalError(Problem):
    """The server itself failed; its log has the details under `request_id`."""

    code = "internal"


class UnavailableError(Problem):
    """A part of the platform that this call needs is away."""

    code = "unavailable"


class DeadlineError(Problem):
    """The server waited for something that did not happen in time."""

    code = "timeout"


BY_CODE: dict[str, type[Problem]] = {
    kind.code: kind
    for kind in (
        InvalidError,
        MalformedError,
        UnauthenticatedError,
        TokenExpiredError,
        ForbiddenError,
        LimitExceededError,
        NotFoundError,
        NoSuchFileError,
        UnknownCallError,
        GoneError,
        ConflictError,
        AlreadyExistsError,
        KeyReusedError,
        PreconditionFailedError,
        TooLargeError,
        TooManyRequestsError,
        InternalError,
        UnavailableError,
        DeadlineError,
    )
}
BY_STATUS: dict[int, type[Problem]] = {
    400: MalformedError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: UnknownCallError,
    409: ConflictError,
    410: GoneError,
    412: PreconditionFailedError,
    413: TooLargeError,
    422: InvalidError,
    429: TooManyRequestsError,
    500: InternalError,
    503: UnavailableError,
    504: DeadlineError,
}


def problem(status: int, body: bytes, *, request_id: str = "", retry_after: float | None = None) -> Problem:
    """The error for an answer of `status`; a body that is no problem document (a proxy's page) is quoted in short."""
    document = _document(body)
    if document is None:
        quoted = " ".join(body[:200].decode("utf-8", "replace").split())
        document = ProblemDocument(title=f"the server answered {status}", detail=quoted)
    filled = msgspec.structs.replace(document, status=document.status or status, request_id=document.request_id or request_id)
    kind = BY_CODE.get(filled.code) or BY_STATUS.get(status, Problem)
    return kind(filled, retry_after=retry_after)


def _document(body: bytes) -> ProblemDocument | None:
    try:
        found = msgspec.json.decode(body, type=ProblemDocument)
    except msgspec.MsgspecError:
        return None
    return found if found.title or found.code or found.detail else None

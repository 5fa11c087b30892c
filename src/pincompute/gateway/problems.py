"""Defines failures as RFC 9457 problem details, each with a stable code and what the caller can do about it.

"Does not exist" and "may not be seen" are one problem with one text, so a caller cannot find out what they may not see.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from litestar.types import Send

MEDIA_TYPE = "application/problem+json"
TYPES = "https://pincompute.io/problems/"

Headers: TypeAlias = Mapping[str, str]


class FieldError(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One thing wrong with the input: where (`containers[0].image`), what was expected, and a sentence."""

    field: str
    expected: str
    message: str


class ProblemBody(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """RFC 9457, extended: `code` never changes its meaning; `remedy` says what to do; `errors` names every field."""

    type: str
    code: str
    title: str
    status: int
    detail: str
    remedy: str = ""
    errors: tuple[FieldError, ...] = ()
    request_id: str = ""


CODES: Mapping[str, tuple[int, str]] = {
    "invalid": (422, "The input cannot be used"),
    "malformed": (400, "The input cannot be read"),
    "unsupported-media-type": (415, "The content type is not supported"),
    "too-large": (413, "The request is too large"),
    "headers-too-large": (431, "The request's headers are too large"),
    "unauthenticated": (401, "You are not logged in"),
    "token-expired": (401, "The token has expired"),
    "clock-wrong": (401, "Two clocks do not agree"),
    "forbidden": (403, "This is not allowed"),
    "limit-exceeded": (403, "A limit does not allow it"),
    "not-found": (404, "Not found, or you may not see it"),
    "unknown-path": (404, "There is nothing at this path"),
    "no-such-file": (404, "No such file or folder"),
    "method-not-allowed": (405, "The method is not allowed here"),
    "conflict": (409, "Changed by somebody else in the meantime"),
    "wrong-state": (409, "Not possible in the present state"),
    "already-exists": (409, "The name is taken"),
    "key-reused": (409, "The idempotency key was used for another request"),
    "gone": (410, "No longer available"),
    "precondition-failed": (412, "Not in the expected version"),
    "too-many-requests": (429, "Too many requests"),
    "internal": (500, "The gateway failed"),
    "unavailable": (503, "Not available now"),
    "timeout": (504, "No answer came in time"),
}
"""Status and title by code. A code is never given another meaning, and never removed without a deprecation."""


class Problem(Exception):  # noqa: N818 - it reads as what the caller gets
    """Raised anywhere in the gateway; becomes the answer."""

    def __init__(
        self,
        code: str,
        detail: str,
        remedy: str = "",
        *,
        errors: tuple[FieldError, ...] = (),
        headers: Headers | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.status, self.title = CODES[code]
        self.detail = detail
        self.remedy = remedy
        self.errors = errors
        self.headers: Headers = headers or {}


def invalid(*errors: FieldError) -> Problem:
    """All that is wrong at once."""
    lines = "; ".join(f"{e.field}: {e.message}" if e.field else e.message for e in errors)
    return Problem("invalid", lines, "correct these fields, then try again", errors=errors)


def malformed(detail: str, remedy: str = "") -> Problem:
    return Problem("malformed", detail, remedy)


def unauthenticated(detail: str, remedy: str = "log in with `pin login`, or send a service token") -> Problem:
    return Problem("unauthenticated", detail, remedy, headers={"WWW-Authenticate": 'Bearer realm="pincompute"'})


def refused_token(why: str, remedy: str = "log in again with `pin login`") -> Problem:
    challenge = 'Bearer realm="pincompute", error="invalid_token"'
    return Problem(
        "unauthenticated",
        f"the token is not accepted: {why}",
        remedy,
        headers={"WWW-Authenticate": challenge},
    )


def token_expired(detail: str, remedy: str = "log in again with `pin login`") -> Problem:
    challenge = 'Bearer realm="pincompute", error="invalid_token", error_description="expired"'
    return Problem("token-expired", detail, remedy, headers={"WWW-Authenticate": challenge})


def forbidden(detail: str, remedy: str = "ask an owner of the project for a role that allows it") -> Problem:
    return Problem("forbidden", detail, remedy)


def not_found(what: str) -> Problem:
    """`what` as the caller named it, such as "app demo/hello"."""
    remedy = "`pin project list` shows yours" if what.startswith("project ") else "check the name and the project"
    return Problem("not-found", f"there is no {what}, or you may not see it", remedy)


def not_among(what: str, known: str) -> Problem:
    """Makes the problem of a missing part of something that the caller may see. `known` are the parts that there are."""
    return Problem("not-found", f"there is no {what}", f"name one of these: {known}")


def conflict(detail: str, remedy: str = "read it again and repeat the change") -> Problem:
    return Problem("conflict", detail, remedy)


def wrong_state(detail: str, remedy: str) -> Problem:
    """The thing is there, and this cannot be done to it as it is."""
    return Problem("wrong-state", detail, remedy)


def already_exists(what: str) -> Problem:
    return Problem("already-exists", f"{what} exists already", "choose another name, or change the one that exists")


def too_many(detail: str, retry_after: float) -> Problem:
    """`retry_after` in seconds."""
    seconds = max(1, round(retry_after))
    return Problem("too-many-requests", detail, f"wait {seconds} s", headers={"Retry-After": str(seconds)})


def unavailable(detail: str, retry_after: float = 5.0, remedy: str = "try again in a moment") -> Problem:
    return Problem("unavailable", detail, remedy, headers={"Retry-After": str(max(1, round(retry_after)))})


def encode(problem: Problem, request_id: str) -> bytes:
    body = ProblemBody(
        type=TYPES + problem.code,
        code=problem.code,
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        remedy=problem.remedy,
        errors=problem.errors,
        request_id=request_id,
    )
    return msgspec.json.encode(body)


async def send_to(send: Send, problem: Problem, request_id: str, message: str = "http.response") -> None:
    """As an ASGI answer. A WebSocket that was not accepted is answered with a `message` of another name."""
    body = encode(problem, request_id)
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers}
    if request_id:
        headers["x-request-id"] = request_id
    lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    start: Any = {"type": f"{message}.start", "status": problem.status, "headers": lines}
    content: Any = {"type": f"{message}.body", "body": body, "more_body": False}
    await send(start)
    await send(content)
